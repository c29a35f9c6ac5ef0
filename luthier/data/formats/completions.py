"""Source `completions`: a prompt and its answer: {"prompt": text or messages, "completion": text or messages}.

Any two fields can be mapped to them: {"prompt": "question", "completion": "answer"}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luthier.data.formats import objects
from luthier.data.formats.turns import BESIDE, an_object, answer_of, dialogue, prompt_of, turn
from luthier.data.raw import Raw, Refused

USED = ("system", "prompt", "completion")
FIELDS = (*USED, *BESIDE)


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every row of a JSONL file or a JSON list. Raises BadData, BadConfig for a mapping."""
    return objects.read(path, mapping, FIELDS, understood)


def understood(number: int, data: Any) -> Raw:
    """One row. Raises NotADialogue."""
    data = an_object(data)
    system = data.get("system")
    turns = [turn("system", system, "system")] if isinstance(system, str) and system.strip() else []
    turns += prompt_of(data.get("prompt"), "prompt") + answer_of(data.get("completion"), "completion")
    return dialogue(number, turns, data, USED)
