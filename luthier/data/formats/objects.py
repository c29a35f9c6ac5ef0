"""Files of JSON values: one a line (JSONL), or one list with all of them, which may be larger than memory.

A list is cut into its elements by counting brackets outside of strings, without parsing it whole: an element that is
broken is refused alone, and none is longer than a line may be. Knows no dialogue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from luthier.data.chat_jsonl import parsed
from luthier.data.lines import NOT_UTF8, TOO_LONG
from luthier.data.raw import EXCERPT, NotADialogue, Raw, Refused
from luthier.data.unpacked import LONGEST, PIECE, Bytes, lines_in, opened
from luthier.errors import BadConfig

BLANK = b" \t\r\n"
IN_TEXT = re.compile(rb'["\\]')
OUTSIDE = re.compile(rb'["\[\]{},]')
ROW_TOO_LONG = f"the row is longer than {LONGEST // 1_000_000} MB"
EMPTY_PLACE = "the list has an empty place here, or the file ends before the list does"

Understand = Callable[[int, Any], Raw]
"""A row's number and its JSON in, a dialogue out. Raises NotADialogue."""


class Place(NamedTuple):
    """A JSON text and where it stands: `number` counts rows; `line` is that of the text file."""

    number: int
    line: int
    text: bytes | None
    """None where it is too long."""


def read(
    path: Path, mapping: Mapping[str, str], fields: tuple[str, ...], understand: Understand
) -> Iterator[Raw | Refused]:
    """Every row of `path` as a dialogue or as a refusal; `mapping` says under which names `fields` stand.

    `line` is the line in JSONL, and the position from 1 in a list. Raises BadData, BadConfig for a mapping.
    """
    check_mapping(mapping, fields)
    for number, value, excerpt in values(path):
        if isinstance(value, Refused):
            yield value
        else:
            yield understood(number, renamed(value, mapping), understand, excerpt)


def check_mapping(mapping: Mapping[str, str], fields: tuple[str, ...]) -> None:
    """Raises BadConfig where `mapping` names a field that this format does not have."""
    unknown = sorted(set(mapping) - set(fields))
    if unknown:
        raise BadConfig(f"this format cannot map {unknown[0]!r}", f"it maps {', '.join(fields)}")


def renamed(value: Any, mapping: Mapping[str, str]) -> Any:
    """`value` with its fields under our names."""
    if not mapping or not isinstance(value, dict):
        return value
    taken = set(mapping.values())
    rest = {name: each for name, each in value.items() if name not in taken and name not in mapping}
    return rest | {ours: value[theirs] for ours, theirs in mapping.items() if theirs in value}


def understood(number: int, value: Any, understand: Understand, excerpt: str) -> Raw | Refused:
    """A dialogue, or why it is none."""
    try:
        return understand(number, value)
    except NotADialogue as refusal:
        return Refused(number, str(refusal), excerpt)


def values(path: Path) -> Iterator[tuple[int, Any, str]]:
    """Every JSON value of a file with its number and how it begins; a Refused in place of what is none."""
    with opened(path) as file:
        for place in places(file):
            yield (place.number, *valued(place))


def valued(place: Place) -> tuple[Any, str]:
    """The JSON of a place, or a Refused, and how it begins."""
    number, line, text = place
    if text is None:
        return Refused(number, TOO_LONG if line == number else ROW_TOO_LONG), ""
    if not text:
        return Refused(number, EMPTY_PLACE), ""
    try:
        said = text.decode()
    except UnicodeDecodeError:
        return Refused(number, NOT_UTF8, text[:EXCERPT].decode(errors="replace")), ""
    try:
        return parsed(said), said[:EXCERPT]
    except NotADialogue as refusal:
        where = "" if line == number else f" (row {number} begins on line {line})"
        return Refused(number, f"{refusal}{where}", said[:EXCERPT]), ""


def places(file: Bytes) -> Iterator[Place]:
    """The JSON texts of a file: of each line that is not blank, or of each element of its one list."""
    if is_list(file.peek(PIECE)):
        yield from elements(file)
        return
    for number, line in lines_in(file):
        if line is None or line.strip():
            yield Place(number, number, line)


def is_list(head: bytes) -> bool:
    """Whether a file that begins with `head` is one list, and not lines that are lists themselves."""
    text = head.lstrip(BLANK)
    if not text.startswith(b"["):
        return False
    first, _, rest = text.partition(b"\n")
    return not (first.rstrip(BLANK).endswith(b"]") and rest.lstrip(BLANK).startswith(b"["))


def elements(file: Bytes) -> Iterator[Place]:
    """The elements of the list that `file` holds."""
    cutter = Cutter()
    while piece := file.read(PIECE):
        yield from cutter.cut(piece)
    yield from cutter.rest()


class Cutter:
    """Where one element of a list ends and the next begins, piece by piece."""

    def __init__(self) -> None:
        self.depth = 0
        """Brackets that are open; 1 within the list itself."""
        self.in_text = False
        self.escaped = False
        self.number = 0
        self.line = 1
        self.begun = 1
        """Line on which the element begins."""
        self.held: list[bytes] = []
        self.length = 0

    def cut(self, piece: bytes) -> Iterator[Place]:
        """The elements that end within `piece`."""
        start, place, self.escaped = 0, int(self.escaped), False
        while found := (IN_TEXT if self.in_text else OUTSIDE).search(piece, place):
            sign, place = found[0], found.end()
            if sign == b"\\":
                place += 1
                self.escaped = place > len(piece)
            elif sign == b'"':
                self.in_text = not self.in_text
            elif self.parts(sign):
                self.keep(piece[start : found.start()])
                yield from self.ended(blank=sign == b",")
                start = place
        self.keep(piece[start:])

    def parts(self, sign: bytes) -> bool:
        """Whether an element ends at `sign`. What stands before the list is one that is no JSON."""
        if sign in b"[{":
            opens = self.depth > 0 or sign == b"["
            self.depth += opens
            return opens and self.depth == 1
        if sign == b",":
            return self.depth == 1
        if self.depth == 1:  # a brace that closes nothing spoils its element, not those behind it
            self.depth -= sign == b"]"
            return sign == b"]"
        self.depth -= self.depth > 0
        return False

    def keep(self, data: bytes) -> None:
        """Add to the element, without the white space that it begins with."""
        if not self.length:
            lines, data = data, data.lstrip(BLANK)
            self.line += lines.count(b"\n", 0, len(lines) - len(data))
            self.begun = self.line
        self.line += data.count(b"\n")
        self.length += len(data)
        if self.length <= LONGEST:
            self.held.append(data)
        else:
            self.held.clear()

    def ended(self, *, blank: bool) -> Iterator[Place]:
        """The element that ends here; nothing where it is `blank` and may not be."""
        if self.length or blank:
            self.number += 1
            text = b"".join(self.held).rstrip(BLANK) if self.length <= LONGEST else None
            yield Place(self.number, self.begun, text)
        self.held, self.length = [], 0

    def rest(self) -> Iterator[Place]:
        """What is left at the end of the file: where the list was not closed, rows may be lost, and that is told."""
        between = self.depth == 1 and not self.in_text
        yield from self.ended(blank=False)
        if between:
            yield from self.ended(blank=True)
