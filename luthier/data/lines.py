"""Files of lines that may be anything: read piece by piece, no line longer than a limit, no byte trusted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from luthier.errors import BadData

LONGEST = 10_000_000
"""Bytes in a line."""
MARK = b"\xef\xbb\xbf"
"""The byte order mark that Windows puts before UTF-8."""
TOO_LONG = f"the line is longer than {LONGEST // 1_000_000} MB"
NOT_UTF8 = "the line is not UTF-8 text"


def lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file without their ends, numbered from 1; None in place of one that is too long.

    Raises BadData where the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST and not line.endswith(b"\n"):
                    while (more := file.readline(LONGEST)) and not more.endswith(b"\n"):
                        pass
                    yield number, None
                    continue
                yield number, line.removeprefix(MARK if number == 1 else b"").rstrip(b"\r\n")
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror or error}", "check the path and its rights") from error
