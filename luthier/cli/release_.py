"""`luthier release`: a model goes to work only after a gate, a proposal and somebody else's approval."""

from __future__ import annotations

from pathlib import Path

import click

from luthier.cli.common import json_option, key_option, principal, project_option, session, show, table_of


@click.group()
def command() -> None:
    """Propose, approve, deploy, roll back; model cards."""


@command.command()
@click.argument("model")
@click.option("--verdict", help="The verdict it is proposed on. Default: the newest one about it.")
@project_option
@key_option
@json_option
def propose(model: str, verdict: str | None, project: Path, key: str | None, as_json: bool) -> None:
    """Put MODEL forward on a passed verdict."""
    from luthier.release import registry
    from luthier.workflows.release import newest_verdict

    with session(project, key=key, quiet=as_json, create=False) as opened:
        found = verdict or newest_verdict(opened.workspace.ledger, model)
        status = registry.propose(opened.workspace.ledger, model, found, principal(opened, key))
    show(status._asdict(), as_json=as_json)


@command.command()
@click.argument("model")
@project_option
@key_option
@json_option
def approve(model: str, project: Path, key: str | None, as_json: bool) -> None:
    """Approve MODEL, as somebody else than its proposer (give their key)."""
    from luthier.release import registry

    with session(project, key=key, quiet=as_json, create=False) as opened:
        status = registry.approve(opened.workspace.ledger, model, principal(opened, key))
    show(status._asdict(), as_json=as_json)


@command.command()
@click.argument("model")
@click.option("--alias", help="Default: the alias of the project.")
@project_option
@key_option
@json_option
def deploy(model: str, alias: str | None, project: Path, key: str | None, as_json: bool) -> None:
    """Let MODEL answer under the alias, with the project's policy and newest index. A running server takes it up."""
    from luthier.workflows.release import deploy as put_to_work

    with session(project, key=key, quiet=as_json, create=False) as opened:
        deployment = put_to_work(opened, model, principal(opened, key), alias)
    show({"deployment": deployment.id, "alias": deployment.alias, "model": deployment.model}, as_json=as_json)


@command.command()
@click.option("--alias", help="Default: the alias of the project.")
@project_option
@key_option
@json_option
def rollback(alias: str | None, project: Path, key: str | None, as_json: bool) -> None:
    """Put the deployment before the live one back to work."""
    from luthier.release import registry

    with session(project, key=key, quiet=as_json, create=False) as opened:
        name = alias or opened.project.serving.alias
        deployment = registry.rollback(opened.workspace.ledger, name, principal(opened, key))
    show({"deployment": deployment.id, "alias": deployment.alias, "model": deployment.model}, as_json=as_json)


@command.command("list")
@project_option
@json_option
def list_models(project: Path, as_json: bool) -> None:
    """Every model version and where it stands."""
    from luthier.records.base import short
    from luthier.records.training import ModelVersion
    from luthier.release import registry

    with session(project, quiet=as_json, create=False) as opened:
        ledger = opened.workspace.ledger
        models = [model for model in ledger.ls("model", limit=10_000) if isinstance(model, ModelVersion)]
        known = [(model, registry.status(ledger, model.id)) for model in models]
    rows = [(short(m.id), m.name, status.state, ", ".join(status.aliases)) for m, status in known]
    data = {"models": [{"id": m.id, "name": m.name, "state": s.state, "aliases": s.aliases} for m, s in known]}
    show(data, as_json=as_json, table=table_of("Models", ("model", "name", "state", "aliases"), rows))


@command.command()
@click.argument("model")
@click.option("--out", type=click.Path(path_type=Path), help="Write it into this file.")
@project_option
@json_option
def card(model: str, out: Path | None, project: Path, as_json: bool) -> None:
    """The model card of MODEL, written from the records."""
    from luthier.release.card import model_card
    from luthier.store.files import writable

    with session(project, quiet=as_json, create=False) as opened:
        text = model_card(opened.workspace.ledger, opened.workspace.blobs, model)
    if out:
        with writable(out):
            out.write_text(text, encoding="utf-8")
    if as_json:
        show({"card": text}, as_json=True)
    else:
        click.echo(f"wrote {out}" if out else text)
