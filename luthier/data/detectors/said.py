"""What detectors look at: the texts of a row that a model would learn, and what they answer. Pure."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from luthier.records.data import Row

PLACEHOLDER = re.compile(r"<[A-Z]{2,20}_\d{1,6}>")
"""What the scrubber leaves: nobody's mistake."""
FENCE = re.compile(r"^[ \t]*(```+|~~~+)", re.MULTILINE)
"""A line that opens or closes a block of code."""
CODE = re.compile(r"^[ \t]*(```+|~~~+).*?(?:^[ \t]*\1|\Z)|`[^`\n]+`", re.MULTILINE | re.DOTALL)
"""Code in a text: what looks like markup or a typing error there is meant."""
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def answers(row: Row) -> list[str]:
    """The assistant's turns that are trained on, calls of tools without words left out."""
    spoken = (each for each in row.messages if each.role == "assistant" and each.weight != 0)
    return [each.content for each in spoken if each.content or not each.tool_calls]


def questions(row: Row) -> list[str]:
    """The user's turns."""
    return [each.content for each in row.messages if each.role == "user"]


def prose(text: str) -> str:
    """`text` without code and without the scrubber's placeholders."""
    return PLACEHOLDER.sub(" ", CODE.sub(" ", text))


def words(text: str) -> list[str]:
    """The words of a text as they are written. A script without blanks (Chinese, Thai) gives a word a run."""
    return WORD.findall(text)


def clipped(value: float) -> float:
    """`value`, kept to what a score may be: 0..1."""
    return min(1.0, max(0.0, value))


@cache
def patterns(name: str) -> re.Pattern[str]:
    """The phrases of `name`.txt, one pattern a line, as one. For texts in lower case: so it is twice as fast."""
    lines = Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8").splitlines()
    phrases = "|".join(line for line in lines if line and not line.startswith("#"))
    return re.compile(rf"\b(?:{phrases})")
