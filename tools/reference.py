"""Writes docs/reference.md from the code: commands, project file, policy, records, extensions, exit codes.

`python -m tools.reference` writes it; `tests/house` holds the file to what `reference()` says. Runs no command.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from inspect import cleandoc
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from luthier import errors, plugins
from luthier.cli.main import luthier as command_line
from luthier.errors import LuthierError
from luthier.records import data, evaluation, feedback, knowledge, project, serving, training
from luthier.records.base import Happening, Made, Record, Value

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
HEAD = """\
# Reference

Written from the code by `make docs`; a test holds it there. [architecture.md](architecture.md) says how the parts meet.
"""
KINDS = {
    "source": "reads files of one format: `read(path, mapping)` gives one dialogue or refusal a line",
    "scrubber": "takes personal data out: made without arguments; `dialogue(texts, language)` gives the texts back",
    "detector": "measures a fault of a row: `detector(row)` gives 0 (none) to 1",
    "method": "what training learns: `method(options)` gives `prepare`, `collate`, `loss` and what else it needs",
    "scorer": "marks an answer: `scorer(question, answer)` gives a share of 1, or None where it does not apply",
    "grader": "marks drawn answers while training: `grader(spec, folders)` gives a function of samples",
    "tracker": "shows a run's figures elsewhere: `tracker(folder, run)` is called with new lines of metrics",
}
FILES: tuple[tuple[str, str, type[Value]], ...] = (
    (
        "luthier.yaml",
        "The project file; `luthier init` writes one, `luthier init --schema` its JSON Schema.",
        project.Project,
    ),
    ("policy.yaml", "The file that `serving.policy` names.", serving.ServingPolicy),
    ("questions.jsonl", "The files that `evaluation.questions` names: one object a line.", evaluation.Question),
)


def reference() -> str:
    """The whole page."""
    parts = [HEAD, "## Commands", *commands(command_line, "luthier")]
    for name, about, model in FILES:
        parts += [f"## {name}", about, *settings(model)]
    parts += ["## Records", *records(), "## Extensions", extensions(), "## Errors and exit codes", error_table()]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def commands(command: click.Command, path: str) -> Iterator[str]:
    """A command and everything below it."""
    context = click.Context(command, info_name=path)
    if path != "luthier":
        yield f"### `{' '.join([path, *command.collect_usage_pieces(context)]).replace(' [OPTIONS]', '')}`"
        yield cleandoc(command.help or "")
    options = [each.get_help_record(context) for each in command.params if isinstance(each, click.Option)]
    if any(options):
        yield table(("option", "what"), [(f"`{shown[0]}`", shown[1]) for shown in options if shown])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, f"{path} {name}")


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The settings of a file, one table for each part of it."""
    if prefix:
        yield f"### `{prefix}`"
        yield model.__doc__ or ""
    yield fields(model)
    for name, field in model.model_fields.items():
        for inner, many in models_in(field.annotation):
            yield from settings(inner, f"{prefix}.{name}".strip(".") + ("[]" if many else ""))


def models_in(annotation: Any, many: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """The models named in a type, and whether there may be several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, many
    for inner in get_args(annotation):
        yield from models_in(inner, many or get_origin(annotation) is tuple)


def records() -> Iterator[str]:
    """Every record, and the parts that records are made of."""
    modules = (data, training, evaluation, knowledge, serving, feedback)
    models = [
        model
        for module in modules
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, Value) and model.__module__ == module.__name__
    ]
    yield (
        "A *made* record is named by its content: kind and sha256 of its canonical JSON, defaults left out. "
        "A *happening* is named by its moment."
    )
    for model in models:
        yield f"### {model.__name__}{named(model)}"
        yield model.__doc__ or ""
        yield fields(model)


def named(model: type[Value]) -> str:
    """How a record's ids begin."""
    if not issubclass(model, Record):
        return ""
    return f" · {'made' if issubclass(model, Made) else 'happening'} · `{model.kind}-…`"


def fields(model: type[BaseModel]) -> str:
    """A model's fields as a table."""
    hidden = {"id"} if issubclass(model, Happening) else set()
    rows = [
        (f"`{name}`", spelled(field.annotation) + bounds(field), default(field), field.description or "")
        for name, field in model.model_fields.items()
        if name not in hidden
    ]
    return table(("field", "type", "default", "what"), rows)


def spelled(annotation: Any) -> str:
    """A type as people say it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if each is type(None) else spelled(each) for each in inner)
    if origin is tuple:
        return f"list of {spelled(inner[0])}"
    if origin is dict:
        return f"map of {spelled(inner[0])} to {spelled(inner[1])}"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
    return words.get(annotation) or str(annotation.__name__)


def bounds(field: FieldInfo) -> str:
    """What a number has to keep to."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    said = [
        f"{sign} {getattr(rule, name)}"
        for rule in field.metadata
        for name, sign in signs.items()
        if hasattr(rule, name)
    ]
    return f" {', '.join(said)}" if said else ""


def default(field: FieldInfo) -> str:
    """A default as it would stand in a file."""
    if field.is_required():
        return "*required*"
    value = field.get_default()
    if isinstance(value, BaseModel):
        return "its own defaults"
    return f"`{json.dumps(to_jsonable_python(value), ensure_ascii=False)}`"


def extensions() -> str:
    """The kinds of extension, what each is called with, and ours."""
    assert set(KINDS) == set(plugins.KINDS)
    rows = []
    for kind, what in KINDS.items():
        points = sorted(entry_points(group=f"luthier.{kind}"), key=lambda point: point.name)
        ours = [f"`{point.name}`" for point in points if point.dist and point.dist.name == "luthier"]
        rows.append((f"`luthier.{kind}`", what, ", ".join(ours)))
    return table(("entry-point group", "what it does", "ours"), rows)


def error_table() -> str:
    """Every error with its numbers."""
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, LuthierError)]
    drawn = dict(line.strip(" │├└─").split("   ", 1) for line in (errors.__doc__ or "").splitlines() if "─" in line)
    says = {name: what.split(maxsplit=2)[2] for name, what in drawn.items()}
    rows = [(f"`{e.__name__}`", str(e.exit_code), str(e.http_status), says.get(e.__name__, "")) for e in kinds]
    return table(("error", "exit code", "HTTP", "when"), [row for row in rows if row[3]])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in line) + " |" for line in lines
    )


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(reference(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
