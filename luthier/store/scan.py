"""A byte scan: where a value, in several spellings, or a text still stands in the files of a folder.

Looks at bytes, so it sees what is deleted but not overwritten. What lies compressed (a PDF, a zip) it cannot see.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

CHUNK = 1 << 22
"""Bytes read at once."""
FIGURES = 7
"""From so many figures on a value is a number, and its grouping does not count."""
SHORTEST = 6
"""A value of fewer letters is not looked for in weights, where chance alone spells it."""
WEIGHTS = (".safetensors", ".gguf", ".pt", ".bin", ".npy")
BLANK = rb"(?:\s|[.,_+\-]|\xc2\xa0|\\[ntr]|\\u00a0|%20){0,3}"
"""What may stand between two words of a value."""
GROUPING = rb"(?:[ .\-/()_+]|\xc2\xa0|\\u00a0|%20){0,3}"
"""What may stand between two figures of a number."""


class Needles(NamedTuple):
    """What is looked for."""

    value: re.Pattern[bytes]
    texts: tuple[bytes, ...] = ()
    short: bool = False
    """The value is so short that it stands in any weights."""
    words: tuple[bytes, ...] | None = None
    """A word of each value that stands in all of its spellings; None where a value has no such word."""

    def place(self, data: bytes) -> int | None:
        """Where the first of them stands in `data`, or None."""
        likely = self.words is None or any(word in lower for lower in (data.lower(),) for word in self.words)
        if likely and (found := self.value.search(data)):
            return found.start()
        return next((at for text in self.texts if (at := data.find(text)) >= 0), None)


class Left(NamedTuple):
    """A place where something was found: a file below the folder, and the byte."""

    file: str
    offset: int


def needles(values: Iterable[str], texts: Iterable[str] = ()) -> Needles:
    """What finds `values` in any of their spellings, and `texts` word for word, plain or as JSON has them."""
    values = [" ".join(value.split()) for value in values]
    spelled = b"|".join(spellings(value) for value in values) or rb"(?!)"
    plain = {form.encode() for text in texts for form in (text, json.dumps(text)[1:-1], quoted(text))}
    found = re.compile(rb"(?<![A-Za-z0-9])(?:" + spelled + rb")(?![A-Za-z0-9])", re.IGNORECASE)
    likely = [plain_word(value) for value in values]
    words = tuple(word for word in likely if word)
    short = min(map(len, values), default=SHORTEST) < SHORTEST
    return Needles(found, tuple(sorted(plain)), short, words if len(words) == len(likely) else None)


def plain_word(value: str) -> bytes:
    """The longest word of a value that has one spelling apart from its case, or nothing. Finding it is far quicker."""
    if is_number(value):
        return b""
    return max((word.lower().encode() for word in value.split() if word.isascii()), key=len, default=b"")


def is_number(value: str) -> bool:
    """Whether the grouping of a value does not count."""
    return "@" not in value and sum(letter.isdigit() for letter in value) >= FIGURES


def quoted(text: str) -> str:
    """`text` inside a JSON string whose letters are kept as they are."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def spellings(value: str) -> bytes:
    """A pattern for a value: upper and lower case, composed or not, escaped as in JSON, blanks and grouping aside."""
    if is_number(value):
        return GROUPING.join(letter_of(letter) for letter in value if letter.isalnum())
    words = [b"".join(letter_of(letter) for letter in normalize("NFC", word)) for word in value.split()]
    if len(words) == 2:  # Kovar, Marta
        return BLANK.join(words) + b"|" + BLANK.join(reversed(words))
    return BLANK.join(words)


def letter_of(letter: str) -> bytes:
    """A pattern for one letter in UTF-8; the case of ASCII is left to the flag of the whole pattern."""
    if letter.isascii():
        return re.escape(letter.encode())
    forms = {letter, letter.lower(), letter.upper(), letter.casefold()}
    forms |= {normalize("NFD", form) for form in forms}
    spelled = {re.escape(form) for form in forms} | {re.escape(json.dumps(form)[1:-1]) for form in forms}
    return b"(?:" + "|".join(sorted(spelled, key=len, reverse=True)).encode() + b")"


def files_of(folder: Path) -> Iterator[Path]:
    """Every file below `folder`, also hidden ones; links are not followed."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def is_weights(path: Path, weights: frozenset[str]) -> bool:
    """Whether a file holds numbers alone: by its ending, or as a blob that a model names so."""
    return path.suffix in WEIGHTS or path.name in weights


def found_in(chunks: Iterable[bytes], wanted: Needles) -> int | None:
    """The byte at which the first of the needles stands in a stream, or None."""
    overlap = max(1024, *(len(text) for text in wanted.texts), 0) if wanted.texts else 1024
    before, base = b"", 0
    for chunk in chunks:
        data = before + chunk
        if (at := wanted.place(data)) is not None:
            return base + at
        before = data[-overlap:]
        base += len(data) - len(before)
    return None


def pieces(path: Path) -> Iterator[bytes]:
    """A file piece by piece."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def scan(folder: Path, wanted: Needles, weights: frozenset[str] = frozenset()) -> tuple[list[Left], int, int]:
    """Every file below `folder` that holds one of the needles; how many files and bytes were looked at.

    Texts are not looked for in weights (a file's name in `weights`, or its ending), nor is a short value.
    """
    left, files, size = [], 0, 0
    bare = wanted._replace(texts=())
    for path in files_of(folder):
        numbers = is_weights(path, weights)
        if numbers and wanted.short:
            continue
        try:
            at = found_in(pieces(path), bare if numbers else wanted)
            size += path.stat().st_size
        except FileNotFoundError:  # a lock, or a file of a table that is rewritten meanwhile
            continue
        files += 1
        if at is not None:
            left.append(Left(str(path.relative_to(folder)), at))
    return left, files, size


def lines_with(path: Path, wanted: Needles) -> Sequence[int]:
    """The numbers, from 1, of the lines of a file that hold one of the needles."""
    with path.open("rb") as file:
        return [number for number, line in enumerate(file, start=1) if wanted.place(line) is not None]
