"""Files of questions → `Suite`: the questions become a blob, so a report can always be repeated. Knows no model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from luthier import plugins
from luthier.errors import BadData
from luthier.records.evaluation import Question, Suite
from luthier.store.blobs import Blobs

ALSO = {"prompt": "question", "category": "group", "looks_like": "group"}
"""Other names of fields, as attack collections use them."""


def read_questions(path: Path) -> list[Question]:
    """The questions of a file, one JSON object a line. Raises BadData that names the line.

    Fields that a question does not have are notes to the reader and left out, unless they look like a slip of the pen.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}", "check the path of the questions") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise BadData(f"{path} holds no question", "write one JSON object with id and question on each line")
    return [one_question(line, f"{path.name}, line {number}") for number, line in numbered]


def one_question(line: bytes, place: str) -> Question:
    """The question on one line, or BadData that says what is wrong at `place`."""
    try:
        fields: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise BadData(f"{place} is not JSON: {error}", "write one JSON object on each line") from error
    if not isinstance(fields, dict):
        raise BadData(f"{place} is not a JSON object", 'begin it with {"id": …, "question": …}')
    known = {ALSO.get(name, name): value for name, value in fields.items()}
    for name in known.keys() - Question.model_fields.keys():
        if near := get_close_matches(name, list(Question.model_fields), n=1, cutoff=0.8):
            raise BadData(f"{place}: a question has no field {name!r}", f"did you mean {near[0]!r}?")
    try:
        return Question.model_validate({name: known[name] for name in known if name in Question.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BadData(f"{place}: {field}: {first['msg'].lower()}", "correct this field of the question") from error


def make_suite(
    name: str, questions: Sequence[Question], scorers: Sequence[str], max_tokens: int, blobs: Blobs
) -> Suite:
    """Keep the questions and name the suite. Raises BadData for none or for an id that stands twice.

    Raises UnknownName for a scorer that no installed package offers.
    """
    if not questions:
        raise BadData(f"suite {name} has no question", "name a file of questions under evaluation")
    twice = [question for question, count in Counter(q.id for q in questions).items() if count > 1]
    if twice:
        raise BadData(f"suite {name} has {len(twice)} ids twice, such as {twice[0]!r}", "give each question its own id")
    for scorer in scorers:
        plugins.find("scorer", scorer)
    lines: list[dict[str, Any]] = [q.model_dump(mode="json", exclude_defaults=True) for q in questions]
    digest = blobs.put_lines(lines)
    return Suite(name=name, questions=digest, count=len(lines), scorers=tuple(scorers), max_tokens=max_tokens)


def questions_of(suite: Suite, blobs: Blobs) -> list[Question]:
    """The questions of `suite`, as they were when it was made."""
    return [Question.model_validate(line) for line in blobs.lines(suite.questions)]
