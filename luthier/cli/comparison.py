"""Base against tuned as a table: each measure with its 95 % interval, the difference, and what the gate says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from luthier.records.evaluation import EvalReport, Measure, Verdict

MARKS = {
    "pass": "[green]✓ pass[/green]",
    "fail": "[red]✗ fail[/red]",
    "inconclusive": "[yellow]? inconclusive[/yellow]",
}


def comparison(base: EvalReport, tuned: EvalReport, verdict: Verdict | None) -> Table:
    """One row a measure of the whole suite; slices are left to the report."""
    table = Table(title="Base against tuned (95 % intervals)", title_justify="left", title_style="bold", box=None)
    for column in ("measure", "n", "base", "tuned", "difference", "gate"):
        table.add_column(column, justify="left" if column in ("measure", "gate") else "right", header_style="dim")
    results = {result.measure: result for result in verdict.results} if verdict else {}
    for name in sorted(name for name in tuned.measures if "@" not in name):
        measured, difference = tuned.measures[name], tuned.differences.get(name)
        gate = MARKS[results[name].outcome] if name in results else "[dim]not gated[/dim]"
        row = (
            name,
            str(measured.n),
            spelled(base.measures.get(name)),
            spelled(measured),
            spelled(difference, signed=True),
        )
        table.add_row(*row, gate)
    if verdict:
        table.caption = f"verdict: {MARKS[verdict.outcome]}"
        table.caption_justify = "left"
    return table


def spelled(measure: Measure | None, *, signed: bool = False) -> str:
    """`62.5  (51.2 – 72.9)`, in points of 100."""
    if measure is None:
        return ""
    sign = "+" if signed else ""
    return (
        f"{100 * measure.mean:{sign}.1f}  [dim]({100 * measure.low:{sign}.1f} – {100 * measure.high:{sign}.1f})[/dim]"
    )
