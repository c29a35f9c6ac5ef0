"""Made-up values in place of placeholders: right by their checksums, and nobody's.

Telephone numbers, cards, network addresses and domains come from ranges that are set apart for examples (Ofcom, NANP
555-01xx, Bundesnetzagentur, ARCEP, RFC 5737, 3849 and 2606, the card schemes' test numbers); account numbers belong to
bank codes that are not given out. Names and streets are drawn from the lists of `mimesis`: a drawn name may by chance
be somebody's, as any name may. The same seed gives the same values.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Container, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from luthier.data.recognisers.numbers import luhn
from luthier.data.spans import PLACEHOLDER, normal
from luthier.errors import Missing

LOCALES = {"en": "en-gb", "de": "de", "es": "es", "fr": "fr", "it": "it", "nl": "nl", "pt": "pt", "pl": "pl"}
IBANS = {
    "de": ("DE", "9#################"),
    "en": ("GB", "TEST##############"),
    "es": ("ES", "0000################"),
    "fr": ("FR", "00000##################"),
    "it": ("IT", "X00000#################"),
    "nl": ("NL", "TEST##########"),
    "pt": ("PT", "0000#################"),
    "pl": ("PL", "0000####################"),
}
"""Country and the rest by language: clearing code 9 (Germany), bank codes of zeros, and TEST are no bank's."""
ROADS = {"es": "Calle", "fr": "rue", "it": "Via", "pt": "Rua", "pl": "ul."}
"""What stands before a street, in languages that put it there."""
CARDS = ("411111", "400000", "555555", "222300", "510510")
"""Beginnings of the schemes' published test numbers."""
PHONES = {
    "en": ("020 7946 0###", "07700 900###", "+44 1632 960###", "(202) 555-01##", "+1 212 555 01##"),
    "de": ("030 23125 ###", "+49 30 23125###", "0171 39200##", "069 90009 ###"),
    "fr": ("01 99 00 ## ##", "06 39 98 ## ##", "+33 1 99 00 ## ##"),
}
"""Numbers for films and examples; where a country has none, those of others."""
NUMBERS = "23456789"


def filled(pattern: str, rng: random.Random) -> str:
    """`pattern` with a figure for every #."""
    return "".join(rng.choice("0123456789") if letter == "#" else letter for letter in pattern)


def iban(language: str, rng: random.Random) -> str:
    """An IBAN of a bank that does not exist, its check digits right (ISO 7064), in groups of four or solid."""
    country, pattern = IBANS.get(language[:2], IBANS["de"])
    rest = filled(pattern, rng)
    number = int("".join(str(int(letter, 36)) for letter in rest + country + "00"))
    solid = f"{country}{98 - number % 97:02d}{rest}"
    return " ".join(solid[place : place + 4] for place in range(0, len(solid), 4)) if rng.random() < 0.6 else solid


def card(rng: random.Random) -> str:
    """A card number of a published test range, its check digit right."""
    digits = filled(rng.choice(CARDS) + "#########", rng)
    number = next(digits + check for check in "0123456789" if luhn(digits + check))
    sign = rng.choice(" -") if rng.random() < 0.7 else ""
    return sign.join(number[place : place + 4] for place in range(0, 16, 4))


def phone(language: str, rng: random.Random) -> str:
    """A telephone number of a range for examples."""
    return filled(rng.choice(PHONES.get(language[:2], PHONES["en"])), rng)


def person(language: str, rng: random.Random) -> str:
    """A given name and a family name of the language."""
    names, family = listed(LOCALES.get(language[:2], "en"), "person", ("names", "surnames"))
    return f"{rng.choice(names)} {rng.choice(family)}"


def address(language: str, rng: random.Random) -> str:
    """A street, a number, a postcode and a town, in the order of the language's country."""
    spoken = language[:2]
    towns, streets = listed("en" if spoken == "en" else LOCALES.get(spoken, "en"), "address", ("city", "street"))
    town = rng.choice([town for town in towns if town.istitle()])
    street, house = rng.choice([street for street in streets if not any(map(str.isdigit, street))]), rng.randint(1, 199)
    if spoken == "en":
        kind = rng.choice(("Street", "Road", "Lane", "Avenue", "Close"))
        return f"{house} {street} {kind}, {town} {rng.choice('ABCDEG')}{rng.randint(1, 9)} {rng.randint(1, 9)}ZZ"
    if spoken == "fr":
        return f"{house} rue {street.removeprefix('rue ')}, {rng.randint(10000, 95999)} {town}"
    if spoken in ROADS:
        road = "" if street.startswith(f"{ROADS[spoken]} ") else f"{ROADS[spoken]} "
        return f"{road}{street} {house}, {rng.randint(10000, 52999)} {town}"
    return f"{street} {house}, {rng.randint(10000, 99999)} {town}"


