"""A child process that ends when its parent does, even by kill -9, so that nothing is left running behind."""

from __future__ import annotations

import os
import signal
import threading

MARK = "LUTHIER_CHILD"
"""Set by a parent that wants this. It holds the other end of the child's standard input and writes nothing to it."""


def end_with_parent() -> None:
    """Where the parent asked for it: be sent SIGTERM when it is gone. Called first thing by each child.

    The system closes the pipe however the parent ends. (Linux can signal a parent's death too, but takes the end of
    the THREAD that started the child for it.)
    """
    if os.environ.pop(MARK, None):  # not for the child's own children, whose input is another
        threading.Thread(target=_watch, name="parent", daemon=True).start()


def _watch() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
