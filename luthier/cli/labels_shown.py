"""Labels as commands print them: for people and for machines. Knows no ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from luthier.cli.common import table_of
from luthier.records.base import short

if TYPE_CHECKING:
    from luthier.data.labels import Settled
    from luthier.workflows.labels import Standing, Taken

LISTED = 20
"""Rows that people are shown; --json names all."""


def taken(done: Taken) -> dict[str, Any]:
    """What was imported, for machines."""
    return {
        "labels": done.labels.id if done.labels else None,
        "new": done.new,
        "known": done.known,
        "skipped": done.skipped,
        "refused": [{"task": each.line, "reason": each.reason} for each in done.refused],
    }


def told(done: Taken, file: Path) -> list[str]:
    """What was imported, for people."""
    head = f"[bold]{done.new}[/bold] new labels" + (f" in {short(done.labels.id)}" if done.labels else "")
    lines = [f"{head}, {done.known} known already, {done.skipped} drafts, {len(done.refused)} refused"]
    lines += [f"  {escape(str(file))}:{each.line}  {escape(each.reason)}" for each in done.refused[:LISTED]]
    more = len(done.refused) - LISTED
    return lines + ([f"  … and {more} more (--json names all)"] if more > 0 else [])


def head(standing: Standing) -> str:
    """The set of labels in a few lines."""
    held = standing.labels
    last = f"on {standing.last.at[:19]} by {escape(standing.last.by)}" if standing.last else "never"
    return (
        f"[bold]{short(held.id)}[/bold] {held.count} labels on {standing.rows} rows by "
        f"{escape(', '.join(held.annotators) or 'nobody')}\n"
        f"settled    {last}; {standing.reached} rows of the newest dataset carry labels"
    )


def agreed(standing: Standing) -> Table:
    """How far annotators agree on each question."""
    rows = [
        (
            each.question,
            ", ".join(each.annotators),
            each.rows,
            figure(each.alpha),
            figure(mean(each.kappa)),
            figure(each.f1),
        )
        for each in standing.agreement
    ]
    title = "Agreement beyond chance (Krippendorff's alpha; Cohen's kappa, mean of the pairs)"
    return table_of(title, ("question", "annotators", "shared rows", "alpha", "kappa", "F1"), rows)


def mean(kappas: dict[tuple[str, str], float | None]) -> float | None:
    """The mean of the pairs for which kappa is defined."""
    known = [kappa for kappa in kappas.values() if kappa is not None]
    return sum(known) / len(known) if known else None


def figure(value: float | None) -> str:
    """A figure of agreement; a dash where it is not defined."""
    return "–" if value is None else f"{value:.3f}"


def open_rows(settled: Sequence[Settled]) -> list[str]:
    """What stays open, row by row."""
    left = [each for each in settled if each.value is None]
    done = len(settled) - len(left)
    lines = [f"[bold]{done}[/bold] answers settled, [bold]{len(left)}[/bold] open"]
    for each in left[:LISTED]:
        why = f"{', '.join(each.by)} differ" if each.how == "unresolved" else f"only {', '.join(each.by) or 'nobody'}"
        lines.append(f"  {escape(each.row)}  {escape(each.question)}  [dim]{escape(why)}[/dim]")
    more = len(left) - LISTED
    return lines + ([f"  … and {more} more (--json names all)"] if more > 0 else [])


def as_data(standing: Standing) -> dict[str, Any]:
    """How labelling stands, for machines."""
    return {
        "labels": standing.labels.id,
        "count": standing.labels.count,
        "annotators": list(standing.labels.annotators),
        "rows": standing.rows,
        "reached": standing.reached,
        "settled_at": standing.last.at if standing.last else None,
        "agreement": [
            {
                "question": each.question,
                "annotators": list(each.annotators),
                "rows": each.rows,
                "alpha": each.alpha,
                "kappa": [{"annotators": list(pair), "kappa": kappa} for pair, kappa in each.kappa.items()],
                "f1": each.f1,
            }
            for each in standing.agreement
        ],
        "settled": sum(each.value is not None for each in standing.settled),
        "open": opened_up(standing.settled),
    }


def opened_up(settled: Sequence[Settled]) -> list[dict[str, Any]]:
    """What stays open, for machines."""
    return [
        {"row": each.row, "question": each.question, "how": each.how, "by": list(each.by)}
        for each in settled
        if each.value is None
    ]
