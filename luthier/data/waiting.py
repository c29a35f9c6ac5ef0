"""Rows that wait in a temporary file until it is known which of them stay: memory does not grow with their texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, NamedTuple

from luthier.records.data import Row


class Waiting(NamedTuple):
    """A row, the types of personal data that were replaced in it, and the keyed hashes of the people."""

    row: Row
    types: tuple[str, ...]
    people: tuple[str, ...]


class WaitingRows:
    """The rows in `file`, a temporary one: gone when it is closed, even by kill -9. They are scrubbed already."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def add(self, waiting: Waiting) -> None:
        """Put a row behind the others."""
        row = waiting.row.model_dump(mode="json", exclude_defaults=True)
        self.file.write(json.dumps([row, waiting.types, waiting.people]) + "\n")

    def __iter__(self) -> Iterator[Waiting]:
        """Every row, in order. One reader at a time."""
        self.file.seek(0)
        for line in self.file:
            row, types, people = json.loads(line)
            yield Waiting(Row.model_validate(row), tuple(types), tuple(people))

    def rows(self) -> Iterator[Row]:
        """Every row, without the rest."""
        return (waiting.row for waiting in self)
