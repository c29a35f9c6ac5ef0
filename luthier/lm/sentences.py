"""Where sentences begin and end in English, German and Spanish text. Pure; knows nothing of passages or claims.

Rules rather than a model: a citation's quote is made of whole sentences, so the same text has to split the same
way on every machine, and `8.50 EUR`, `No. 5`, `z. B.` and `14. September` must not be cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from luthier.lm.words import words


class Sentence(NamedTuple):
    """Characters [start, end) of a text, list marks and white space around them left out."""

    start: int
    end: int
    text: str


MARKER = re.compile(r"\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]")
"""What cites a passage in an answer: [1], or [1, 2]."""

_END = re.compile(r"(?P<stop>[.!?…]+)[\"'”’»)\]]*(?:[ \t]*\[\d{1,2}(?:\s*,\s*\d{1,2})*\])*(?=\s|$)")
_ITEM = re.compile(r"[ \t]*(?:[-*•+]|\d{1,2}[.)])[ \t]+(?=\S)")
_HEADING = re.compile(r"[ \t]*(?:#{1,6}[ \t]+|\|)")
_LAST_WORD = re.compile(r"([^\s(\[\"“„»«]+)$")
_WORD = re.compile(r"\w+")
_ORDINAL = re.compile(r"\d{1,2}$")

_ABBREVIATIONS = words(
    """approx dr e.g eg etc fig i.e ie inc incl jr ltd max min mr mrs ms prof sr st tel vs
    abs art bspw bzw ca d.h dipl evtl exkl ggf inkl lt mind mio mrd o.ä s str u.a usw vgl z.b zzgl
    avda aprox c.c dña ej gral p.ej pág sra srta ud uds"""
)
_BEFORE_FIGURES = words("art abs cf fig no nos nr núm num p pp sec tel §")
_AFTER_ORDINALS = words(
    """januar jänner februar märz april mai juni juli august september oktober november dezember
    tag tage tages werktag arbeitstag bankarbeitstag monat monats quartal quartals jahr jahres lebensjahr
    geburtstag stock etage klasse mal stelle woche uhr hj hj."""
)


@lru_cache(maxsize=2048)
def sentences(text: str) -> tuple[Sentence, ...]:
    """The sentences of `text` in order. Headings, table lines and list items are sentences of their own."""
    found: list[Sentence] = []
    for start, end in _blocks(text):
        left = _after_mark(text, start, end)
        for stop in [*_stops(text, left, end), end]:
            found += _trimmed(text, left, stop)
            left = stop
    return tuple(found)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Spans that no sentence crosses: paragraphs, list items, headings."""
    left, at, alone = 0, 0, False
    for line in text.splitlines(keepends=True):
        heading = bool(_HEADING.match(line))
        if at > left and (alone or heading or not line.strip() or _ITEM.match(line)):
            yield left, at
            left = at
        alone = heading
        at += len(line)
    if at > left:
        yield left, at


def _after_mark(text: str, start: int, end: int) -> int:
    """Where the words of a block begin. `14. September` at the head of a line is a date and not an item."""
    mark = _HEADING.match(text, start, end) or _ITEM.match(text, start, end)
    if mark is None or (mark[0].strip()[0].isdigit() and _word_at(text, mark.end()) in _AFTER_ORDINALS):
        return start
    return mark.end()


def _stops(text: str, start: int, end: int) -> Iterator[int]:
    for match in _END.finditer(text, start, end):
        if match.end() < end and _ends_sentence(text[start : match.start()], match["stop"], text[match.end() : end]):
            yield match.end()


def _ends_sentence(before: str, stop: str, after: str) -> bool:
    """Does `stop`, which stands after `before`, end a sentence, given what comes `after`?"""
    following = after.lstrip()
    if not following or not set(stop) <= {"."}:
        return True
    last = _LAST_WORD.search(before)
    word = last[1].casefold() if last else ""
    next_word = _word_at(following, 0)
    if _ORDINAL.fullmatch(word):
        return not (following[0].islower() or next_word in _AFTER_ORDINALS)
    if word in _BEFORE_FIGURES and following[0].isdigit():
        return False
    if len(word) == 1 and word.isalpha():  # initials and `z. B.`
        return False
    if word in _ABBREVIATIONS:
        return word in ("etc", "usw") and following[0].isupper()
    return not following[0].islower()


def _word_at(text: str, at: int) -> str:
    match = _WORD.match(text, at)
    return match[0].casefold() if match else ""


def _trimmed(text: str, start: int, end: int) -> list[Sentence]:
    while end > start and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace():
        start += 1
    return [Sentence(start, end, text[start:end])] if start < end else []
