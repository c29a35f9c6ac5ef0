"""What commands share: the project and who asks, output for people or machines, progress bars."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from luthier.errors import LuthierError, as_dict

if TYPE_CHECKING:
    from luthier.access import Principal
    from luthier.workflows.session import Session

F = TypeVar("F", bound=Callable[..., Any])
OWNER = "owner"


def project_option(command: F) -> F:
    """`--project`: the folder with luthier.yaml, or the file itself."""
    option = click.option(
        "--project",
        type=click.Path(path_type=Path),
        default=".",
        envvar="LUTHIER_PROJECT",
        help="Folder with luthier.yaml, or the file itself.",
    )
    return option(command)


def json_option(command: F) -> F:
    """`--json`: one JSON object on standard output instead of tables."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object for machines.")(command)


def key_option(command: F) -> F:
    """`--key`: act as its holder instead of as the owner of the workspace."""
    option = click.option("--key", envvar="LUTHIER_KEY", help="Act as the holder of this key. Default: the owner.")
    return option(command)


@contextmanager
def session(project: Path, *, key: str | None = None, quiet: bool = False, create: bool = True) -> Iterator[Session]:
    """The open project, its progress shown as bars unless `quiet`."""
    from luthier.cli.bars import bars
    from luthier.store import audit
    from luthier.workflows.session import Session

    with bars(quiet=quiet) as progress:
        opened = Session.open(project, create=create, progress=progress)
        try:
            who = principal(opened, key)
            known = len(opened.workspace.ledger.events(limit=None))
            yield Session(opened.project, opened.root, opened.workspace, progress, who.name)
            if len(opened.workspace.ledger.events(after=known)):
                audit.checkpoint(opened.workspace)  # what was done is signed before the command ends
        finally:
            opened.close()


def principal(opened: Session, key: str | None) -> Principal:
    """Who asks: the holder of `key`, or the owner of the workspace, who may do everything but approve their own."""
    from luthier.access import Principal
    from luthier.errors import Forbidden
    from luthier.store import keys

    if not key:
        return Principal(OWNER, ("admin",), "staff")
    found = keys.recognise(opened.workspace.ledger, key)
    if found is None:
        raise Forbidden(
            "this key is not known here, or was revoked", "make one with: luthier keys add NAME --role ROLE"
        )
    return found


def show(data: Mapping[str, Any], *, as_json: bool, table: Table | str | None = None) -> None:
    """Print `data` as JSON, or `table` for people; without a table the fields line by line."""
    if as_json:
        click.echo(json.dumps(data, ensure_ascii=False, default=str))
        return
    console = Console(highlight=False, soft_wrap=not isinstance(table, Table))
    if table is not None:
        console.print(table)
        return
    width = max((len(name) for name in data), default=0)
    for name, value in data.items():
        console.print(f"[dim]{name:<{width}}[/dim]  {escape(str(value))}")


def show_failed(
    data: Mapping[str, Any], error: LuthierError, *, as_json: bool, table: Table | str | None = None
) -> NoReturn:
    """Print `data` and end with `error`: a field of the one object for machines, a sentence of its own for people."""
    show(data | {"error": as_dict(error)} if as_json else data, as_json=as_json, table=table)  # type: ignore[operator]
    if as_json:
        sys.exit(error.exit_code)
    raise error


def table_of(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A plain table for people; numbers stand on the right."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for place, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[place], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else escape(str(cell)) for cell in row))
    return table


def in_terminal() -> bool:
    """Whether a person is looking."""
    return Console().is_terminal and "CI" not in os.environ
