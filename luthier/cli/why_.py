"""`luthier why`: from an answer to everything that it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.tree import Tree

from luthier.cli.common import json_option, project_option, session, show

if TYPE_CHECKING:
    from luthier.workflows.lineage import Why


@click.command()
@click.argument("answer")
@project_option
@json_option
def command(answer: str, project: Path, as_json: bool) -> None:
    """The whole chain behind ANSWER (the id of a completion, or its beginning)."""
    from luthier.workflows.lineage import why

    with session(project, quiet=as_json, create=False) as opened:
        found = why(opened, answer)
    show(as_data(found), as_json=as_json, table=as_tree(found))  # type: ignore[arg-type]


def as_data(found: Why) -> dict[str, object]:
    """The chain as JSON data."""
    return {
        "trace": found.trace.model_dump(mode="json"),
        "chain": [{"role": s.role, "id": s.id, "depth": s.depth, "record": s.record.body()} for s in found.steps],
        "rows": [row.body() for row in found.rows],
        "approvals": [event._asdict() for event in found.approvals],
    }


def as_tree(found: Why) -> Tree:
    """The chain as a person reads it: what was asked and said, the passages, the model's making."""
    from luthier.records.base import short
    from luthier.workflows.words import in_words

    trace = found.trace
    root = Tree(f"[bold]{trace.id}[/bold] [dim]{trace.at[:19]} · {trace.alias} · {trace.ending}[/dim]")
    said = root.add("what was said")
    for message in trace.messages:
        said.add(f"[dim]{message.role}[/dim] {escape(message.content)}")
    said.add(f"[dim]answer[/dim] {escape(trace.answer)}")
    if trace.decisions:
        rules = root.add("policy decisions")
        for decision in trace.decisions:
            because = f"[dim]{escape(decision.why)} ({decision.evidence})[/dim]"
            rules.add(f"{escape(decision.rule)} → {decision.action} on {decision.side} {because}")
    cited = root.add(f"passages [dim]{len(trace.passages)} read, {len(trace.citations)} cited[/dim]")
    for citation in trace.citations:
        mark = "[green]✓ verified[/green]" if citation.verified else "[red]not verified[/red]"
        place = f"{citation.document}@{citation.digest[:12]} {citation.start}–{citation.end}"
        cited.add(
            f"\\[{citation.marker}] {escape(citation.title)} [dim]{place}[/dim] {mark}\n“{escape(citation.quote)}”"
        )
    made = root.add("what it was made from")
    for step in sorted(found.steps, key=lambda step: step.depth):
        made.add(f"{step.role}: [bold]{short(step.id)}[/bold] [dim]{escape(in_words(step.record))}[/dim]")
    for event in found.approvals:
        made.add(f"{event.verb} by [bold]{escape(event.by)}[/bold] [dim]{str(event.at)[:19]}[/dim]")
    if found.rows:
        rows = root.add("training rows about the same documents")
        for row in found.rows:
            rows.add(
                f"{row.id} [dim]{escape(row.source)}, line {row.line}[/dim] {escape(row.messages[-1].content[:90])}"
            )
    return root
