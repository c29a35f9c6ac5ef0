"""`luthier jobs`: durable jobs and where they stand."""

from __future__ import annotations

from pathlib import Path

import click

from luthier.cli.common import json_option, project_option, show, table_of


@click.command()
@project_option
@json_option
def command(project: Path, as_json: bool) -> None:
    """Durable jobs and the steps that are behind them."""
    from luthier.workflows import jobs
    from luthier.workflows.project import read

    found = jobs.ls(read(project).workspace)
    rows = [(job.id, job.status, len(job.steps), job.steps[-1] if job.steps else "") for job in found]
    table = table_of("Jobs", ("id", "status", "steps", "newest step"), rows)
    show({"jobs": [job._asdict() for job in found]}, as_json=as_json, table=table)
