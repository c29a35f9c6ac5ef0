"""Every text of a dialogue that may hold personal data, taken out and put back: contents, tool calls, metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from luthier.data.raw import Raw
from luthier.records.data import Message

NOT_SPOKEN = frozenset({"id", "type"})
"""Fields of a tool call that the server writes, not a person."""
FIGURES = 7
"""A whole number of as many figures may be an account or a telephone."""


class Dialogue(NamedTuple):
    """What is left of a Raw: its messages, its metadata, and the turns that were not preferred."""

    messages: tuple[Message, ...]
    metadata: dict[str, str]
    rejected: tuple[Message, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()


def texts_of(raw: Raw) -> list[str]:
    """The texts of a dialogue, in the order in which `with_texts` takes them back."""
    texts: list[str] = []

    def note(text: str) -> str:
        texts.append(text)
        return text

    changed(raw, note)
    return texts


def with_texts(raw: Raw, texts: Iterable[str]) -> Dialogue:
    """The dialogue with other texts in the places of its own."""
    left = iter(texts)
    return changed(raw, lambda _: next(left))


def changed(raw: Raw, change: Callable[[str], str]) -> Dialogue:
    """The dialogue with every text changed.

    The name field of a user's turn is dropped: it is nothing but personal data, and no chat template renders it.
    """
    messages = tuple(message(each, change) for each in raw.messages)
    metadata = {name: change(value) for name, value in raw.metadata.items()}
    rejected = tuple(message(each, change) for each in raw.rejected)
    return Dialogue(messages, metadata, rejected, tuple(spoken(tool, change) for tool in raw.tools))


def message(each: Message, change: Callable[[str], str]) -> Message:
    """A message with every text changed."""
    update: dict[str, Any] = {"content": change(each.content) if each.content else ""}
    if each.tool_calls:
        update["tool_calls"] = tuple(spoken(call, change) for call in each.tool_calls)
    if each.role == "user":
        update["name"] = None
    return each.model_copy(update=update)


def spoken(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with every text inside changed; `arguments` are JSON within a text, as OpenAI's format has them."""
    if isinstance(value, dict):
        return {
            name: each
            if name in NOT_SPOKEN
            else arguments(each, change)
            if name == "arguments" and isinstance(each, str)
            else spoken(each, change)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [spoken(each, change) for each in value]
    if isinstance(value, str):
        return change(value)
    if isinstance(value, int) and len(str(value)) >= FIGURES:
        text = change(str(value))
        return value if text == str(value) else text
    return value


def arguments(text: str, change: Callable[[str], str]) -> str:
    """The arguments of a call. Where they are no JSON, or JSON that is no object, they are one text."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return change(text)
    return json.dumps(spoken(data, change), ensure_ascii=False) if isinstance(data, dict) else change(text)
