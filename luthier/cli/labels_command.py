"""`luthier data labels`: what annotators are asked, their answers, and what these come to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from rich.markup import escape

from luthier.cli import labels_shown as shown
from luthier.cli.common import json_option, key_option, principal, project_option, session, show

if TYPE_CHECKING:
    from luthier.access import Right
    from luthier.workflows.session import Session

TOOLS = click.Choice(("label-studio", "argilla"))
tool_option = click.option("--tool", type=TOOLS, required=True, help="Which annotation tool's file it is.")
at_least_option = click.option(
    "--at-least", default=1, show_default=True, type=click.IntRange(min=1), help="Annotators that a row needs."
)
F = TypeVar("F", bound=Callable[..., Any])


class Where(NamedTuple):
    """The project, which schema and dataset of it, who asks, and for whom to print."""

    project: Path
    key: str | None
    as_json: bool
    schema: str | None
    dataset: str | None

    def allowed(self, opened: Session, right: Right) -> None:
        """Raise Forbidden where whoever asks may not do it."""
        from luthier.access import require

        require(principal(opened, self.key), right)


def where_option(command: F) -> F:
    """The options of `Where`, as one parameter."""

    @wraps(command)
    def packed(
        project: Path,
        key: str | None,
        as_json: bool,
        name: str | None = None,
        dataset: str | None = None,
        **others: Any,
    ) -> Any:
        return command(Where(project, key, as_json, name, dataset), **others)

    return project_option(key_option(json_option(packed)))  # type: ignore[return-value]


schema_option = click.option("--schema", "name", help="Name or id of the schema. Default: the only one there is.")
dataset_option = click.option("--dataset", help="Id or tag of the dataset version. Default: the newest.")


@click.group()
def labels() -> None:
    """Labels: what annotators are asked, their answers, how far they agree, and what a row is to be.

    In this order: schema, export, import, show, settle. What is settled reaches the rows with the next build.
    """


def named(users: tuple[str, ...], by: str) -> dict[str, str]:
    """`7=ana` and the like, and whoever is named nowhere. Raises BadConfig."""
    from luthier.errors import BadConfig

    pairs = [user.partition("=")[::2] for user in users]
    if not all(number and who for number, who in pairs):
        raise BadConfig("--user takes an id and a name", "write it as --user 7=ana")
    return dict(pairs) | ({"": by} if by else {})


@labels.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@where_option
def schema(where: Where, file: Path) -> None:
    """Put the schema in FILE (YAML) into the ledger. A word changed is a new version that names the one before."""
    from luthier.records.base import short
    from luthier.workflows import label_schema

    with session(where.project, key=where.key, quiet=where.as_json) as opened:
        where.allowed(opened, "review")
        made, new = label_schema.put(opened, file)
    said = "is new" if new else "was there already"
    after = f", after {short(made.previous)}" if made.previous else ""
    asked = ", ".join(f"{question.name} ({question.type})" for question in made.questions)
    text = f"[bold]{short(made.id)}[/bold] {escape(made.name)} {said}{after}\nasks       {escape(asked)}"
    show({"id": made.id, "new": new} | made.body(), as_json=where.as_json, table=text)


@labels.command()
@click.option("--to", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@tool_option
@dataset_option
@schema_option
@click.option("--split", type=click.Choice(("train", "validation", "test")), help="Only this split. Default: all.")
@click.option("--most", type=click.IntRange(min=1), help="At most so many rows, drawn: always the same.")
@click.option(
    "--open", "only_open", is_flag=True, help="Only rows that are labelled and not settled, showing what was said."
)
@at_least_option
@where_option
def export(
    where: Where,
    to: Path,
    tool: str,
    split: str | None,
    most: int | None,
    only_open: bool,
    at_least: int,
) -> None:
    """Write rows as tasks for annotators, and beside them how the tool is to ask.

    With --open for whoever decides what annotators could not settle: those rows, with what was said of them.
    """
    from luthier.workflows import labels as labelling
    from luthier.workflows import settled, versions

    with session(where.project, key=where.key, quiet=where.as_json, create=False) as opened:
        where.allowed(opened, "read")
        found = settled.schema_of(opened.workspace.ledger, where.schema)
        only = None
        if only_open:
            standing = labelling.standing(opened, found, at_least=at_least)
            only = frozenset(each.row for each in standing.settled if each.value is None)
        pick = labelling.Pick(split, most, only)  # type: ignore[arg-type]
        version = versions.resolved(opened, where.dataset)
        done = labelling.export(opened, found, version, to, tool, pick, decide=only_open)  # type: ignore[arg-type]
    lines = [f"[bold]{done.rows}[/bold] rows in {escape(str(done.path))}; how to ask: {escape(str(done.config))}"]
    if done.passed:
        lines.append(f"{done.passed} rows passed over: the schema compares two answers, and they have one")
    data = done._asdict() | {"path": str(done.path), "config": str(done.config), "schema": found.id}
    show(data | {"dataset": version.id}, as_json=where.as_json, table="\n".join(lines))


@labels.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@tool_option
@click.option("--by", default="", help="Who labelled, where the file names nobody: a name, and no e-mail address.")
@click.option("--user", "users", multiple=True, metavar="ID=NAME", help="Who an id of the tool is; may be repeated.")
@dataset_option
@schema_option
@where_option
def take(
    where: Where,
    file: Path,
    tool: str,
    by: str,
    users: tuple[str, ...],
) -> None:
    """Keep the answers in FILE: who, when, under which version of the schema. The same file adds nothing twice.

    What annotators wrote is scrubbed, as rows are. What does not fit schema or row is refused, named by its place.
    """
    from luthier.workflows import labels as labelling
    from luthier.workflows import settled, versions

    who = named(users, by)
    with (
        session(where.project, key=where.key, quiet=where.as_json, create=False) as opened,
        opened.workspace.lock("importing labels"),
    ):
        where.allowed(opened, "review")
        found = settled.schema_of(opened.workspace.ledger, where.schema)
        version = versions.resolved(opened, where.dataset)
        done = labelling.take(opened, found, version, file, tool, users=who)  # type: ignore[arg-type]
    show(shown.taken(done), as_json=where.as_json, table="\n".join(shown.told(done, file)))


@labels.command("show")
@schema_option
@at_least_option
@where_option
def show_labels(where: Where, at_least: int) -> None:
    """How far annotators agree on each question, and what is not settled."""
    from rich.console import Console

    from luthier.workflows import labels as labelling
    from luthier.workflows import settled

    with session(where.project, key=where.key, quiet=True, create=False) as opened:
        where.allowed(opened, "read")
        found = settled.schema_of(opened.workspace.ledger, where.schema)
        standing = labelling.standing(opened, found, at_least=at_least)
    if where.as_json:
        show(shown.as_data(standing), as_json=True)
        return
    console = Console(highlight=False, soft_wrap=True)
    for part in (shown.head(standing), shown.agreed(standing), "\n".join(shown.open_rows(standing.settled))):
        console.print(part)


@labels.command()
@at_least_option
@click.option("--adjudicator", "names", multiple=True, help="Whose word stands where others differ; may be repeated.")
@click.option(
    "--adjudicate",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of answers that decide, as `export --open` began it.",
)
@click.option("--tool", type=TOOLS, help="Which annotation tool's file that is.")
@click.option("--by", default="", help="Who decided, where the file names nobody.")
@dataset_option
@schema_option
@where_option
def settle(
    where: Where,
    at_least: int,
    names: tuple[str, ...],
    file: Path | None,
    tool: str | None,
    by: str,
) -> None:
    """Let the labels stand: from the next build on they are the rows' labels.

    An answer is settled where more than half of the annotators say the same, and --at-least so many have answered, or
    where an adjudicator has decided. The rest stays open, and its rows stay as they are.
    """
    from collections import Counter

    from luthier.errors import BadConfig
    from luthier.workflows import labels as labelling
    from luthier.workflows import settled, versions

    if file and not tool:
        raise BadConfig("nothing says which tool the file is of", "add --tool label-studio or --tool argilla")
    with (
        session(where.project, key=where.key, quiet=where.as_json, create=False) as opened,
        opened.workspace.lock("settling labels"),
    ):
        where.allowed(opened, "review")
        found = settled.schema_of(opened.workspace.ledger, where.schema)
        done = None
        if file:
            version = versions.resolved(opened, where.dataset)
            done = labelling.take(opened, found, version, file, tool, users=named((), by), decided=True)  # type: ignore[arg-type]
        answers = settled.decide(opened, found, at_least=at_least, adjudicators=names)
    hows = Counter(each.how for each in answers)
    lines = shown.told(done, file) if done and file else []
    lines += shown.open_rows(answers)
    lines += [f"  [dim]{count} {how}[/dim]" for how, count in sorted(hows.items())]
    lines.append("they reach the rows with the next: luthier data build")
    data = {
        "settled": sum(each.value is not None for each in answers),
        "how": dict(hows),
        "open": shown.opened_up(answers),
    }
    show(data | ({"imported": shown.taken(done)} if done else {}), as_json=where.as_json, table="\n".join(lines))
