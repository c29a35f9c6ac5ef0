"""Commands of `luthier data` about versions: diff, export, tag, card. The group itself stands in `data_`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from luthier.cli.common import json_option, project_option, session, show, table_of

if TYPE_CHECKING:
    from luthier.data.diff import Diff, Side

FORMATS = ("chat-jsonl", "preferences", "preferences-openai", "ratings", "completions", "alpaca", "sharegpt")
LISTED = 20
"""Rows of each side that people are shown."""


@click.command()
@click.argument("before", required=False)
@click.argument("after", required=False)
@project_option
@json_option
def diff(before: str | None, after: str | None, project: Path, as_json: bool) -> None:
    """Rows in, out and changed from BEFORE to AFTER (ids or tags), why, and what each version is made of.

    Default: the newest version and the one before it.
    """
    from rich.console import Console

    from luthier.workflows import versions

    with session(project, quiet=True, create=False) as opened:
        new = versions.resolved(opened, after)
        old = versions.resolved(opened, before) if before else versions.before(opened, new)
        found = versions.diff(opened, old, new)
    if as_json:
        show(as_data(found) | {"before": old.id, "after": new.id}, as_json=True)
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(summary(found))
    for facet, values in found.composition.items():
        moved = [(value, was, now, f"{now - was:+d}") for value, (was, now) in values.items() if was != now]
        if moved:
            console.print(table_of(facet.capitalize(), ("", "before", "after", "change"), moved))


def as_data(found: Diff) -> dict[str, object]:
    """The difference, for machines."""
    sides = {"in": found.into, "out": found.out, "changed": found.changed}
    return {
        "same": found.same,
        **{
            name: {"rows": side.rows, "why": side.why, "lines": [line._asdict() for line in side.lines]}
            for name, side in sides.items()
        },
        "sources": list(found.sources),
        "composition": {
            facet: {value: {"before": was, "after": now} for value, (was, now) in values.items()}
            for facet, values in found.composition.items()
        },
    }


def summary(found: Diff) -> str:
    """The difference, for people."""

    def said(name: str, side: Side) -> list[str]:
        why = ", ".join(f"{rows} {escape(why)}" for why, rows in side.why.items())
        lines = [f"[bold]{side.rows}[/bold] rows {name}" + (f": {why}" if why else "")]
        for line in side.lines[:LISTED]:
            lines.append(f"  [dim]{line.id}  {escape(line.source)}:{line.line}  {escape(line.why)}[/dim]")
        more = side.rows - side.why.get("forgotten", 0) - min(len(side.lines), LISTED)
        return lines + ([f"  [dim]… and {more} more (--json names up to a thousand)[/dim]"] if more > 0 else [])

    lines = [f"[bold]{found.same}[/bold] rows are the same"]
    for name, side in (("in", found.into), ("out", found.out), ("changed", found.changed)):
        lines += said(name, side)
    return "\n".join([*lines, *(escape(line) for line in found.sources)])


@click.command()
@click.argument("dataset", required=False)
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@click.option(
    "--format", "kind", type=click.Choice((*FORMATS, "csv", "parquet")), default=FORMATS[0], show_default=True
)
@click.option("--split", type=click.Choice(("train", "validation", "test")), help="Only this split. Default: all.")
@project_option
@json_option
def export(dataset: str | None, to: Path, kind: str, split: str | None, project: Path, as_json: bool) -> None:
    """Write DATASET (an id or a tag; default: the newest) as a file that can be read in again.

    Rows that the format cannot carry are counted and named.
    """
    from luthier.workflows import versions

    with session(project, quiet=True, create=False) as opened:
        done = versions.export(opened, versions.resolved(opened, dataset), to, kind, split)  # type: ignore[arg-type]
    lines = [f"[bold]{done.rows}[/bold] rows in {escape(str(to))} ({done.size} bytes, sha256 {done.digest[:12]})"]
    lines += [f"{rows} rows left out: {escape(why)}" for why, rows in done.why.items()]
    lines += [f"  [dim]{left.id}  {escape(left.source)}:{left.line}[/dim]" for left in done.left_out[:LISTED]]
    data = done._asdict() | {"path": str(to), "left_out": [left._asdict() for left in done.left_out]}
    show(data, as_json=as_json, table="\n".join(lines))


@click.command()
@click.argument("name", required=False)
@click.argument("dataset", required=False)
@click.option("--remove", is_flag=True, help="Take the tag away; its history stays.")
@project_option
@json_option
def tag(name: str | None, dataset: str | None, remove: bool, project: Path, as_json: bool) -> None:
    """Call DATASET (an id or a tag; default: the newest) NAME, or list what is called how."""
    from luthier.data import tags
    from luthier.records.base import short
    from luthier.workflows import versions

    with session(project, quiet=True, create=False) as opened:
        ledger = opened.workspace.ledger
        if name and remove:
            tags.remove(ledger, name, opened.by)
        elif name:
            tags.put(ledger, name, versions.resolved(opened, dataset), opened.by)
        known = tags.ls(ledger)
    rows = [(each.name, short(each.version), each.by, each.at[:19]) for each in known.values()]
    data = {"tags": [each._asdict() for each in known.values()]}
    show(data, as_json=as_json, table=table_of("Tags", ("tag", "version", "by", "at"), rows))


@click.command()
@click.argument("dataset", required=False)
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), required=True, help="The folder to write into.")
@click.option("--url", default="", help="The dataset's page, if it has one.")
@project_option
@json_option
def card(dataset: str | None, to: Path, url: str, project: Path, as_json: bool) -> None:
    """Write DATASET's rows and its Croissant 1.1 card (MLCommons) into a folder."""
    from luthier.store.files import replacing
    from luthier.workflows import versions

    with session(project, quiet=True, create=False) as opened:
        made, rows = versions.card(opened, versions.resolved(opened, dataset), to, url)
        with replacing(to / "croissant.json") as file:
            file.write(json.dumps(made, ensure_ascii=False, indent=2).encode() + b"\n")
    show(made, as_json=as_json, table=f"{escape(str(to / 'croissant.json'))} describes {escape(str(rows))}")
