"""`luthier data`: building dataset versions and looking into them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape

from luthier.cli import version_commands
from luthier.cli.common import json_option, project_option, session, show, table_of
from luthier.cli.labels_command import labels
from luthier.cli.report_command import command as report
from luthier.cli.reveal_command import reveal
from luthier.cli.scrub_command import scrub
from luthier.cli.synthesize_command import synthesize


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
    from luthier.data import tags
    from luthier.store import erasure
    from luthier.workflows import versions

    with session(project, quiet=True, create=False) as opened:
        named = versions.resolved(opened, dataset)
        version = erasure.left_of(opened.workspace.ledger, named)
        called = [name for name, tag in tags.ls(opened.workspace.ledger).items() if tag.version == named.id]
        lines = list(opened.workspace.blobs.lines(version.quarantine)) if version.quarantine else []
    gone = sum(named.counts.values()) - sum(version.counts.values())
    body = (
        {"id": named.id, "tags": called, "forgotten": gone}
        | version.body()
        | ({"refused": lines} if quarantine else {})
    )
    show(body, as_json=as_json, table=None if as_json else described(version, named.id, called, gone))
    if quarantine and not as_json:
        for line in lines:
            click.echo(f"{line['source']}:{line['line']}  {line['reason']}")


@command.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--format", "kind", help="What FILE is, where it is not to be recognised: chat-jsonl, csv, alpaca, …")
@click.option("--map", "mapping", multiple=True, metavar="FIELD=COLUMN", help="For tables; may be repeated.")
@click.option("--base", help="Show rows in this model's chat template. Default: the project's base, if any.")
@project_option
@json_option
def check(
    file: Path, kind: str | None, mapping: tuple[str, ...], base: str | None, project: Path, as_json: bool
) -> None:
    """Say what FILE (or a folder) is, show its first rows as training sees them, name every row that is refused."""
    from luthier.cli.shown_rows import checked, print_checked
    from luthier.errors import BadConfig

    pairs = [pair.partition("=")[::2] for pair in mapping]
    if not all(field and column for field, column in pairs):
        raise BadConfig("--map takes a field and a column", "write it as --map user=question")
    found = checked(file, kind, dict(pairs), project=project, base=base)
    if as_json:
        show(found.data(), as_json=True)
    else:
        print_checked(found)


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


for each in (
    reveal,
    report,
    scrub,
    synthesize,
    labels,
    version_commands.diff,
    version_commands.export,
    version_commands.tag,
    version_commands.card,
):
    command.add_command(each)


def described(version: object, called: str = "", tags: Sequence[str] = (), forgotten: int = 0) -> str:
    """A dataset version in a few lines; `called` is its id where `version` is what is left of it."""
    from luthier.records.base import short
    from luthier.records.data import DatasetVersion

    assert isinstance(version, DatasetVersion)

    def counted(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"

    sources = escape("; ".join(f"{s.name}: {s.rows} rows, {s.licence}, {s.consent}" for s in version.sources))
    gone = f"\nretired    {forgotten} rows went with people who were forgotten" if forgotten else ""
    ruled = "".join(f", {count} because {escape(rule)}" for rule, count in version.left_out.items())
    return (
        f"[bold]{short(called or version.id)}[/bold] {escape(version.name)} {escape(' '.join(tags))}\n"
        f"rows       {counted(version.counts)}\n"
        f"languages  {counted(version.languages)}\n"
        f"replaced   {counted(version.personal)}\n"
        f"left out   {version.duplicates} duplicates, {version.quarantined} refused{ruled}\n"
        f"sources    {sources}" + gone
    )
