"""Source `chat-jsonl`: one dialogue a line, in OpenAI's chat format: {"messages": [{"role", "content"}, …]}.

Beside `messages` a line may have `language`, `metadata` (an object) and other single values, which are kept as metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luthier.data.lines import NOT_UTF8, TOO_LONG, lines
from luthier.data.raw import EXCERPT, NotADialogue, Raw, Refused, message, ordered
from luthier.errors import BadConfig

FIELDS = ("messages", "language", "dialogue")
"""What a mapping may rename: {"messages": "conversation"}."""


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
        return dialogue(number, json.loads(text), mapping)
    except NotADialogue as refusal:
        return Refused(number, str(refusal), text[:EXCERPT])
    except RecursionError:
        return Refused(number, "the JSON is nested too deeply", text[:EXCERPT])
    except ValueError as error:  # JSONDecodeError, or a number with thousands of digits
        place = f" (column {error.colno}: {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
        return Refused(number, f"the line is not JSON{place}", text[:EXCERPT])


def dialogue(number: int, data: Any, mapping: Mapping[str, str]) -> Raw:
    """What a line's JSON says. Raises NotADialogue."""
    if not isinstance(data, dict):
        raise NotADialogue("the line is no JSON object")
    names = {field: mapping.get(field, field) for field in FIELDS}
    messages = data.get(names["messages"])
    if not isinstance(messages, list) or not messages:
        raise NotADialogue(f"there is no list of messages under {names['messages']!r}")
    turns = ordered([message(each, place) for place, each in enumerate(messages, 1)])
    metadata = single(data.get("metadata")) | single({k: v for k, v in data.items() if k not in names.values()})
    if names["dialogue"] in data:
        metadata |= single({"dialogue": data[names["dialogue"]]})
    language = data.get(names["language"]) or metadata.pop("language", "")
    return Raw(number, turns, language if isinstance(language, str) else "", metadata)


def single(values: Any) -> dict[str, str]:
    """Those of `values` that are single values, as text."""
    if not isinstance(values, dict):
        return {}
    kept = {key: value for key, value in values.items() if isinstance(value, str | int | float)}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in kept.items()}
