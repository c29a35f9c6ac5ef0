"""The triage example: what is learnt and asked, and the whole of it with a tiny model on rows of our own."""

from __future__ import annotations

import csv
import json
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from examples import common, triage
from luthier.data import build as building
from luthier.errors import Missing
from luthier.lm.pull import local
from luthier.progress import silent
from luthier.records.data import DatasetVersion, Message, Row
from luthier.records.evaluation import EvalReport, Question
from luthier.store.workspace import Workspace
from tests.tiny import tiny_model

DATA = Path(__file__).parents[3] / "shared" / "data" / "banking77"
OPENINGS = ("please", "hello,", "today", "once more:", "a question:")
ENDINGS = ("", "thanks", "it is urgent", "what now?", "can you help?", "since yesterday")
SAID = {
    "card_arrival": "where is my new card",
    "Refund_not_showing_up": "the refund is not in my account",
    "reverted_card_payment?": "a card payment was sent back",
    "pin_blocked": "my code is blocked",
}


def need_spacy() -> None:
    try:
        local("en-core-web-sm")
    except Missing as missing:
        pytest.skip(f"the scrubber needs a model that is not here: {missing.mend}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "banking77"
    folder.mkdir()
    with (folder / triage.FILE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "category"))
        for (label, said), opening, ending in product(SAID.items(), OPENINGS, ENDINGS):
            table.writerow((f"{opening} {said} {ending}".strip(), label))
    return folder


def row(number: int, label: str) -> Row:
    messages = (Message(role="user", content=f"question {number}"), Message(role="assistant", content=label))
    return Row(id=f"{number:03}", split="train", source="s", line=number, messages=messages)


def test_a_label_is_learnt_as_words() -> None:
    learnt = triage.worded(row(1, "reverted_card_payment?"))
    assert [message.role for message in learnt.messages] == ["system", "user", "assistant"]
    assert triage.intent(learnt) == "reverted card payment"
    assert learnt.id != "001"


def test_the_draw_is_balanced_and_stays_when_rows_are_added() -> None:
    rows = [row(n, "often" if n % 10 else "seldom") for n in range(200)]
    drawn = triage.balanced(rows, 30, seed=0)
    assert Counter(map(triage.intent, drawn)) == {"often": 15, "seldom": 15}
    assert triage.balanced(reversed(rows), 30, seed=0) == drawn
    assert triage.balanced(rows, 30, seed=1) != drawn
    assert Counter(map(triage.intent, triage.balanced(rows, 100, seed=0))) == {"often": 80, "seldom": 20}
    assert len(triage.balanced(rows, 500, seed=0)) == 200


def test_an_answer_that_is_no_intent_is_invalid_however_it_is_spelled() -> None:
    mark = triage.invalid(["card arrival", "pin blocked"])
    question = Question(id="q", question="?")
    marks = [mark(question, answer) for answer in ("Card  arrival.", "pin blocked", "card", "", "card arrival pin")]
    assert marks == [0.0, 0.0, 1.0, 1.0, 1.0]


def test_a_folder_without_the_file_is_named(tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "w", create=True) as workspace, pytest.raises(Missing, match=r"train\.csv"):
        triage.read(tmp_path / triage.FILE, workspace, silent)


def test_the_whole_example(data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    need_spacy()
    base, folder = tiny_model(tmp_path / "base"), tmp_path / "workspace"
    asked = ["--data", str(data), "--base", str(base), "--workspace", str(folder), "--rows", "30", "--epochs", "1"]
    assert triage.main([*asked, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)  # one object, and nothing else
    assert found["base"].keys() == found["tuned"].keys() == {"exact", "invalid"}
    assert all(0 <= value <= 1 for side in ("base", "tuned") for value in found[side].values())
    low, high = found["intervals"]["tuned"]["exact"]
    assert low <= found["tuned"]["exact"] <= high
    assert found["differences"]["exact"]["n"] == found["held_out"] > 0
    assert found["data"]["rows"] == 30
    with Workspace.open(folder) as workspace:
        versions = [v for v in workspace.ledger.ls("dataset") if isinstance(v, DatasetVersion)]
        whole = next(version for version in versions if version.name == "triage")
        taught = next(version for version in versions if version.name == "triage-balanced")
        said = {row.messages[-2].content for row in building.rows(taught, workspace.blobs)}
        kept_back = {row.messages[-2].content for row in building.rows(whole, workspace.blobs, "test")}
        assert len(kept_back) == found["held_out"]
        assert not said & kept_back
        tuned, before = (report for report in workspace.ledger.ls("report") if isinstance(report, EvalReport))
        assert tuned.baseline == before.id
        samples = list(workspace.blobs.lines(tuned.samples))
        assert all(sample["scores"].keys() == {"exact", "invalid"} for sample in samples)
        assert whole.id in {link.parent for link in workspace.ledger.ancestors(tuned.id)}


@pytest.mark.skipif(not DATA.is_dir(), reason=f"banking77 is not at {DATA}")
def test_the_real_file_has_its_intents() -> None:
    with (DATA / triage.FILE).open(encoding="utf-8", newline="") as file:
        labels = {line["category"] for line in csv.DictReader(file)}
    spoken = {triage.intent(triage.worded(row(1, label))) for label in labels}
    assert len(labels) == len(spoken) == 77
    assert common.drawn(labels, 5, 0) == common.drawn(sorted(labels), 5, 0)
