"""Files of questions that training must not see: the house's own questions, chat JSONL, public benchmarks, tables.

A file has to be readable as a whole: a question that is skipped in silence would not be protected.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.data.chat_jsonl import parsed
from luthier.data.leakage import Protected
from luthier.data.lines import LONGEST, lines
from luthier.data.raw import NotADialogue
from luthier.errors import BadConfig, BadData

FIELDS = ("question", "prompt", "instruction", "user_query", "utterance", "text", "input")
"""Where a line holds what it asks; the first one that is there counts."""
TABLES = {".csv": ",", ".tsv": "\t"}


def read_protected(path: Path, field: str = "") -> list[Protected]:
    """The questions of a file: JSON lines (`.gz` not), or a table with a header (`.csv`, `.tsv`).

    `field` is the field or column that asks. Without it, a line is a dialogue where it has `messages` (each of its
    user's turns is protected), else the first of FIELDS counts. Names are the file's, with the line's `id` or number.
    Raises BadData that names the line, BadConfig for a column that is not there.
    """
    made = [
        Protected(f"{path.name}:{values.get('id', number)}", text, str(values.get("subject", "")))
        for number, values in (table(path) if path.suffix.lower() in TABLES else objects(path))
        for text in asked(values, field, f"{path.name}, line {number}")
    ]
    if not made:
        raise BadData(f"{path} protects nothing", "give a file with one question a line, or leave it out")
    return made


def objects(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The JSON objects of a file with their lines."""
    for number, line in lines(path):
        if line is None:
            raise BadData(f"line {number} of {path} is longer than {LONGEST} bytes", "give one question a line")
        if not line.strip():
            continue
        try:
            data = parsed(line.decode())
        except (UnicodeDecodeError, NotADialogue) as error:
            raise BadData(f"line {number} of {path} is no JSON", "give one JSON object a line") from error
        if not isinstance(data, dict):
            raise BadData(f"line {number} of {path} is no JSON object", "give one JSON object a line")
        yield number, data


def table(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of a table with the lines that they end on."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter=TABLES[path.suffix.lower()])
            for row in rows:
                yield rows.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{path} cannot be read as a table ({error})", "give a UTF-8 file with a header") from error


def asked(values: Mapping[str, Any], field: str, place: str) -> Sequence[str]:
    """What a line asks."""
    if not field and isinstance(values.get("messages"), list):
        turns = [each for each in values["messages"] if isinstance(each, dict) and each.get("role") == "user"]
        texts = [each["content"] for each in turns if isinstance(each.get("content"), str)]
        if not texts:
            raise BadData(f"{place} has no user turn", "a protected dialogue needs one")
        return texts
    name = field or next((each for each in FIELDS if each in values), "")
    if name not in values:
        named = f"no field {field!r}" if field else "no field that asks"
        there = ", ".join(str(each) for each in values)
        raise BadConfig(f"{place} has {named}", f"name the field of the questions; there are: {there}")
    if not isinstance(values[name], str) or not values[name].strip():
        raise BadData(f"{place} asks nothing under {name!r}", "fill it, or take the line out")
    return [values[name]]
