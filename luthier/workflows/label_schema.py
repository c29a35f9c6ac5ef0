"""A labelling schema's YAML file → LabelSchema in the ledger: a word changed is a version that names the one before."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import yaml
from pydantic import ValidationError

from luthier.errors import BadConfig
from luthier.records.labels import LabelQuestion, LabelSchema
from luthier.workflows.project import line_of, written
from luthier.workflows.session import Session

ALL = 1_000_000
TAKEN = frozenset({"dialogue", "trace", "review", "documents", "licence", "consent", "collected", "language"})
"""Metadata that says something else of a row: no question may be called so."""


def put(session: Session, path: Path) -> tuple[LabelSchema, bool]:
    """The schema in `path`, and whether it is new. Raises BadConfig that names the line."""
    schema = read(path)
    ledger = session.workspace.ledger
    kept = (each for each in ledger.ls(LabelSchema.kind, ALL) if isinstance(each, LabelSchema))
    before = next((each for each in kept if each.name == schema.name), None)
    if before is not None:
        if before.model_copy(update={"previous": None}) == schema:
            return before, False
        schema = schema.model_copy(update={"previous": before.id})
    ledger.put(schema, session.by)
    return schema, True


def read(path: Path) -> LabelSchema:
    """The schema that a YAML file describes. Raises BadConfig."""
    try:
        text = path.read_text(encoding="utf-8")
        node, data = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"the schema {path} cannot be read ({error})", "give the path of a UTF-8 YAML file") from error
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise BadConfig(f"the schema {path} is not valid YAML: {where}", "mend the line that is named") from error
    except (ValueError, RecursionError) as error:
        raise BadConfig(f"{path} holds a value that YAML cannot read ({error})", "put it between quotes") from error
    if not isinstance(data, dict):
        raise BadConfig(f"the schema {path} holds no mapping", "begin it with: name: my-schema")
    if "previous" in data:
        raise BadConfig(f"{path}: previous is not yours to say", "leave it out: it is the version before, by itself")
    try:
        schema = LabelSchema.model_validate(data)
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        place = written(node, first["loc"])
        where = f"{path}:{line_of(node, first['loc'])}: {'.'.join(map(str, first['loc'] or place))}"
        raise BadConfig(
            f"{where}: {first['msg']}", mend(str(first["loc"][-1]) if first["loc"] else "", first["type"])
        ) from error
    taken = next((question.name for question in schema.questions if question.name in TAKEN), None)
    if taken:
        raise BadConfig(f"{path}: a question may not be called {taken!r}", "rows say something else under that name")
    return schema


def mend(key: str, kind: str) -> str:
    """What to write instead."""
    if kind == "extra_forbidden":
        known = [*LabelQuestion.model_fields, *LabelSchema.model_fields]
        near = get_close_matches(key, known, n=1)
        return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
    if kind == "string_type":
        return "put it between quotes: YAML reads yes, no and numbers as something else"
    return "luthier/sample/labels.yaml shows every type of question"
