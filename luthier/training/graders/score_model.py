"""Marks by a judge: a model behind an OpenAI-shaped address is asked for a number."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import Field

from luthier.errors import BadConfig, LuthierError
from luthier.lm.client import Client
from luthier.records.base import Value
from luthier.training.graders.grader import Folders, Grade, Grader, Sample, filled, understood

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\w)")


class Turn(Value):
    """One message to the judge."""

    role: str
    """`system`, `developer`, `user` or `assistant`."""
    content: str
    """Its text, with {{places}}."""


class ScoreModel(Value):
    """Who judges, and what it is asked."""

    name: str = ""
    """What people call it."""
    model: str
    """The judge's name at that address."""
    url: str
    """The address of an OpenAI-shaped server."""
    key: str = ""
    """The environment variable that holds the server's key."""
    input: tuple[Turn, ...] = Field(min_length=1)
    """What the judge is sent. It has to ask for a number alone: the last one that it says is the mark."""
    range: tuple[float, float] = (0.0, 1.0)
    """Marks outside of it are faults."""
    max_tokens: int = Field(default=64, ge=1)
    """Longest reply."""
    at_once: int = Field(default=8, ge=1)
    """Requests at a time."""
    timeout: float = Field(default=60.0, gt=0)
    """Seconds to wait for a reply."""


def grader(spec: Mapping[str, Any], folders: Folders) -> Grader:
    """The judge's number for each answer, asked at temperature 0."""
    given = understood(ScoreModel, spec, "score_model")
    client = Client(given.url, os.environ.get(given.key, "") if given.key else "", given.timeout)

    def mark(sample: Sample) -> Grade:
        try:
            messages = [{"role": turn.role, "content": filled(turn.content, sample)} for turn in given.input]
            reply = client.chat(messages, given.model, max_tokens=given.max_tokens, temperature=0.0, seed=0)
        except LuthierError as error:
            return Grade(0.0, str(error))
        return said(reply.text, given.range)

    def grade(samples: Sequence[Sample]) -> list[Grade]:
        with ThreadPoolExecutor(given.at_once) as pool:
            return list(pool.map(mark, samples))

    if given.range[0] >= given.range[1]:
        raise BadConfig(f"the range {given.range} of score_model is empty", "say range: [0, 1]")
    return grade


def said(reply: str, within: tuple[float, float]) -> Grade:
    """The last number of a judge's reply."""
    numbers = NUMBER.findall(reply)
    if not numbers:
        return Grade(0.0, f"the judge said no number: {reply[:80]!r}")
    number = float(numbers[-1])
    if not within[0] <= number <= within[1]:
        return Grade(0.0, f"the judge said {number:g}, which is not within {within[0]:g} and {within[1]:g}")
    return Grade(number)
