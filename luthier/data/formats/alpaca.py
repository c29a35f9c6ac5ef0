"""Source `alpaca`: {"instruction", "input", "output"}, with `system` and `history` (pairs of earlier turns) if any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luthier.data.formats import objects
from luthier.data.formats.turns import BESIDE, an_object, dialogue, turn
from luthier.data.raw import NotADialogue, Raw, Refused
from luthier.records.data import Message

USED = ("instruction", "input", "output", "system", "history")
FIELDS = (*USED, *BESIDE)


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every row of a JSONL file or a JSON list. Raises BadData, BadConfig for a mapping."""
    return objects.read(path, mapping, FIELDS, understood)


def understood(number: int, data: Any) -> Raw:
    """One row; `input` stands below the instruction, behind a blank line. Raises NotADialogue."""
    data = an_object(data)
    said = {name: text(data, name) for name in ("system", "instruction", "input", "output")}
    turns = [turn("system", said["system"], "system")] if said["system"].strip() else []
    turns += [each for pair in pairs(data.get("history")) for each in earlier(pair)]
    asked = "\n\n".join(part for part in (said["instruction"], said["input"]) if part.strip())
    turns += [turn("user", asked, "instruction"), turn("assistant", said["output"], "output")]
    return dialogue(number, turns, data, USED)


def text(data: Mapping[str, Any], name: str) -> str:
    """A field that is a text or not there. Raises NotADialogue."""
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise NotADialogue(f"{name!r} is no text")
    return value or ""


def pairs(history: Any) -> list[Any]:
    """The earlier turns, as a list. Raises NotADialogue."""
    if history is not None and not isinstance(history, list):
        raise NotADialogue("'history' is no list of pairs of texts")
    return history or []


def earlier(pair: Any) -> list[Message]:
    """Two turns of the history."""
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
        raise NotADialogue("'history' is no list of pairs of texts")
    return [turn("user", pair[0], "history"), turn("assistant", pair[1], "history")]
