"""Files written whole or not at all, and one sentence for a full disk. Knows nothing of what is in them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import BinaryIO

from luthier.errors import BadConfig, NoRoom

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""No space, over quota, over the process's file-size limit: to a user they are one thing."""


def no_room(where: object) -> NoRoom:
    """The error for a disk that takes no more bytes."""
    return NoRoom(
        f"the disk takes no more bytes (full, over quota, or failing): {where} could not be written",
        "free some space and repeat; nothing half-written was kept",
    )


@contextmanager
def writable(where: Path) -> Iterator[None]:
    """Turn the system's refusals to write `where` into NoRoom or BadConfig."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise no_room(where) from error
        raise BadConfig(
            f"{where} cannot be written: {error.strerror or error}", "check the path and its rights"
        ) from error


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends well.

    Killed at any moment, the old or the new stands there whole.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}")
    with writable(path):
        try:
            handle = os.open(staged, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode)
            with open(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(handle)
            os.replace(staged, path)
        finally:
            staged.unlink(missing_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until the file or folder `path` lies on the disk, so that it outlives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
