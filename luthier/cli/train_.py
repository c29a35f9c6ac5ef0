"""`luthier train`: the project's recipe on its newest dataset."""

from __future__ import annotations

from pathlib import Path

import click

from luthier.cli.common import json_option, project_option, session, show


@click.command()
@project_option
@click.option("--dataset", help="Train on this version as it is, instead of grounding the newest dialogues.")
@click.option("--resume", "run", help="Go on with this run.")
@json_option
def command(project: Path, dataset: str | None, run: str | None, as_json: bool) -> None:
    """Ground the newest dialogues in the newest index, then fine-tune the base. Killed, go on with --resume RUN."""
    from luthier.records.base import short
    from luthier.workflows import servers, training
    from luthier.workflows.grounded import newest_grounded

    with session(project, quiet=as_json, create=False) as opened, opened.workspace.lock("training"):
        rows = dataset or (training.dataset_of(opened, run) if run else None)
        if rows is None:
            with servers.engine(opened) as engine:
                rows = newest_grounded(opened, engine.url).id
        number = run or training.new_run_id()
        click.echo(f"run {number}", err=True)
        model = training.train(opened, number, rows, training.recipe(opened.project))
    data = {"model": model.id, "run": number, "dataset": rows, "figures": model.figures}
    figures = ", ".join(f"{name} {value:.4g}" for name, value in model.figures.items())
    show(data, as_json=as_json, table=f"[bold]{short(model.id)}[/bold] {model.name}\n[dim]{figures}[/dim]")
