"""Rows that wait in a temporary file until it is known which of them stay: memory does not grow with their texts."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.data.prepared import Ready
from luthier.records.data import Split


class Waiting(NamedTuple):
    """A row that may stay, and what is counted of it."""

    id: str
    source: str
    line: int
    split: Split
    language: str
    types: tuple[str, ...]
    """Of the personal data that was replaced in it."""
    sealed: str
    """Its entry in the vault, or ""."""
    row: bytes
    """The row as a line of JSON, with placeholders."""
    written: bytes
    """The line that the dataset will hold."""

    def body(self) -> dict[str, Any]:
        """The row as JSON data; fields at their default are not there."""
        data: dict[str, Any] = json.loads(self.row)
        return data


class WaitingRows:
    """The rows in `file`, a temporary one: gone when it is closed, even by kill -9.

    They are scrubbed already, and what was taken out of them is sealed: nothing in the file names anybody.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.numbers = array("Q")
        """The ids as numbers."""

    def add(self, ready: Ready, source: str, line: int, sealed: str = "") -> None:
        """Put a row behind the others."""
        head = [ready.id, source, line, ready.split, ready.language, ready.types, sealed]
        self.file.write(json.dumps(head).encode() + b"\n" + ready.row + b"\n" + ready.written + b"\n")
        self.numbers.append(int(ready.id, 16))

    def __iter__(self) -> Iterator[Waiting]:
        """Every row, in order. One reader at a time."""
        self.file.seek(0)
        for head in self.file:
            name, source, line, split, language, types, sealed = json.loads(head)
            row = next(self.file)[:-1]
            written = next(self.file)[:-1]
            yield Waiting(name, source, line, split, language, tuple(types), sealed, row, written or row)

    def ids(self) -> NDArray[np.uint64]:
        """The ids of all rows as numbers."""
        return np.array(self.numbers, np.uint64)
