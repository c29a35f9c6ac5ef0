"""One piece of work at a time: a lock that the system releases however its holder ends, kill -9 included."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luthier.errors import Busy
from luthier.store.files import writable


@contextmanager
def held(path: Path, purpose: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path` for `purpose`. Raises Busy that names the holder, or waits for its end.

    It is not re-entrant: the same process asking twice is refused as well.
    """
    with writable(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"the workspace {path.parent} is in use by {holder(handle)}", "wait until it is done") from error
        told = json.dumps({"pid": os.getpid(), "purpose": purpose}).encode()
        os.ftruncate(handle, 0)
        os.pwrite(handle, told, 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)
            fcntl.flock(handle, fcntl.LOCK_UN)  # or a forked child, which has the file open too, would hold it on
    finally:
        os.close(handle)


def holder(handle: int) -> str:
    """Who says in the lock file that they hold it. For the moment before they have written it nobody does."""
    try:
        told = json.loads(os.pread(handle, 4096, 0))
        return f"process {told['pid']} ({told['purpose']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
