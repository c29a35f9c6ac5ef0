"""Account, card and identity numbers."""

import random

import pytest

from luthier.data.recognisers.numbers import IBAN_LENGTHS, cards, ibans, identities, luhn, machines, mod97


def found(recogniser, text: str) -> list[tuple[str, str]]:
    return [(hit.type, text[hit.start : hit.end]) for hit in recogniser(text, "en")]


def make_iban(country: str, rng: random.Random) -> str:
    """A valid IBAN of a country, as ISO 13616 computes its check digits."""
    rest = "".join(rng.choice("0123456789") for _ in range(IBAN_LENGTHS[country] - 4))
    number = int("".join(str(int(letter, 36)) for letter in rest + country + "00"))
    return f"{country}{98 - number % 97:02d}{rest}"


@pytest.mark.parametrize("country", sorted(IBAN_LENGTHS))
def test_ibans_of_every_country_solid_and_spaced(country):
    iban = make_iban(country, random.Random(country))
    spaced = " ".join(iban[place : place + 4] for place in range(0, len(iban), 4))
    assert mod97(iban)
    for spelling in (iban, spaced, iban.lower(), spaced.replace(" ", "-")):
        assert found(ibans, f"Send it to {spelling}, please.") == [("IBAN", spelling)]
        assert found(ibans, f"{spelling} and then 20 EUR") == [("IBAN", spelling)]


@pytest.mark.parametrize(
    "text",
    [
        "DE89 3704 0044 0532 0130",  # too short
        "DE89 3704 0044 0532 0130 0012",  # too long
        "XX89 3704 0044 0532 0130 00",  # no such country
        "Flight DE12 to Berlin",
        "MADE89370400440532013000",
    ],
)
def test_what_is_no_iban(text):
    assert found(ibans, text) == []


def test_a_mistyped_iban_is_still_somebodys():
    (hit,) = ibans("DE89 3704 0044 0532 0130 01", "en")
    assert hit.type == "IBAN"
    assert hit.score < 1


@pytest.mark.parametrize(
    "card",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "3782 822463 10005",
        "5555.5555.5555.4444",
        "6011000990139424",
        "2223003122003222",
        "30569309025904",
    ],
)
def test_cards(card):
    assert luhn("".join(filter(str.isdigit, card)))
    assert found(cards, f"It is {card}.") == [("CARD", card)]


def test_a_number_that_fails_its_check_digit_needs_a_reason():
    assert found(cards, "order 4111111111111112 is late") == []
    assert found(cards, "my card 4111111111111112 is blocked") == [("CARD", "4111111111111112")]
    assert found(cards, "4111 1111 1111 1112") == [("CARD", "4111 1111 1111 1112")]


@pytest.mark.parametrize("text", ["1234567890", "4111 1111 1111 1111,50 EUR", "tel +4915112345678", "10000000000000"])
def test_what_is_no_card(text):
    assert found(cards, text) == []


def test_identities_by_the_words_before_them():
    assert found(identities, "My SSN is 536-22-8714.") == [("ID", "536-22-8714")] * 2
    assert found(identities, "Reisepass C01X00T47") == [("ID", "C01X00T47")]
    assert found(identities, "mein Ausweis ist weg") == []
    assert found(identities, "My account number is 31926819.") == [("ACCOUNT", "31926819")]
    assert found(identities, "Kundennummer 4711 0815") == [("ACCOUNT", "4711 0815")]
    assert found(identities, "a transfer of 31926819 coins") == []


def test_machines():
    assert found(machines, "from 192.168.10.4 or 2001:0db8:85a3:0000:0000:8a2e:0370:7334") == [
        ("IP", "192.168.10.4"),
        ("IP", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
    ]
    assert found(machines, "version 1.2.3, 300.1.1.1 and 10.20.30") == []
