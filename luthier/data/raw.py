"""A dialogue as it came from a source, or the reason why a line is none. Knows no file format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from luthier.records.data import Message, Role

ROLES = get_args(Role)
DEVELOPER = "developer"
"""What OpenAI calls the system's role since its reasoning models."""
EXCERPT = 400
"""Most characters of a refused line that are kept; they are scrubbed and cut again before they are stored."""
DEEPEST = 32
"""Levels of nesting in the arguments of a tool call."""


class Raw(NamedTuple):
    """One dialogue, not scrubbed yet. `line` counts from 1, as editors do."""

    line: int
    messages: tuple[Message, ...]
    language: str = ""
    metadata: dict[str, str] = {}
    rejected: tuple[Message, ...] = ()
    """What was not preferred, in place of the last assistant turn."""
    good: bool | None = None
    """Whether the last assistant turn was wanted."""
    licence: str = ""
    consent: str = ""
    subject: str = ""
    """Whom it comes from, as the source spells it: never stored."""
    collected: str = ""
    """ISO date."""
    tools: tuple[dict[str, Any], ...] = ()
    """What the assistant may call."""


class Refused(NamedTuple):
    """A line that is no dialogue, and why."""

    line: int
    reason: str
    excerpt: str = ""


class NotADialogue(ValueError):
    """Why a line is refused: caught by the reader, which knows the line's number."""


def message(data: Any, number: int) -> Message:
    """A message of OpenAI's chat format. Raises NotADialogue, naming the message by its `number` from 1."""
    where = f"message {number}"
    if not isinstance(data, Mapping):
        raise NotADialogue(f"{where} is no object with role and content")
    role = "system" if data.get("role") == DEVELOPER else data.get("role")
    if role not in ROLES:
        raise NotADialogue(f"{where}: role {shown(role)} is unknown; one of {', '.join(ROLES)}")
    fields = {field: data[field] for field in Message.model_fields if data.get(field) is not None}
    fields["role"] = role
    fields["content"] = written(data.get("content"), where)
    if deeper(fields.get("tool_calls"), DEEPEST):
        raise NotADialogue(f"{where}: tool_calls is nested too deeply")
    try:
        made = Message.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise NotADialogue(f"{where}: {place} is not as the chat format has it") from None
    if not made.content.strip() and not made.tool_calls:
        raise NotADialogue(f"{where} ({role}) is empty")
    return made


def written(content: Any, where: str) -> str:
    """The text of `content`: a string, or OpenAI's list of parts. Raises NotADialogue for pictures and sound."""
    if isinstance(content, Sequence) and not isinstance(content, str):
        kinds = {part.get("type") if isinstance(part, Mapping) else None for part in content}
        if kinds - {"text"}:
            raise NotADialogue(f"{where} has a part that is no text")
        content = "\n".join(str(part.get("text", "")) for part in content)
    if content is not None and not isinstance(content, str):
        raise NotADialogue(f"{where}: content is no text")
    return content or ""


def deeper(value: Any, levels: int) -> bool:
    """Whether `value` is nested more than `levels` deep: what cannot be written again must not be read."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(deeper(each, levels - 1) for each in inner)


def ordered(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages, if their order makes a dialogue. Raises NotADialogue."""
    roles = [each.role for each in messages]
    if "assistant" not in roles:
        raise NotADialogue("there is no assistant turn to learn from")
    if "system" in roles[1:]:
        raise NotADialogue("a system message stands behind the first place")
    if roles[roles[0] == "system"] != "user":
        raise NotADialogue(f"the dialogue begins with the {roles[roles[0] == 'system']}, not with the user")
    for before, after in pairwise(messages):
        if after.role == "tool" and before.role != "tool" and not before.tool_calls:
            raise NotADialogue("a tool answers though nothing called it")
    if roles[-1] != "assistant":
        raise NotADialogue(f"the dialogue ends with a {roles[-1]} turn that nothing answers")
    return tuple(messages)


def language_tag(value: Any) -> str:
    """`value` where it is a language tag such as `en` or `pt-BR`, else nothing: the language is then guessed."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*", value) else ""


def shown(value: Any) -> str:
    """A role as it may be printed: not where it could be a person's name."""
    plain = isinstance(value, str) and value.isascii() and value.isalpha() and value.islower() and len(value) < 16
    return repr(value) if plain else "(not shown)"
