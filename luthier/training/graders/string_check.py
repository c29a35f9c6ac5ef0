"""Marks 1 or 0: is the answer that text, or does it contain it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from luthier.errors import BadConfig
from luthier.records.base import Value
from luthier.training.graders.grader import Folders, Grade, Grader, Sample, filled, understood


class StringCheck(Value):
    """A comparison of two texts."""

    name: str = ""
    """What people call it."""
    input: str = "{{sample.output_text}}"
    """The text that is looked at."""
    reference: str = "{{item.reference_answer}}"
    """The text that it is compared with."""
    operation: Literal["eq", "ne", "like", "ilike"] = "eq"
    """Equal; not equal; contains; contains, whatever the case."""


COMPARE: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda text, wanted: text == wanted,
    "ne": lambda text, wanted: text != wanted,
    "like": lambda text, wanted: wanted in text,
    "ilike": lambda text, wanted: wanted.casefold() in text.casefold(),
}


def grader(spec: Mapping[str, Any], folders: Folders) -> Grader:
    """1 where the comparison holds, else 0."""
    given = understood(StringCheck, spec, "string_check")

    def grade(samples: Sequence[Sample]) -> list[Grade]:
        return [mark(given, sample) for sample in samples]

    return grade


def mark(given: StringCheck, sample: Sample) -> Grade:
    """The mark of one answer. Every text contains the empty one, so a missing reference is a fault."""
    try:
        text, wanted = filled(given.input, sample).strip(), filled(given.reference, sample).strip()
    except BadConfig as error:
        return Grade(0.0, error.what)
    if not wanted:
        return Grade(0.0, f"row {sample.row} has no text to compare with")
    return Grade(float(COMPARE[given.operation](text, wanted)))
