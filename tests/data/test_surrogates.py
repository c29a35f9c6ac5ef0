"""Surrogates: right by their checksums, out of ranges that are nobody's, the same in every run."""

import random
import re

import phonenumbers
import pytest

from luthier.data.recognisers.numbers import IBAN_LENGTHS, luhn, mod97
from luthier.data.surrogates import LOCALES, Surrogates, address, card, email, iban, made, person, phone

KEY = b"k" * 32


@pytest.mark.parametrize("language", [*LOCALES, "sv"])
def test_values_of_every_language(language):
    rng = random.Random(language)
    for _ in range(50):
        solid = iban(language, rng).replace(" ", "")
        assert mod97(solid)
        assert len(solid) == IBAN_LENGTHS[solid[:2]]
        assert " " in person(language, rng)
        assert re.search(r"\d", address(language, rng))
        assert phonenumbers.parse(phone(language, rng), "GB").national_number


def test_numbers_come_from_ranges_for_examples():
    rng = random.Random(0)
    for _ in range(200):
        number = "".join(filter(str.isdigit, card(rng)))
        assert luhn(number)
        assert number[:6] in {"411111", "400000", "555555", "222300", "510510"}
        assert re.search(r"7946 0|900\d{3}$|960\d{3}$|555-01|555 01", phone("en", rng))
        assert email("en", rng).split("@")[1] in {"example.com", "example.org", "example.net"}
        assert made("IP", "en", rng).rsplit(".", 1)[0] in {"192.0.2", "198.51.100", "203.0.113"}
        assert re.fullmatch(r"987-65-432\d", made("ID", "en", rng))


def test_one_value_for_one_placeholder_of_a_dialogue():
    texts = ["I am <PERSON_1>, <IBAN_1>", "Mr <PERSON_1> and <PERSON_2>"]
    first, second = Surrogates(KEY).fill("d1", texts, "en")
    name = first.removeprefix("I am ").split(",")[0]
    assert name in second
    assert "<" not in first + second
    assert Surrogates(KEY).fill("d1", texts, "en") == [first, second]
    assert Surrogates(KEY).fill("d2", texts, "en") != [first, second]
    assert Surrogates(b"other").fill("d1", texts, "en") != [first, second]


def test_two_persons_share_no_word():
    text = " ".join(f"<PERSON_{number}>," for number in range(1, 30))
    (filled,) = Surrogates(KEY).fill("d1", [text], "de")
    words = [word for name in filled.rstrip(",").split(", ") for word in set(name.casefold().split())]
    assert len(words) == len(set(words))


def test_a_type_without_a_form_says_what_it_is():
    assert Surrogates(KEY).fill("d", ["at <ORGANISATION_1>"], "en") == ["at [organisation]"]


def test_the_scrubber_finds_what_it_would_have_put_there(scrubber):
    rng = random.Random(1)
    for _ in range(30):
        for kind in ("IBAN", "CARD", "EMAIL", "IP"):
            value = made(kind, "en", rng)
            assert [(item.type, item.text) for item in scrubber.find(f"It is {value}, yes.", "en")] == [(kind, value)]
