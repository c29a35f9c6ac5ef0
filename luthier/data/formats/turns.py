"""What the row shapes share: a prompt that is a text or a list of messages, an answer likewise, and what stands beside.

Knows no file format and no shape.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from luthier.data import chat_jsonl
from luthier.data.chat_jsonl import called, parsed, single
from luthier.data.raw import NotADialogue, Raw, language_tag, message, ordered
from luthier.records.data import Message

BESIDE = ("language", "dialogue", "metadata", "tools")
"""Fields that every shape may have."""


def an_object(data: Any) -> dict[str, Any]:
    """`data`, if it is one. Raises NotADialogue."""
    if not isinstance(data, dict):
        raise NotADialogue("the row is no JSON object")
    return data


def prompt_of(value: Any, name: str) -> list[Message]:
    """The turns before the answer: of a text, or of a list of messages. Raises NotADialogue, naming the field."""
    if isinstance(value, str):
        return [turn("user", value, name)]
    return listed(value, name)


def answer_of(value: Any, name: str) -> list[Message]:
    """The answer: a text, a message, or a list of messages. White space around a text is a separator, and dropped."""
    if isinstance(value, str):
        return [turn("assistant", value.strip(), name)]
    return listed([value] if isinstance(value, Mapping) else value, name)


def listed(value: Any, name: str) -> list[Message]:
    """Messages of OpenAI's chat format. Raises NotADialogue."""
    if not isinstance(value, list) or not value:
        raise NotADialogue(f"{name!r} is neither a text nor a list of messages")
    return [placed(each, place, name) for place, each in enumerate(value, 1)]


def placed(value: Any, place: int, name: str) -> Message:
    """A message; its refusal names the field too."""
    try:
        return message(value, place)
    except NotADialogue as refusal:
        raise NotADialogue(f"{name}: {refusal}") from None


def turn(role: str, content: str, name: str) -> Message:
    """A turn of text. Raises NotADialogue where there is none."""
    if not content.strip():
        raise NotADialogue(f"{name} is empty")
    return message({"role": role, "content": content}, 1)


def dialogue(number: int, turns: list[Message], data: Mapping[str, Any], used: Collection[str]) -> Raw:
    """The turns as a dialogue, with the tools of the row, and the single values beside the fields `used` as metadata.

    Raises NotADialogue.
    """
    known = {*used, "metadata", "language", "tools"}
    told = chat_jsonl.an_object(data.get("metadata"))
    metadata = single(told) | single({name: value for name, value in data.items() if name not in known})
    language = data.get("language") or metadata.pop("language", "")
    return Raw(number, ordered(turns), language_tag(language), metadata, tools=called(data.get("tools")))


def from_text(value: Any) -> Any:
    """The JSON that a text holds, or the value itself: tables and logs keep lists as texts."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return parsed(value)
    except NotADialogue:
        return value
