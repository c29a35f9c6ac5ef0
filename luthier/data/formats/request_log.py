"""Source `request-log`: what a server was asked and what it said, as OpenAI-shaped servers log it.

{"timestamp", "workload_id", "client_id", "request": {"messages": […]}, "response": {"choices": [{"message": …}]}}

The client becomes the row's subject, the day its date. Answers that the request repeats are context, not learnt again:
they have rows of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from luthier.data.formats import objects
from luthier.data.formats.turns import BESIDE, an_object, dialogue, from_text, listed
from luthier.data.raw import NotADialogue, Raw, Refused

USED = ("timestamp", "workload_id", "client_id", "request", "response")
FIELDS = (*USED, *BESIDE)
MILLISECONDS = 100_000_000_000
"""A number of seconds that is larger is one of milliseconds."""


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every row of a JSONL file or a JSON list. Raises BadData, BadConfig for a mapping."""
    return objects.read(path, mapping, FIELDS, understood)


def understood(number: int, data: Any) -> Raw:
    """One row. Raises NotADialogue."""
    data = an_object(data)
    request, response = from_text(data.get("request")), from_text(data.get("response"))
    if not isinstance(request, dict) or not isinstance(response, dict):
        raise NotADialogue("the row has no request and response")
    asked = [
        turn.model_copy(update={"weight": 0}) if turn.role == "assistant" else turn
        for turn in listed(request.get("messages"), "request.messages")
    ]
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise NotADialogue("the response holds no answer")
    answer = listed([choice["message"]], "response")
    told = {"workload": data.get("workload_id"), "model": response.get("model") or request.get("model")}
    if choice.get("finish_reason") == "length":
        told["finish"] = "length"
    tools = request.get("tools")
    made = dialogue(number, asked + answer, data if tools is None else data | {"tools": tools}, USED)
    beside = {name: str(value) for name, value in told.items() if isinstance(value, str | int) and value != ""}
    client = data.get("client_id")
    subject = str(client) if isinstance(client, str | int) else ""
    return made._replace(metadata=made.metadata | beside, subject=subject, collected=day(data.get("timestamp")))


def day(value: Any) -> str:
    """The ISO date of a timestamp: text, or seconds or milliseconds since 1970; nothing where it is none."""
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            return datetime.fromisoformat(value.strip()).date().isoformat()
        seconds = float(value)
        return datetime.fromtimestamp(seconds / (1000 if seconds > MILLISECONDS else 1), UTC).date().isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
