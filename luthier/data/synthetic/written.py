"""A file of JSON lines that grows line by line and survives kill -9: what was written stays, and is known again.

Every line is on the disk before the next is asked for. A line that was cut off by a crash is taken away; a file that
holds anything but lines of ours is left alone. Knows no kind of row.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from luthier.data.chat_jsonl import parsed
from luthier.data.raw import NotADialogue
from luthier.errors import BadConfig, Busy
from luthier.store.files import writable


class Written:
    """The lines of an open file."""

    def __init__(self, file: BinaryIO, path: Path, held: list[dict[str, Any]]) -> None:
        self.file = file
        self.path = path
        self.held = held
        """The lines that were there when it was opened."""

    def append(self, line: Mapping[str, Any]) -> None:
        """Put a line behind the others, and wait until it lies on the disk. Raises NoRoom."""
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        with writable(self.path):
            end = self.file.seek(0, os.SEEK_END)
            try:
                self.file.write(data)
                self.file.flush()
                os.fsync(self.file.fileno())
            except OSError:
                os.ftruncate(self.file.fileno(), end)
                raise


@contextmanager
def opened(path: Path, ours: Callable[[Mapping[str, Any]], bool]) -> Iterator[Written]:
    """The file `path`, made where there is none, for nobody else meanwhile.

    Without a line at the end it is gone again. Raises BadConfig where a line of it is not `ours`, Busy where another
    process writes it.
    """
    with writable(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with open(handle, "r+b", buffering=0) as file:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"another process writes {path}", "wait until it is done, or name another file") from error
        data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        held = [understood(line, number, path, ours) for number, line in enumerate(whole.split(b"\n")[:-1], 1) if line]
        if len(whole) < len(data):
            if not data[len(whole) :].startswith(b"{"):
                raise foreign(path, whole.count(b"\n") + 1)
            os.ftruncate(handle, len(whole))
        try:
            yield Written(file, path, held)
        finally:
            if os.fstat(handle).st_size == 0:
                path.unlink(missing_ok=True)  # nothing was written: no empty file stays behind


def understood(line: bytes, number: int, path: Path, ours: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
    """A line that is ours. Raises BadConfig."""
    try:
        found = parsed(line.decode())
    except (UnicodeDecodeError, NotADialogue):
        raise foreign(path, number) from None
    if not isinstance(found, dict) or not ours(found):
        raise foreign(path, number)
    return found


def foreign(path: Path, number: int) -> BadConfig:
    """The error for a file that holds something else."""
    return BadConfig(
        f"line {number} of {path} is no synthetic row of this shape",
        "name a file of its own; preferences do not stand beside dialogues",
    )
