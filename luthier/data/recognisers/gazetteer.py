"""Names of people and of places in the languages that are written in Latin letters: what the package `mimesis` ships.

About 60,000 words, read from its data files (MIT) when the first text comes; none of its code runs. A word stands here
without its accents and in lower case. The lists know nothing of how common a name is, nor which names are also everyday
words: `not_names.txt` and the words around decide that.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple
from unicodedata import combining, normalize

from luthier.data.recognisers.hit import words
from luthier.errors import Missing

LATIN = re.compile(r"[A-Za-zÀ-ɏḀ-ỿ]{2,}(?:['’][A-Za-zÀ-ɏ]{2,})?")
STROKES = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ß": "ss"})
"""Letters that no normal form takes apart."""


class Lists(NamedTuple):
    """Words of each kind, folded."""

    given: frozenset[str]
    family: frozenset[str]
    places: frozenset[str]
    """Words of the names of towns, regions and countries."""
    common: frozenset[str]
    """The commonest words of the same languages: a name that is one of them needs more than itself."""


def folded(word: str) -> str:
    """`word` in lower case and without accents: how the lists spell it."""
    low = word.casefold()
    if low.isascii():
        return low
    low = low.translate(STROKES)
    return "".join(letter for letter in normalize("NFKD", low) if not combining(letter))


@cache
def lists() -> Lists:
    """All lists, less the words of everyday life. Raises Missing where mimesis is not installed."""
    given: set[str] = set()
    family: set[str] = set()
    places: set[str] = set()
    common: set[str] = set()
    try:
        folder = files("mimesis") / "datasets"
    except ModuleNotFoundError as error:
        raise Missing("names cannot be found without mimesis", "run: pip install 'luthier[data]'") from error
    for locale in folder.iterdir():
        person, address, speech = (locale / f"{name}.json" for name in ("person", "address", "text"))
        if person.is_file():
            data = json.loads(person.read_text("utf-8"))
            given.update(latin(data.get("names")))
            family.update(latin(data.get("surnames")))
        if address.is_file():
            data = json.loads(address.read_text("utf-8"))
            for field in ("city", "state", "country", "continent"):
                places.update(latin(data.get(field)))
        if speech.is_file():
            common.update(latin(json.loads(speech.read_text("utf-8")).get("words")))
    ordinary = frozenset(folded(word) for word in words("not_names"))
    known = frozenset(folded(word) for word in words("given_names"))
    return Lists(
        frozenset(given - ordinary - (places - known)),
        frozenset(family - ordinary),
        frozenset(places),
        frozenset(common - known),
    )


def latin(data: Any) -> Iterator[str]:
    """Every word in Latin letters inside a list or an object of lists, folded."""
    if isinstance(data, str):
        yield from (sys.intern(folded(word)) for word in LATIN.findall(data))
    elif isinstance(data, dict):
        for value in data.values():
            yield from latin(value)
    elif isinstance(data, list):
        for value in data:
            yield from latin(value)
