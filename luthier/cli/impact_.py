"""`luthier impact`: from a person, a row or a document to everything that it went into."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape
from rich.tree import Tree

from luthier.cli.common import json_option, project_option, session, show


@click.command()
@click.argument("asked")
@project_option
@json_option
def command(asked: str, project: Path, as_json: bool) -> None:
    """What ASKED (a name, IBAN, e-mail, row id or document) went into: datasets, models, deployments."""
    from luthier.records.base import short
    from luthier.workflows.lineage import impact
    from luthier.workflows.words import in_words

    with session(project, quiet=as_json, create=False) as opened:
        found = impact(opened, asked)
    data = {
        "asked": asked,
        "rows": {version: list(rows) for version, rows in found.rows.items()},
        "touched": [{"role": s.role, "id": s.id, "record": s.record.body()} for s in found.touched],
        "aliases": list(found.aliases),
        "forgotten": found.forgotten,
    }
    root = Tree(f"[bold]{escape(asked)}[/bold]")
    rows = root.add("stands in")
    for version, named in found.rows.items():
        rows.add(f"[bold]{short(version)}[/bold] [dim]{len(named)} rows: {', '.join(named[:6])}[/dim]")
    for version, gone in found.forgotten.items():
        rows.add(f"[bold]{short(version)}[/bold] [dim]{gone} rows were erased: the person was forgotten[/dim]")
    touched = root.add("went into")
    for step in found.touched:
        touched.add(f"{step.record.kind}: [bold]{short(step.id)}[/bold] [dim]{escape(in_words(step.record))}[/dim]")
    if found.aliases:
        root.add(f"served as {', '.join(found.aliases)}")
    show(data, as_json=as_json, table=root)  # type: ignore[arg-type]
