"""`luthier data reveal`: what stood in a row before it was scrubbed, for who may know. Leaves an entry in the audit."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from luthier.cli.common import json_option, key_option, project_option, session, show, table_of


@click.command("reveal")
@click.argument("row")
@project_option
@key_option
@json_option
def reveal(row: str, project: Path, key: str | None, as_json: bool) -> None:
    """Show what stood in ROW (its id) before, out of the vault. Needs the role admin; the audit log says who looked."""
    from luthier.cli.common import principal
    from luthier.workflows import data

    with session(project, key=key, quiet=True, create=False) as opened:
        found = data.reveal(opened, principal(opened, key), row)
    table = table_of("Values", ("stands there", "stood there"), list(found.values.items()))
    body = found._asdict() | {"turns": [{"role": role, "content": text} for role, text in found.turns]}
    show(body, as_json=as_json, table=table)
    if not as_json:
        for role, text in found.turns:
            show({}, as_json=False, table=f"[dim]{role}[/dim] {escape(text)}")
