"""Files of lines that may be anything: read piece by piece, no line longer than a limit, no byte trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from luthier.data.unpacked import LONGEST, lines_in, opened

__all__ = ["LONGEST", "NOT_UTF8", "TOO_LONG", "lines"]

TOO_LONG = f"the line is longer than {LONGEST // 1_000_000} MB"
NOT_UTF8 = "the line is not UTF-8 text"


def lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file without their ends, numbered from 1; None in place of one that is too long.

    A file may be packed with gzip, or be UTF-16 with its mark. Raises BadData where it cannot be read.
    """
    with opened(path) as file:
        yield from lines_in(file)
