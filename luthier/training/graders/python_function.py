"""Marks by a Python function of the recipe, `grade(sample, item) -> float`, run in a locked-in process.

`sample` has `output_text`; `item` has `reference_answer`, `question`, `messages` and the row's own fields. Python's
own library is there; installed packages, files, network and processes are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from luthier.records.base import Value
from luthier.training.graders.grader import Folders, Grade, Grader, Sample, understood
from luthier.training.graders.sandbox import Limits, run


class PythonFunction(Value):
    """The function and what it may use."""

    name: str = ""
    """What people call it."""
    source: str = Field(min_length=1)
    """Python that defines `grade(sample, item)`."""
    seconds: float = Field(default=2.0, gt=0, le=600)
    """Longest time for one answer."""
    memory_mb: int = Field(default=512, ge=64)
    """Most memory of its process."""
    unfenced: bool = False
    """Run it also where this system cannot fence files or network: for code of your own."""


def grader(spec: Mapping[str, Any], folders: Folders) -> Grader:
    """What the function returns for each answer."""
    given = understood(PythonFunction, spec, "python")
    limits = Limits(given.seconds, given.memory_mb << 20, given.unfenced)

    def grade(samples: Sequence[Sample]) -> list[Grade]:
        results = run(given.source, [as_json(sample) for sample in samples], limits)
        return [Grade(0.0, each) if isinstance(each, str) else Grade(float(each)) for each in results]

    return grade


def as_json(sample: Sample) -> dict[str, Any]:
    """What `grade` is called with."""
    said = [message.content for message in sample.prompt if message.role == "user"]
    item = dict(sample.metadata) | {
        "reference_answer": sample.reference,
        "question": said[-1] if said else "",
        "messages": [{"role": message.role, "content": message.content} for message in sample.prompt],
    }
    return {"sample": {"output_text": sample.answer}, "item": item}