def email(language: str, rng: random.Random) -> str:
    """An address at a domain that RFC 2606 sets apart."""
    left = "".join(rng.choice("abcdefghiklmnoprstuvw") for _ in range(rng.randint(4, 8)))
    right = "".join(rng.choice("abcdefghiklmnoprstuvw") for _ in range(rng.randint(4, 9)))
    return f"{left}{rng.choice('._-')}{right}@example.{rng.choice(('com', 'org', 'net'))}"


def made(kind: str, language: str, rng: random.Random) -> str:
    """A value of a type; a string that says what it is where the type has no form of its own."""
    makers = {
        "IBAN": lambda: iban(language, rng),
        "CARD": lambda: card(rng),
        "PHONE": lambda: phone(language, rng),
        "PERSON": lambda: person(language, rng),
        "ADDRESS": lambda: address(language, rng),
        "EMAIL": lambda: email(language, rng),
        "ID": lambda: f"987-65-43{rng.randint(20, 29)}",  # set apart for advertisements
        "ACCOUNT": lambda: filled("000#####", rng),
        "IP": lambda: f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randint(1, 254)}",
        "SECRET": lambda: "EXAMPLE-" + "".join(rng.choice(NUMBERS) for _ in range(12)),
    }
    return makers[kind]() if kind in makers else f"[{kind.lower()}]"


class Surrogates:
    """Values for the placeholders of dialogues: one for each placeholder of a dialogue, the same in every run.

    `key` (the workspace's pseudonym key, or any bytes) is all that the values hang on beside dialogue and placeholder:
    nothing of what stood there before can be read from them.
    """

    def __init__(self, key: bytes) -> None:
        self.key = key

    def of(self, dialogue: str, placeholder: str, language: str, taken: frozenset[str] = frozenset()) -> str:
        """The value for `placeholder` (such as `<IBAN_2>`) of `dialogue`; none of `taken` is a part of it."""
        found = PLACEHOLDER.fullmatch(placeholder)
        kind = found.group(1) if found else "PERSON"
        digest = hashlib.blake2b(f"{dialogue}\0{placeholder}".encode(), key=self.key[:64]).digest()
        rng = random.Random(digest)
        value = made(kind, language, rng)
        for _ in range(50):
            if taken.isdisjoint(parts(kind, value)):
                break
            value = made(kind, language, rng)
        return value

    def fill(self, dialogue: str, texts: Sequence[str], language: str) -> list[str]:
        """The texts of one dialogue with a value for every placeholder; different placeholders get different values."""
        values = self.values(dialogue, texts, language)
        return [values.within(text) for text in texts]

    def values(self, dialogue: str, texts: Sequence[str], language: str, kinds: Container[str] | None = None) -> Values:
        """A value for every placeholder of these types (None: of all) in the texts of one dialogue."""
        values: dict[str, str] = {}
        used: set[str] = set()
        for text in texts:
            for match in PLACEHOLDER.finditer(text):
                if match.group() not in values and (kinds is None or match.group(1) in kinds):
                    values[match.group()] = self.of(dialogue, match.group(), language, frozenset(used))
                    used.update(parts(match.group(1), values[match.group()]))
        return Values(values)


class Values(NamedTuple):
    """What stands for the placeholders of one dialogue."""

    by_placeholder: dict[str, str]

    def within(self, text: str) -> str:
        """`text` with the values in it; other placeholders stay."""
        return PLACEHOLDER.sub(lambda match: self.by_placeholder.get(match.group(), match.group()), text)


def parts(kind: str, value: str) -> set[str]:
    """What two values of a type may not share: a whole number, one word of a name."""
    return set(normal(value).split()) if kind == "PERSON" else {normal(value)}


@cache
def listed(locale: str, name: str, fields: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Lists of mimesis: every string below each of `fields`. Raises Missing where it is not installed."""
    try:
        path = files("mimesis") / "datasets" / locale / f"{name}.json"
    except ModuleNotFoundError as error:
        raise Missing("surrogates cannot be made without mimesis", "run: pip install 'luthier[data]'") from error
    data: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    street = data.get("street")
    inner = {**data, "street": street.get("name") if isinstance(street, dict) else street}
    return tuple(tuple(strings(inner.get(field))) for field in fields)


def strings(data: Any) -> list[str]:
    """Every string inside a list or an object of lists."""
    if isinstance(data, str):
        return [data]
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [text for value in inner for text in strings(value)]
