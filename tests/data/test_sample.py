"""How much of the sample's personal data is found, with the model that users pull."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from luthier.data.score import read_marked, score

SAMPLE = Path(str(files("luthier") / "sample"))


@pytest.mark.models
def test_the_sample(pulled):
    dialogues = {}
    for line in (SAMPLE / "dialogues.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        texts = [message["content"] for message in row["messages"]]
        dialogues[row["metadata"]["dialogue"]] = (texts, row["metadata"]["language"])
    scores = score(dialogues, read_marked(SAMPLE / "dialogues.gold.jsonl"), pulled)
    for kind in ("IBAN", "CARD", "EMAIL"):
        assert scores[kind].recall == 1.0
        assert scores[kind].precision == 1.0
    for kind in ("PERSON", "PHONE", "ADDRESS"):
        assert scores[kind].recall >= 0.95
        assert scores[kind].precision >= 0.95
