"""Source `chat-jsonl`: one dialogue a line, in OpenAI's chat format: {"messages": [{"role", "content"}, …]}.

Beside `messages` a line may have `language`, `metadata` (an object) and other single values; those become metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from luthier.data.lines import NOT_UTF8, TOO_LONG, lines
from luthier.data.raw import DEEPEST, EXCERPT, NotADialogue, Raw, Refused, deeper, language_tag, message, ordered
from luthier.errors import BadConfig

FIELDS = ("messages", "language", "dialogue", "tools")
"""What a mapping may rename: {"messages": "conversation"}."""
FROM_TEXT = "from_text"
"""Metadata that is `true` where a line is a plain text, of which all is learnt: one assistant turn and no other."""


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every line that is not blank, as a dialogue or as a refusal. Raises BadData, BadConfig for a mapping."""
    unknown = sorted(set(mapping) - set(FIELDS))
    if unknown:
        raise BadConfig(f"chat-jsonl cannot map {unknown[0]!r}", f"it maps {', '.join(FIELDS)}")
    for number, line in lines(path):
        if line is None:
            yield Refused(number, TOO_LONG)
        elif line.strip():
            yield understood(number, line, mapping)


def understood(number: int, line: bytes, mapping: Mapping[str, str]) -> Raw | Refused:
    """One line as a dialogue, or why it is none."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return Refused(number, NOT_UTF8, line[:EXCERPT].decode(errors="replace"))
    try:
        return dialogue(number, parsed(text), mapping)
    except NotADialogue as refusal:
        return Refused(number, str(refusal), text[:EXCERPT])


def parsed(text: str) -> Any:
    """The JSON of a line. Raises NotADialogue, also for what Python reads though JSON does not have it."""
    try:
        data = json.loads(text, parse_constant=no_number, parse_float=finite)
        if "\\u" in text:
            json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotADialogue("the line holds half of a surrogate pair, which is no character") from None
    except json.JSONDecodeError as error:
        raise NotADialogue(f"the line is not JSON (column {error.colno}: {error.msg})") from None
    except RecursionError:
        raise NotADialogue("the JSON is nested too deeply") from None
    except ValueError:
        raise NotADialogue("the line holds a number that JSON or this machine does not know") from None
    return data


def no_number(name: str) -> float:
    """NaN and Infinity, which Python reads and JSON does not know."""
    raise ValueError(name)


def finite(digits: str) -> float:
    """A number, unless it is too large for one."""
    value = float(digits)
    return value if isfinite(value) else no_number(digits)


def dialogue(number: int, data: Any, mapping: Mapping[str, str]) -> Raw:
    """What a line's JSON says. Raises NotADialogue."""
    if not isinstance(data, dict):
        raise NotADialogue("the line is no JSON object")
    names = {field: mapping.get(field, field) for field in FIELDS}
    messages = data.get(names["messages"])
    if not isinstance(messages, list) or not messages:
        raise NotADialogue(f"there is no list of messages under {names['messages']!r}")
    turns = tuple(message(each, place) for place, each in enumerate(messages, 1))
    told = an_object(data.get("metadata"))
    known = {*names.values(), "metadata"} if told is not None else {*names.values()}
    metadata = single(told) | single({k: v for k, v in data.items() if k not in known})
    if [turn.role for turn in turns] == ["assistant"] and metadata.get(FROM_TEXT) == "true":
        del metadata[FROM_TEXT]
    else:
        turns = ordered(turns)
    if names["dialogue"] in data:
        metadata |= single({"dialogue": data[names["dialogue"]]})
    language = data.get(names["language"]) or metadata.pop("language", "")
    return Raw(number, turns, language_tag(language), metadata, tools=called(data.get(names["tools"])))


def called(tools: Any) -> tuple[dict[str, Any], ...]:
    """The tools of a line, each in OpenAI's form; tables and ShareGPT keep the list as a text, and functions bare.

    Raises NotADialogue where they are not as the chat format has them.
    """
    if isinstance(tools, str) and tools.lstrip().startswith("["):
        tools = parsed(tools)
    if tools is None or (isinstance(tools, str) and not tools.strip()):
        return ()
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise NotADialogue("tools is no list of objects")
    if deeper(tools, DEEPEST):
        raise NotADialogue("tools is nested too deeply")
    return tuple(map(in_form, tools))


def in_form(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool as the chat format has it; of a function that stands bare, its fields go inside."""
    if "function" in tool or not isinstance(tool.get("name"), str) or tool.get("type", "function") != "function":
        return tool
    return {"type": "function", "function": {name: value for name, value in tool.items() if name != "type"}}


def an_object(value: Any) -> dict[str, Any] | None:
    """`value`, or what its text says, where that is an object: tables keep metadata as a text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = parsed(value)
        except NotADialogue:
            return None
    return value if isinstance(value, dict) else None


def single(values: Any) -> dict[str, str]:
    """Those of `values` that are single values, as text."""
    if not isinstance(values, dict):
        return {}
    kept = {key: value for key, value in values.items() if isinstance(value, str | int | float)}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in kept.items()}
