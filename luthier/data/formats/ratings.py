"""Source `ratings`: an answer and whether it was wanted (KTO): {"prompt", "completion", "label": true or false}."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from luthier.data.formats import objects
from luthier.data.formats.turns import BESIDE, an_object, answer_of, dialogue, prompt_of
from luthier.data.raw import NotADialogue, Raw, Refused

USED = ("prompt", "completion", "label")
FIELDS = (*USED, *BESIDE)
LABELS: dict[object, bool] = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
"""1 and 0 are True and False to Python; the texts come from tables."""


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every row of a JSONL file or a JSON list. Raises BadData, BadConfig for a mapping."""
    return objects.read(path, mapping, FIELDS, understood)


def understood(number: int, data: Any) -> Raw:
    """One row. Raises NotADialogue."""
    data = an_object(data)
    turns = prompt_of(data.get("prompt"), "prompt") + answer_of(data.get("completion"), "completion")
    label = data.get("label")
    label = label.strip().lower() if isinstance(label, str) else label
    if not isinstance(label, str | bool | int | float) or label not in LABELS:
        raise NotADialogue("'label' is neither true nor false")
    return dialogue(number, turns, data, USED)._replace(good=LABELS[label])
