"""`luthier data`: building dataset versions and looking into them."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from luthier.cli.common import json_option, project_option, session, show, table_of


@click.group()
def command() -> None:
    """Datasets: build, show, check a file, score the scrubber."""


@command.command()
@project_option
@json_option
def build(project: Path, as_json: bool) -> None:
    """Read the sources, scrub, drop duplicates, split: the next dataset version. Accepted reviews join it."""
    from luthier.workflows import data

    with session(project, quiet=as_json) as opened, opened.workspace.lock("building a dataset"):
        version = data.build(opened, previous=data.latest(opened))
    show({"id": version.id} | version.body(), as_json=as_json, table=None if as_json else described(version))


@command.command("show")
@click.argument("dataset", required=False)
@click.option("--quarantine", is_flag=True, help="List the refused rows with file, line and reason.")
@project_option
@json_option
def show_version(dataset: str | None, quarantine: bool, project: Path, as_json: bool) -> None:
    """What stands in DATASET (default: the newest), and what was refused."""
    from luthier.errors import Missing
    from luthier.records.data import DatasetVersion
    from luthier.workflows import data

    with session(project, quiet=True, create=False) as opened:
        version = opened.workspace.ledger.get(dataset, DatasetVersion) if dataset else data.latest(opened)
        if version is None:
            raise Missing("there is no dataset yet", "build one first: luthier data build")
        lines = list(opened.workspace.blobs.lines(version.quarantine)) if version.quarantine else []
    body = {"id": version.id} | version.body() | ({"refused": lines} if quarantine else {})
    show(body, as_json=as_json, table=None if as_json else described(version))
    if quarantine and not as_json:
        for line in lines:
            click.echo(f"{line['source']}:{line['line']}  {line['reason']}")


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "kind", default="chat-jsonl", show_default=True)
@click.option("--map", "mapping", multiple=True, metavar="FIELD=COLUMN", help="For tables; may be repeated.")
@json_option
def check(file: Path, kind: str, mapping: tuple[str, ...], as_json: bool) -> None:
    """Read FILE and name every row that would be refused, with its line and why."""
    from luthier.errors import BadConfig
    from luthier.workflows.data import check as check_file

    pairs = [pair.partition("=")[::2] for pair in mapping]
    if not all(field and column for field, column in pairs):
        raise BadConfig("--map takes a field and a column", "write it as --map user=question")
    found = check_file(file, kind, dict(pairs))
    rows = [(line, reason) for line, reason in found.refused[:50]]
    show(
        {"rows": found.rows, "refused": [{"line": line, "reason": reason} for line, reason in found.refused]},
        as_json=as_json,
        table=table_of(f"{found.rows} rows are good, {len(found.refused)} are refused", ("line", "why"), rows),
    )


@command.command()
@click.argument("dialogues", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("gold", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def score(dialogues: Path, gold: Path, as_json: bool) -> None:
    """Recall and precision of the scrubber on DIALOGUES whose personal data GOLD names by its offsets."""
    from luthier.workflows.data import score as score_scrubber

    found = score_scrubber(dialogues, gold)
    rows = [(name, f.marked, f.recall, f.found, f.precision) for name, f in found.items()]
    table = table_of("Scrubber", ("type", "planted", "recall", "found", "precision"), rows)
    show(
        {"types": {name: f._asdict() | {"recall": f.recall, "precision": f.precision} for name, f in found.items()}},
        as_json=as_json,
        table=table,
    )


def described(version: object) -> str:
    """A dataset version in a few lines."""
    from luthier.records.base import short
    from luthier.records.data import DatasetVersion

    assert isinstance(version, DatasetVersion)

    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"

    sources = escape("; ".join(f"{s.name}: {s.rows} rows, {s.licence}, {s.consent}" for s in version.sources))
    return (
        f"[bold]{short(version.id)}[/bold] {escape(version.name)}\n"
        f"rows       {counted(version.counts)}\n"
        f"languages  {counted(version.languages)}\n"
        f"replaced   {counted(version.personal)}\n"
        f"left out   {version.duplicates} duplicates, {version.quarantined} refused\n"
        f"sources    {sources}"
    )
