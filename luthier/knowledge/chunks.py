"""A document's sections → the pieces that are searched and quoted. Pure; knows nothing of vectors.

A piece is never longer than about one and a half times the words asked for, never reaches across a heading, and
ends where a sentence ends. It is cut out of the file as it stands: `text[start:end]`, to the letter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from luthier.knowledge.markdown import Document, Section, Span, plain, trimmed
from luthier.lm.sentences import sentences

SEPARATOR = " › "
# One word, or one character of a script that sets no spaces; what runs on for longer than 20 letters is several.
WORD = re.compile(r"[぀-鿿가-힯]|[^\s぀-鿿가-힯]{1,20}")


class Chunk(NamedTuple):
    """Characters [start, end) of a document's file, and the headings above them joined by ` › `."""

    start: int
    end: int
    heading: str


def chunks(document: Document, words: int) -> Iterator[Chunk]:
    """The pieces of `document`, about `words` words each, in order. A heading without text under it has none."""
    for section in document.sections:
        heading = SEPARATOR.join(section.headings)
        for piece in pieces(document.text, section, words):
            yield Chunk(piece.start, piece.end, heading)


def searchable(document: Document, chunk: Chunk) -> str:
    """What is embedded and matched: the chunk in plain words under its title and headings, which say what it is about.

    Put into composed Unicode (NFC), so that an ü is one letter however the file spells it.
    """
    headline = SEPARATOR.join(part for part in (document.version.title, chunk.heading) if part)
    return unicodedata.normalize("NFC", f"{headline}\n{plain(document.text[chunk.start : chunk.end])}")


def pieces(text: str, section: Section, words: int) -> Iterator[Span]:
    """A section cut into pieces of nearly equal length: a short tail would be found for its brevity alone."""
    for run in section.runs:
        units = [unit for block in run for unit in sentence_units(text, block, words)]
        counts = [count(text[unit.start : unit.end]) for unit in units]
        yield from packed(units, counts, max(1, round(sum(counts) / words)))


def packed(units: Sequence[Span], counts: Sequence[int], into: int) -> Iterator[Span]:
    """Neighbouring `units` joined to at most `into` spans of about the same number of words."""
    share = max(1.0, sum(counts) / into)
    start, held, seen = 0, 0, 0
    for place, size in enumerate(counts):
        # A unit belongs to the piece in which its middle lies.
        if place > start and int((seen + size / 2) / share) > held:
            yield Span(units[start].start, units[place - 1].end)
            start, held = place, int((seen + size / 2) / share)
        seen += size
    if units:
        yield Span(units[start].start, units[-1].end)


def sentence_units(text: str, block: Span, words: int) -> Iterator[Span]:
    """`block` cut at sentence ends; what is still too long (tables, code) at line ends, and then between words."""
    left = block.start
    ends = [block.start + sentence.end for sentence in sentences(text[block.start : block.end])]
    for right in [*ends[:-1], block.end]:
        for unit in trimmed(text, left, right):
            yield from shortened(text, unit, words)
        left = right


def shortened(text: str, unit: Span, words: int) -> Iterator[Span]:
    """`unit` whole where it has at most `words` words, else cut at line ends, then between words."""
    if count(text[unit.start : unit.end]) <= words:
        yield unit
        return
    breaks = [match.start() for match in re.finditer(r"\n", text[unit.start : unit.end])]
    if not breaks:
        # A step below the limit, so that no sliver of a word or two is left over.
        breaks = [match.end() for match in WORD.finditer(text[unit.start : unit.end])][words - 1 :: words]
    left = unit.start
    for right in [*(unit.start + at for at in breaks), unit.end]:
        for part in trimmed(text, left, right):
            yield from [part] if count(text[part.start : part.end]) <= words else shortened(text, part, words)
        left = right


def count(text: str) -> int:
    """Words in `text`."""
    return sum(1 for _ in WORD.finditer(text))
