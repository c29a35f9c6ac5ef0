"""The shapes that a row may have, told by its fields: what Parquet files and dataset folders hold is any of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from luthier.data import chat_jsonl
from luthier.data.formats import alpaca, completions, preferences, ratings, request_log, sharegpt
from luthier.data.raw import Raw


class Shape(NamedTuple):
    """A shape of rows: the format that reads it, what tells it, and how a row is understood."""

    format: str
    told_by: tuple[frozenset[str], ...]
    """Sets of fields; a row that has all of one is of this shape."""
    fields: tuple[str, ...]
    """What a mapping may rename."""
    understood: Callable[[int, Any], Raw]


def chat(number: int, data: Any) -> Raw:
    """A row in OpenAI's chat format. Raises NotADialogue."""
    return chat_jsonl.dialogue(number, data, {})


SHAPES = (
    Shape("chat-jsonl", (frozenset({"messages"}),), chat_jsonl.FIELDS, chat),
    Shape("request-log", (frozenset({"request", "response"}),), request_log.FIELDS, request_log.understood),
    Shape(
        "preferences",
        (frozenset({"chosen", "rejected"}), frozenset({"preferred_output", "non_preferred_output"})),
        preferences.FIELDS,
        preferences.understood,
    ),
    Shape("ratings", (frozenset({"prompt", "completion", "label"}),), ratings.FIELDS, ratings.understood),
    Shape("completions", (frozenset({"prompt", "completion"}),), completions.FIELDS, completions.understood),
    Shape("alpaca", (frozenset({"instruction", "output"}),), alpaca.FIELDS, alpaca.understood),
    Shape(
        "sharegpt",
        (frozenset({"conversations"}), frozenset({"conversation"})),
        sharegpt.FIELDS,
        sharegpt.understood,
    ),
)
QUESTIONS = ("question", "user", "query", "instruction", "prompt", "input", "user_query")
ANSWERS = ("answer", "assistant", "response", "output", "completion", "reply")
"""What the two halves of a pair are often called, the likeliest name first."""


def shape_of(fields: Collection[str]) -> Shape | None:
    """The shape of a row with these fields."""
    there = set(fields)
    return next((shape for shape in SHAPES if any(told <= there for told in shape.told_by)), None)


def pair_in(fields: Collection[str]) -> tuple[str, str] | None:
    """The fields that look like a question and its answer."""
    asked = next((name for name in QUESTIONS if name in fields), None)
    said = next((name for name in ANSWERS if name in fields), None)
    return (asked, said) if asked and said else None


def mapped(fields: Collection[str], mapping: Mapping[str, str]) -> set[str]:
    """The fields under our names."""
    return (set(fields) - set(mapping.values())) | {ours for ours, theirs in mapping.items() if theirs in fields}
