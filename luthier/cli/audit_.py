"""`luthier audit`: nothing was changed, cut or lost, or what was."""

from __future__ import annotations

from pathlib import Path

import click

from luthier.cli.common import json_option, project_option, session, show


@click.group()
def command() -> None:
    """Verify the workspace: ledger, lineage, blobs."""


@command.command()
@project_option
@click.option(
    "--anchor", type=click.Path(exists=True, path_type=Path), help="A checkpoint file that was kept elsewhere."
)
@json_option
def verify(project: Path, anchor: Path | None, as_json: bool) -> None:
    """Recompute every hash: events, tree heads, records, edges, blobs. Exit code 6 where one is wrong."""
    from luthier.errors import Tampered
    from luthier.store import audit

    with session(project, quiet=as_json, create=False) as opened:
        report = audit.verify(opened.workspace, anchor)
    seen = f"{report.events} events, {report.records} records, {report.blobs} blobs"
    if not report.ok:
        problems = "; ".join(report.problems[:5])
        raise Tampered(f"the workspace is not what was recorded ({seen}): {problems}", "restore it from a backup")
    show(report._asdict(), as_json=as_json, table=f"[green]✓[/green] {seen}: all as recorded")


@command.command()
@project_option
@json_option
def checkpoint(project: Path, as_json: bool) -> None:
    """Sign the head of the log. Keep the line elsewhere: it proves later that nothing was cut off."""
    from luthier.store import audit

    with session(project, quiet=as_json, create=False) as opened:
        head = audit.checkpoint(opened.workspace)
    show(head._asdict(), as_json=as_json)


@command.command()
@project_option
@click.option("--subject", help="Only events about this record, key or alias.")
@click.option("--limit", default=50, show_default=True)
@json_option
def log(project: Path, subject: str | None, limit: int, as_json: bool) -> None:
    """The newest events of the ledger."""
    from luthier.cli.common import table_of
    from luthier.records.base import short

    with session(project, quiet=as_json, create=False) as opened:
        events = opened.workspace.ledger.events(subject=subject)[-limit:]
    rows = [(e.seq, str(e.at)[:19], e.by, e.verb, short(e.subject)) for e in events]
    data = {"events": [event._asdict() for event in events]}
    show(data, as_json=as_json, table=table_of("Events", ("no.", "at", "by", "verb", "subject"), rows))
