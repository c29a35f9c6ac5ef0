"""Numbers, amounts and times in English, German and Spanish text, brought to one spelling. Pure.

`1.40 %`, `1,4 Prozent` and `1.4 per cent` are the same figure, and so are `2,500 EUR`, `€2500` and `2.500 Euro`,
`17:30`, `17.30 Uhr` and `5:30 pm`, `7 days` and `seven days`. Does not know what a figure counts beyond the word
beside it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from luthier.lm.words import EMPTY, stem


class Figure(NamedTuple):
    """A number or time in its one spelling, and the words beside it that may say what it counts."""

    value: str
    units: tuple[str, ...]


_CURRENCIES = {
    "eur": "eur", "euro": "eur", "euros": "eur", "€": "eur",
    "usd": "usd", "dollar": "usd", "dollars": "usd", "dólares": "usd", "$": "usd",
    "gbp": "gbp", "pound": "gbp", "pounds": "gbp", "pfund": "gbp", "libras": "gbp", "£": "gbp",
    "chf": "chf", "franken": "chf", "francs": "chf", "francos": "chf",
    "%": "%", "percent": "%", "prozent": "%",
}  # fmt: skip
_SIGNS = frozenset(_CURRENCIES.values())
_NAMED = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "sixty": 60, "ninety": 90,
    "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10, "elf": 11,
    "zwölf": 12, "fünfzehn": 15, "zwanzig": 20, "dreißig": 30, "sechzig": 60, "neunzig": 90,
    "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "seis": 6, "siete": 7, "ocho": 8, "nueve": 9, "diez": 10,
    "doce": 12, "quince": 15, "veinte": 20, "treinta": 30, "sesenta": 60, "noventa": 90,
}  # fmt: skip
FIGURE_WORDS = frozenset(_NAMED) | frozenset(word for word in _CURRENCIES if word.isalpha()) | {"uhr", "cent", "ciento"}
"""Words that are part of a figure: they are compared as figures and not as words."""

_TOKEN = re.compile(
    r"""(?P<clock>(?<![\d.,:])(?P<hour>[01]?\d|2[0-4])
            (?:[:.](?P<minute>[0-5]\d))?
            (?:[ \u00a0]?(?P<half>[ap])\.?m\b\.?|[ \u00a0]Uhr\b|(?<=:\d\d)(?!\d)))
      |(?P<number>\d{1,3}(?:[.,'’\u00a0\u202f ]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)?)
      |(?P<sign>[€$£%])
      |(?P<word>[^\W\d_]+(?:-(?=[^\W\d_]))?)""",
    re.VERBOSE | re.IGNORECASE,
)
_PER_CENT = re.compile(r"\b(?:per\s+cent|por\s+ciento)\b", re.IGNORECASE)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[.,'’\u00a0\u202f ]\d{3})+")


@lru_cache(maxsize=8192)
def figures(text: str) -> tuple[Figure, ...]:
    """Every figure of `text` in order. Number words count from two on: `one` is too often a pronoun."""
    tokens = list(_TOKEN.finditer(_PER_CENT.sub("percent", text)))
    names = [_name(token) for token in tokens]
    found: list[Figure] = []
    for at, token in enumerate(tokens):
        value = _value(token)
        if value:
            before = names[at - 1 : at] if at and names[at - 1] in _SIGNS else []
            found.append(Figure(value, tuple(name for name in [*before, *names[at + 1 : at + 3]] if name)))
    return tuple(found)


def missing_figures(stated: tuple[Figure, ...], there: tuple[Figure, ...]) -> tuple[Figure, ...]:
    """The figures of `stated` that `there` lacks.

    Where `there` counts the same unit, the figure has to stand with that unit: `8 EUR, 5 days` lacks `5 EUR`.
    """
    values = {figure.value for figure in there}
    pairs = {(figure.value, unit) for figure in there for unit in figure.units}
    units = {unit for figure in there for unit in figure.units}
    return tuple(
        figure
        for figure in stated
        if figure.value not in values
        or any((figure.value, unit) not in pairs for unit in figure.units[:1] if unit in units)
    )


def _name(token: re.Match[str]) -> str:
    """What a token says as a unit: a currency in one spelling, a word's stem, nothing for figures and empty words."""
    word = (token["word"] or token["sign"] or "").casefold()
    return _CURRENCIES.get(word) or ("" if word in EMPTY else stem(word))


def _value(token: re.Match[str]) -> str:
    if token["clock"]:
        hour = int(token["hour"])
        if token["half"]:
            hour = hour % 12 + (12 if token["half"] in "pP" else 0)
        return f"{hour % 24}:{token['minute'] or '00'}"
    if token["number"]:
        return _number(token["number"])
    named = _NAMED.get((token["word"] or "").casefold())
    return str(named) if named else ""


def _number(text: str) -> str:
    """`2,500` and `2.500` → 2500; `8.50` and `8,5` → 8.5: three digits after a mark are thousands."""
    whole, fraction = text, ""
    if not _THOUSANDS.fullmatch(text):
        split = re.fullmatch(r"(.*)[.,](\d+)", text)
        whole, fraction = (split[1], split[2].rstrip("0")) if split else (text, "")
    digits = re.sub(r"\D", "", whole).lstrip("0") or "0"
    return f"{digits}.{fraction}" if fraction else digits
