"""Work that is not generation (embedding, reading an adapter), done by the thread that computes, between two passes.

A second thread with an OpenMP team of its own would outnumber the processors; libgomp then lets idle workers sleep
instead of spin, and every pass takes half as long again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from luthier.errors import LuthierError

T = TypeVar("T")


class Errands:
    """What was asked for and is not done yet. Whoever adds tells the thread that runs them."""

    def __init__(self) -> None:
        self.left: deque[tuple[Callable[[], Any], Future[Any]]] = deque()

    def __bool__(self) -> bool:
        return bool(self.left)

    def add(self, work: Callable[[], T]) -> Future[T]:
        """Put `work` at the end of the line."""
        done: Future[T] = Future()
        self.left.append((work, done))
        return done

    def run_next(self) -> None:
        """Do the first errand; what it raises is for whoever asked."""
        work, done = self.left.popleft()
        if not done.set_running_or_notify_cancel():
            return
        try:
            done.set_result(work())
        except (LuthierError, RuntimeError, MemoryError, ValueError, OSError) as error:
            done.set_exception(error)

    def cancel(self) -> None:
        """Do none of them."""
        for _, done in self.left:
            done.cancel()
        self.left.clear()
