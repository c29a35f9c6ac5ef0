"""What a grader is: a batch of answers in, a number for each out. The words are those of OpenAI's graders.

An extension of kind `grader` is called with its own part of the recipe and the folders that it may use, and returns a
`Grader`. A grader that cannot mark an answer says why instead of raising: that answer counts 0 and is reported.
Knows nothing of training.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from pydantic import ValidationError

from luthier import plugins
from luthier.errors import BadConfig
from luthier.records.base import Value
from luthier.records.data import Message

Settings = TypeVar("Settings", bound=Value)
PLACE = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")


class Sample(NamedTuple):
    """An answer with what it answers."""

    prompt: tuple[Message, ...]
    answer: str
    reference: str = ""
    """The right answer, where the row has one."""
    metadata: Mapping[str, str] = {}
    """The row's own fields."""
    row: str = ""


class Grade(NamedTuple):
    """The mark of an answer."""

    score: float
    fault: str = ""
    """Why it could not be marked; then the score is 0."""
    parts: Mapping[str, float] = {}
    """The marks that it was made of, where there are several."""


class Grader(Protocol):
    """Marks answers, in order."""

    def __call__(self, samples: Sequence[Sample], /) -> list[Grade]: ...


class Folders(NamedTuple):
    """Where a grader may read and write."""

    run: Path
    """Its own files."""
    workspace: Path | None = None
    """Where the models of a ledger are."""


def load(spec: Mapping[str, Any], folders: Folders) -> Grader:
    """The grader that `spec` describes; its `type` names an extension. Raises UnknownName or BadConfig."""
    kind = spec.get("type")
    if not isinstance(kind, str):
        raise BadConfig("a grader has no type", "say type: string_check, text_similarity, python, multi …")
    made: Grader = plugins.find("grader", kind)(
        {name: value for name, value in spec.items() if name != "type"}, folders
    )
    return made


def understood(kind: type[Settings], spec: Mapping[str, Any], name: str) -> Settings:
    """A grader's part of the recipe as its own record. Raises BadConfig that names the first fault."""
    try:
        return kind.model_validate(dict(spec))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise BadConfig(
            f"grader {name}: {where}: {first['msg']}", f"its fields are: {', '.join(kind.model_fields)}"
        ) from error


def filled(template: str, sample: Sample) -> str:
    """`template` with its {{places}} filled: `sample.output_text`, `item.reference_answer`, `item.question`, and
    `item.NAME` for a field of the row. Raises BadConfig for a place that there is none for.

    What is filled in is not looked at again: an answer that spells {{…}} stays as it is.
    """
    said = [message.content for message in sample.prompt if message.role == "user"]
    known = {f"item.{name}": value for name, value in sample.metadata.items()} | {
        "sample.output_text": sample.answer,
        "item.reference_answer": sample.reference,
        "item.question": said[-1] if said else "",
    }

    def fill(place: re.Match[str]) -> str:
        if place[1] not in known:
            raise BadConfig(f"row {sample.row} has nothing for {place[0]}", f"there are: {', '.join(sorted(known))}")
        return known[place[1]]

    return PLACE.sub(fill, template)
