"""The grounded example: its split, its rows, its marks, and the whole of it with a tiny model on texts of our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from examples import grounded
from luthier.data.split import split_of
from luthier.errors import BadData, Missing
from luthier.records.evaluation import Question
from tests.tiny import tiny_model

DATA = Path(__file__).parents[3] / "shared" / "data" / "xquad"
ARTICLES = 30


def entry(number: int, what: str, answer: str) -> dict[str, Any]:
    return {"id": f"{number}-{what}", "question": f"What {what} has it?", "answers": [{"text": answer}]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    articles = []
    for number in range(ARTICLES):
        context = f"Tower {number} has {number + 3} floors and a green door."
        qas = [entry(number, "height", f"{number + 3} floors"), entry(number, "door", "a green door")]
        articles.append({"title": f"Tower_{number}", "paragraphs": [{"context": context, "qas": qas}]})
    path = tmp_path / "xquad" / grounded.FILE
    path.parent.mkdir()
    path.write_text(json.dumps({"data": articles}), encoding="utf-8")
    return path


def test_no_article_is_both_learnt_and_asked(file: Path) -> None:
    paragraphs = grounded.read(file)
    learnt = {row.line for row in grounded.lessons(paragraphs, 1000, 5, 0)}
    asked = {p.line for p in paragraphs if split_of(p.passage.document, grounded.VALIDATION, grounded.TEST) == "test"}
    assert learnt
    assert asked
    assert not learnt & asked
    assert len(learnt | asked) == ARTICLES


def test_the_first_turn_is_what_is_served(file: Path) -> None:
    paragraph = grounded.read(file)[3]
    system, shown, answer, further, last = grounded.conversation(paragraph.passage, paragraph.asked)
    assert [system, shown] == grounded.prompt(paragraph.passage, paragraph.asked[0].question)
    assert shown.content == (
        "[1] Tower 3\nTower 3 has 6 floors and a green door.\n\nQuestion: What height has it?"
    )  # the gateway's form
    assert (answer.content, last.content) == ("6 floors", "a green door")
    assert further.content == "Question: What door has it?"


def test_rows_hold_as_many_questions_as_asked_for(file: Path) -> None:
    paragraphs = grounded.read(file)
    for turns, messages in ((1, 3), (5, 5)):
        rows = grounded.lessons(paragraphs, 1000, turns, 0)
        assert {len(row.messages) for row in rows} == {messages}
    few = [row for row in grounded.lessons(paragraphs, 7, 1, 0) if row.split == "train"]
    assert len(few) == 7


@pytest.mark.parametrize(
    ("said", "exact", "f1"),
    [
        ("The Green Door.", 1.0, 1.0),
        ("a green door [1]", 1.0, 1.0),
        ("green", 0.0, 2 / 3),
        ("It is a green door", 0.0, 2 / 3),
        ("six floors", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_marks_are_those_of_squad(said: str, exact: float, f1: float) -> None:
    question = Question(id="q", question="?", reference="a green door")
    assert grounded.exact(question, said) == exact
    assert grounded.f1(question, said) == pytest.approx(f1)


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="give --data"):
        grounded.read(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"data": [{"title": "x"}]}')
    with pytest.raises(BadData, match="SQuAD"):
        grounded.read(tmp_path / "other.json")


def test_the_whole_example(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    base = tiny_model(tmp_path / "base")
    asked = ["--data", str(file.parent), "--base", str(base), "--epochs", "1", "--held-out", "6"]
    assert grounded.main([*asked, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["base"].keys() == found["tuned"].keys() == {"answers", "exact", "f1"}
    assert found["held_out"] == found["differences"]["f1"]["n"] == 6
    assert found["training"]["steps"] > 0
    assert found["verdict"] in {"pass", "fail", "inconclusive"}


@pytest.mark.skipif(not DATA.is_dir(), reason=f"xquad is not at {DATA}")
def test_every_answer_of_the_real_file_stands_in_its_passage() -> None:
    paragraphs = grounded.read(DATA / grounded.FILE)
    assert len(paragraphs) == 240
    assert sum(len(p.asked) for p in paragraphs) == 1190
    assert all(asked.answer in p.passage.text for p in paragraphs for asked in p.asked)
    held_out = [p for p in paragraphs if split_of(p.passage.document, grounded.VALIDATION, grounded.TEST) == "test"]
    assert sum(len(p.asked) for p in held_out) >= 200
