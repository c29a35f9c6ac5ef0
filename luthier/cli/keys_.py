"""`luthier keys`: who may call the API, and with which rights."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from luthier.access import ROLES
from luthier.cli.common import json_option, key_option, project_option, session, show, table_of


@click.group()
def command() -> None:
    """API keys: add, list, revoke."""


@command.command()
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(list(ROLES)), help="May be repeated.")
@click.option("--audience", type=click.Choice(["public", "staff"]), default="public", show_default=True)
@project_option
@key_option
@json_option
def add(name: str, roles: tuple[str, ...], audience: str, project: Path, key: str | None, as_json: bool) -> None:
    """Issue a key for NAME. It is printed once; only its hash is kept."""
    from luthier.access import require
    from luthier.cli.common import principal
    from luthier.store import keys

    with session(project, key=key, quiet=True) as opened:
        require(principal(opened, key), "admin")
        secret = keys.issue(opened.workspace.ledger, name, roles, audience, opened.by)  # type: ignore[arg-type]
    note = f"{secret}\n[dim]for {escape(name)} ({', '.join(roles)}, {audience}); it will not be shown again[/dim]"
    show({"name": name, "roles": roles, "audience": audience, "key": secret}, as_json=as_json, table=note)


@command.command("list")
@project_option
@json_option
def list_keys(project: Path, as_json: bool) -> None:
    """Every key that was ever issued, without its secret."""
    from luthier.store import keys

    with session(project, quiet=True) as opened:
        known = keys.ls(opened.workspace.ledger)
    rows = [(k.id, k.name, ", ".join(k.roles), k.audience, str(k.at)[:19], k.revoked or "") for k in known]
    columns = ("id", "name", "roles", "audience", "issued", "revoked")
    show({"keys": [k._asdict() for k in known]}, as_json=as_json, table=table_of("Keys", columns, rows))


@command.command()
@click.argument("name")
@project_option
@key_option
@json_option
def revoke(name: str, project: Path, key: str | None, as_json: bool) -> None:
    """Revoke a key by its id, or every key of NAME."""
    from luthier.access import require
    from luthier.cli.common import principal
    from luthier.store import keys

    with session(project, key=key, quiet=True) as opened:
        require(principal(opened, key), "admin")
        keys.revoke(opened.workspace.ledger, name, opened.by)
    show({"revoked": name}, as_json=as_json)
