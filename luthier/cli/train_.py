"""`luthier train`: the project's recipe on its newest dataset; what it will take; a search for a better recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from luthier.cli.common import json_option, project_option, session, show, table_of
from luthier.records.training import Recipe

if TYPE_CHECKING:
    from luthier.workflows.session import Session


@click.group(invoke_without_command=True)
@project_option
@click.option("--dataset", help="Train on this version as it is, instead of grounding the newest dialogues.")
@click.option("--recipe", type=click.Path(path_type=Path), help="Settings in a file, such as one of recipes/.")
@click.option("--on-top-of", default="", metavar="MODEL", help="Train above this model, which stays as it is.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True, help="Share the work among so many.")
@click.option("--ray", default="", metavar="N[@ADDRESS]", help="Share it among N workers of a Ray cluster instead.")
@click.option("--shard", is_flag=True, help="Each process holds a part of the weights.")
@click.option("--resume", "run", help="Go on with this run.")
@click.option("--track", multiple=True, help="Show the figures here too: tensorboard, mlflow, wandb. CSV always.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    project: Path,
    dataset: str | None,
    recipe: Path | None,
    run: str | None,
    track: tuple[str, ...],
    as_json: bool,
    **placed: Any,
) -> None:
    """Ground the newest dialogues in the newest index, then fine-tune the base. Killed, go on with --resume RUN.

    Methods that learn from preferences, ratings or rewards train on the newest dataset as it is.
    """
    if ctx.invoked_subcommand is not None:
        return
    from luthier.records.base import short
    from luthier.workflows import training
    from luthier.workflows.export_model import named

    with session(project, quiet=as_json, create=False) as opened, opened.workspace.lock("training"):
        asked = training.read_recipe(recipe, opened.project) if recipe else training.recipe(opened.project)
        where = training.Placed(**placed)
        if where.on_top_of:
            where = where._replace(on_top_of=named(opened, where.on_top_of).id)
        if run:
            before = training.begun(opened, run)
            rows, where = before.dataset, where._replace(on_top_of=before.on_top_of or "")
            asked = opened.workspace.ledger.get(before.recipe, Recipe)
        else:
            rows = rows_for(opened, asked, dataset)
        number = run or training.new_run_id()
        click.echo(f"run {number}", err=True)
        live = training.Live(say, training.trackers(opened, number, track))
        model = training.train(opened, number, rows, asked, live, where)
    data = {"model": model.id, "run": number, "dataset": rows, "figures": model.figures}
    figures = ", ".join(f"{name} {value:.4g}" for name, value in model.figures.items())
    show(data, as_json=as_json, table=f"[bold]{short(model.id)}[/bold] {model.name}\n[dim]{figures}[/dim]")


def rows_for(opened: Session, asked: Recipe, dataset: str | None) -> str:
    """The id of the version to train on: the one named, else the newest, grounded where answers are learnt."""
    from luthier.workflows import servers, versions
    from luthier.workflows.grounded import newest_grounded

    if dataset or asked.method != "sft":
        return versions.resolved(opened, dataset).id
    with servers.engine(opened) as engine:
        return newest_grounded(opened, engine.url).id


@command.command()
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@project_option
@click.option("--dataset", help="The rows of this version. Default: the newest.")
@click.option("--on", help="A GPU that is not here, such as h100 or rtx-4090, by its data sheet.")
@click.option("--watts", type=float, help="What the machine draws. Default: 120, or the GPU's and 150.")
@click.option("--price", "kilowatt_hour", type=float, default=0.25, show_default=True, help="Of a kilowatt-hour.")
@click.option("--rent", "hour", type=float, default=0.0, show_default=True, help="Of the machine, an hour.")
@json_option
def estimate(
    recipe: Path | None, project: Path, dataset: str | None, on: str | None, *, as_json: bool, **prices: float
) -> None:
    """Memory, time, energy and cost of training RECIPE (default: the project's), and what to change to make it fit."""
    from rich.markup import escape

    from luthier.workflows import training
    from luthier.workflows.estimate import Prices, quote, spelled

    with session(project, quiet=as_json, create=False) as opened:
        asked = training.read_recipe(recipe, opened.project) if recipe else training.recipe(opened.project)
        found = quote(opened, asked, dataset, on, Prices(**prices))
    data = {
        "device": found.found.device,
        "fits": found.found.fits,
        "memory": found.found.memory._asdict() | {"total": found.found.memory.total, "limit": found.found.limit},
        "seconds": found.found.pace.seconds,
        "steps": found.found.steps,
        "tokens": found.found.tokens,
        "operations": found.found.pace.operations,
        "utilisation": found.found.pace.utilisation,
        "watts": found.watts,
        "kilowatt_hours": found.kilowatt_hours,
        "cost": found.cost,
        "advice": found.found.advice,
        "reasons": found.reasons,
    }
    show(data, as_json=as_json, table=escape(spelled(found)))


@command.command()
@click.argument("space", type=click.Path(path_type=Path))
@project_option
@click.option("--dataset", help="The rows of this version. Default: the newest.")
@json_option
def search(space: Path, project: Path, dataset: str | None, as_json: bool) -> None:
    """Try recipes from the ranges in SPACE, end the worse ones early, print the best. Killed, repeat the command."""
    import yaml

    from luthier.workflows import training
    from luthier.workflows.estimate import newest
    from luthier.workflows.search import read_space
    from luthier.workflows.search import search as run

    asked = read_space(space)
    with session(project, quiet=as_json, create=False) as opened, opened.workspace.lock("training"):
        own = space.parent / asked.recipe if asked.recipe else None
        recipe = training.read_recipe(own, opened.project) if own else training.recipe(opened.project)
        best = run(opened, asked, recipe, newest(opened, dataset), training.Live(say))
    text = yaml.safe_dump(best.recipe.body(), sort_keys=False, allow_unicode=True)
    data = {
        "recipe": best.recipe.body(),
        "run": best.run,
        "value": best.value,
        "trials": [trial._asdict() for trial in best.trials],
    }
    if not as_json:
        columns = ("trial", "run", "state", asked.measure, *asked.fields)
        rows = [(t.number, t.run, t.state, t.value or "", *t.fields.values()) for t in best.trials]
        show(data, as_json=False, table=table_of(f"trials by {asked.measure}", columns, rows))
        click.echo(f"# the best: trial with {asked.measure} {best.value:.4g}, {best.run}\n{text}", nl=False)
        return
    show(data, as_json=True)


def say(sentence: str) -> None:
    """A sentence beside the bars, for people."""
    click.echo(sentence, err=True)
