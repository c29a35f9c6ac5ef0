"""Source `sharegpt`: {"conversations": [{"from": "human", "value": …}, …]}, or just that list, or OpenAI's messages.

`from` may be human, gpt, system, tool and their usual other names; a `function_call` turn becomes a tool call.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luthier.data.formats import objects
from luthier.data.formats.turns import BESIDE, an_object, dialogue, from_text
from luthier.data.raw import NotADialogue, Raw, Refused, message, shown
from luthier.records.data import Message

LISTS = ("conversations", "conversation", "messages")
USED = (*LISTS, "system")
FIELDS = ("conversations", "system", *BESIDE)
ROLES = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bot", "model", "bing", "bard"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function_response", "function"), "tool"),
    **dict.fromkeys(("system", "developer"), "system"),
}
CALL = ("function_call", "tool_call")


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every row of a JSONL file or a JSON list. Raises BadData, BadConfig for a mapping."""
    return objects.read(path, mapping, FIELDS, understood)


def understood(number: int, data: Any) -> Raw:
    """One row. Raises NotADialogue."""
    data = {"conversations": data} if isinstance(data, list) else an_object(data)
    said = next((found for name in LISTS if isinstance(found := from_text(data.get(name)), list) and found), None)
    if said is None:
        raise NotADialogue("there is no list of turns under 'conversations'")
    turns = [understood_turn(each, place) for place, each in enumerate(said, 1)]
    system = data.get("system")
    if isinstance(system, str) and system.strip() and turns[0].role != "system":
        turns.insert(0, message({"role": "system", "content": system}, 0))
    return dialogue(number, turns, data, USED)


def understood_turn(value: Any, place: int) -> Message:
    """One turn, in ShareGPT's words or in OpenAI's. Raises NotADialogue."""
    if not isinstance(value, dict) or "from" not in value:
        return message(value, place)
    who = value["from"].lower() if isinstance(value["from"], str) else None
    if who in CALL:
        return message({"role": "assistant", "tool_calls": calls(value.get("value"), place)}, place)
    if who not in ROLES:
        raise NotADialogue(f"message {place}: nobody is called {shown(value['from'])}; one of {', '.join(ROLES)}")
    return message({"role": ROLES[who], "content": value.get("value"), "weight": value.get("weight")}, place)


def calls(value: Any, place: int) -> list[dict[str, Any]]:
    """The calls of a turn that is written as JSON: one, or a list of them. Raises NotADialogue."""
    found = from_text(value)
    made = []
    for number, call in enumerate(found if isinstance(found, list) else [found]):
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            raise NotADialogue(f"message {place}: the function call is no JSON object with name and arguments")
        arguments = call.get("arguments", call.get("parameters", {}))
        try:
            text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        except (RecursionError, ValueError):
            raise NotADialogue(f"message {place}: tool_calls is nested too deeply") from None
        function = {"name": call["name"], "arguments": text}
        made.append({"id": f"call_{place}_{number}", "type": "function", "function": function})
    return made
