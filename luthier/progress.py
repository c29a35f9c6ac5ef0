"""How work says how far it is. The terminal, the ledger and the console are three readers of the same calls."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """`done` of `total` units of `task`, with figures such as loss or tokens/s beside it."""

    def __call__(self, task: str, done: int, total: int, /, **figures: float) -> None: ...


def silent(task: str, done: int, total: int, /, **figures: float) -> None:
    """Tells nobody."""


def to_all(*readers: Progress) -> Progress:
    """One progress that tells every reader in turn."""

    def tell(task: str, done: int, total: int, /, **figures: float) -> None:
        for reader in readers:
            reader(task, done, total, **figures)

    return tell
