"""`luthier data report`: what a dataset is made of, as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from luthier.cli.common import json_option, project_option, session, show


@click.command("report")
@click.argument("dataset", required=False)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="The page. Default: the dataset's id, with .html"
)
@project_option
@json_option
def command(dataset: str | None, out: Path | None, project: Path, as_json: bool) -> None:
    """Write one HTML page about DATASET (default: the newest): composition, lengths, quality, contradictions."""
    from luthier.records.base import short
    from luthier.workflows import data_report

    with session(project, quiet=as_json, create=False) as opened:
        version = data_report.chosen(opened, dataset)
        written = data_report.write(opened, version, out or Path(f"{short(version.id)}.html"))
    show(
        written._asdict(),
        as_json=as_json,
        table=f"{written.rows} rows looked over, {written.contradictions} contradictions\n{written.path.resolve()}",
    )
