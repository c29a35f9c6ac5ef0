"""A child process that ends when its parent does, even by kill -9, so that nothing is left running behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

MARK = "LUTHIER_PARENT"
"""Set by a parent that wants this; holds its process id."""


def end_with_parent() -> None:
    """Where the parent asked for it: be sent SIGTERM when it dies (Linux). Called first thing by each child."""
    parent = os.environ.get(MARK)
    if not parent:
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6", use_errno=True).prctl(1, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before we asked
        os.kill(os.getpid(), signal.SIGTERM)
