"""Progress as bars with what is left and figures such as loss and tokens/s; plain lines where nobody looks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from luthier.progress import Progress as Tell
from luthier.progress import silent

EVERY = 15.0
"""Seconds between two plain lines of one task."""
LABELS = {
    "scrub": "scrubbing dialogues",
    "embed": "embedding passages",
    "synthesize": "writing rows",
    "ground": "finding passages for dialogues",
    "train": "training",
    "search": "searching",
    "evaluate": "asking the suite",
}


@contextmanager
def bars(*, quiet: bool = False) -> Iterator[Tell]:
    """A progress that draws bars on standard error, or lines where it is no terminal."""
    console = Console(stderr=True, highlight=False)
    if quiet:
        yield silent
    elif not console.is_terminal:
        yield lines(console)
    else:
        columns = (
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<32}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("[dim]{task.fields[figures]}"),
        )
        with Progress(*columns, console=console) as drawn:
            yield drawing(drawn)


def drawing(drawn: Progress) -> Tell:
    """Tells a rich progress display; a task begins anew when it falls back."""
    tasks: dict[str, TaskID] = {}

    def tell(task: str, done: int, total: int, /, **figures: float) -> None:
        known = tasks.get(task)
        if known is None or (drawn.tasks[known].finished and done < total):
            tasks[task] = drawn.add_task(LABELS.get(task, task), total=total or None, figures="")
        drawn.update(tasks[task], completed=done, total=total or None, figures=spelled(figures))

    return tell


def lines(console: Console) -> Tell:
    """Tells a log: a line when a task begins, one every few seconds, one when it is done."""
    told: dict[str, float] = {}
    finished: set[str] = set()

    def tell(task: str, done: int, total: int, /, **figures: float) -> None:
        now = time.monotonic()
        early = done < total and now - told.get(task, 0.0) < EVERY
        if not total or early or (done == total and task in finished):
            return
        told[task] = now
        (finished.add if done == total else finished.discard)(task)
        console.print(f"{LABELS.get(task, task)}: {done}/{total} {spelled(figures)}".rstrip())

    return tell


def spelled(figures: dict[str, float]) -> str:
    """`loss 1.23 · 412 tokens/s`."""
    names = {"tokens_s": "tokens/s"}
    said = []
    for name, value in figures.items():
        number = {"loss": f"{value:.3f}", "utilisation": f"{value:.0%}"}.get(name, f"{value:,.0f}")
        said.append(f"{number} {names[name]}" if name in names else f"{name} {number}")
    return " · ".join(said)
