"""What was settled reaches the rows of the next build, and limits over all rows hold there."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from luthier.records.data import DatasetVersion, Row
from luthier.store import audit
from luthier.workflows import data, label_schema, labels, lineage, settled, versions
from luthier.workflows.forget import forget
from luthier.workflows.person import find, subject_of
from luthier.workflows.session import Session
from tests.data.conftest import pipeline, scrubber, weightless  # noqa: F401 - fixtures
from tests.workflows.making import SETTINGS, chat
from tests.workflows.test_forget import left_in

pytestmark = pytest.mark.usefixtures("weightless")
SCHEMA = """\
name: support
questions:
  - {name: stars, type: rating, good_from: 3, required: false}
  - {name: better, type: preference, required: false}
  - {name: better-answer, type: rewrite, required: false}
"""
NEW = "A second card costs 9 EUR per year, and it comes by post."


def rows_of(session: Session, version: DatasetVersion) -> dict[int, Row]:
    return {row.line: row for row in labels.rows_of(session, version)}


def written(session: Session, *lines: Any, **settings: Any) -> None:
    """The project's dialogues and its settings of `data`."""
    (session.root / "dialogues.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    part = SETTINGS["data"] | {"detectors": []} | settings
    project_file = session.root / "luthier.yaml"
    project_file.write_text(yaml.safe_dump(SETTINGS | {"data": part}, sort_keys=False))


def again(session: Session) -> Session:
    return Session.open(session.root)


def said(session: Session, version: DatasetVersion, answers: dict[int, dict[str, Any]], by: str = "ana") -> None:
    """Labels by line of the source, imported and settled."""
    file = session.root / "records.json"
    (session.root / "schema.yaml").write_text(SCHEMA)
    schema, _ = label_schema.put(session, session.root / "schema.yaml")
    rows = rows_of(session, version)
    user = "00000000-0000-0000-0000-000000000001"
    records = [
        {"id": rows[line].id, "responses": {name: [{"value": value, "user_id": user}] for name, value in told.items()}}
        for line, told in answers.items()
    ]
    file.write_text(json.dumps(records))
    taken = labels.take(session, schema, version, file, "argilla", users={user: by})
    assert (taken.refused, taken.new > 0) == ((), True)
    settled.decide(session, schema)
    file.unlink()


@pytest.fixture
def bank(session: Session) -> Session:
    prompt = [{"role": "user", "content": "Which card is cheaper?"}]
    blue, red = ({"role": "assistant", "content": f"The {colour} one."} for colour in ("blue", "red"))
    written(
        session,
        chat("What is the fee for a lost key?", "Nothing at all."),
        chat("what is the fee for a lost key?", "nothing at all."),
        chat("Ask Quillon Marsh about my card.", "No."),
        {"messages": [*prompt, blue], "metadata": {"n": "4"}},
        chat("When are you open?", NEW),
    )
    (session.root / "pairs.jsonl").write_text(
        "".join(
            json.dumps(
                {"prompt": [{"role": "user", "content": f"Which one, {n}?"}], "chosen": [blue], "rejected": [red]}
            )
            + "\n"
            for n in range(3)
        )
    )
    settings = yaml.safe_load((session.root / "luthier.yaml").read_text())
    settings["data"]["sources"].append(
        {"name": "pairs", "path": "pairs.jsonl", "format": "preferences", "licence": "MIT", "consent": "contract"}
    )
    (session.root / "luthier.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return again(session)


def by_words(session: Session, version: DatasetVersion) -> dict[str, Row]:
    return {row.messages[0].content: row for row in labels.rows_of(session, version)}


def test_rewrites_ratings_and_preferences_are_trained_on(bank: Session) -> None:
    first = data.build(bank)
    assert first.duplicates == 1
    rows = by_words(bank, first)
    (bank.root / "schema.yaml").write_text(SCHEMA)
    schema, _ = label_schema.put(bank, bank.root / "schema.yaml")
    user = "00000000-0000-0000-0000-000000000001"
    answers: dict[str, dict[str, Any]] = {
        "What is the fee for a lost key?": {"better-answer": NEW, "stars": 1},
        "Ask <PERSON_1> about my card.": {"stars": 2},
        "Which card is cheaper?": {"stars": 5},
        "Which one, 0?": {"better": "right"},
        "Which one, 1?": {"better": "tie"},
        "Which one, 2?": {"better": "left"},
    }
    records = [
        {"id": rows[words].id, "responses": {name: [{"value": v, "user_id": user}] for name, v in told.items()}}
        for words, told in answers.items()
    ]
    file = bank.root / "records.json"
    file.write_text(json.dumps(records))
    taken = labels.take(bank, schema, first, file, "argilla", users={user: "ana"})
    assert (taken.refused, taken.new) == ((), 7)
    assert data.build(bank, first).id == first.id, "nothing was settled yet"
    settled.decide(bank, schema)
    second = data.build(bank, first)
    now = by_words(bank, second)
    card = now["What is the fee for a lost key?"]
    assert (card.messages[-1].content, card.good, card.metadata["stars"]) == (NEW, True, "1")
    assert card.changes == ("rating stars", "rewrite better-answer")
    assert now["Ask <PERSON_1> about my card."].good is False
    assert now["Which card is cheaper?"].good is True
    assert now["Which one, 0?"].messages[-1].content == "The red one."
    assert now["Which one, 0?"].rejected[-1].content == "The blue one."
    assert now["Which one, 2?"].messages[-1].content == "The blue one."
    assert "Which one, 1?" not in now
    assert second.left_out == {"of its two answers neither was preferred": 1}
    assert second.duplicates == 1, "the other spelling of what was rewritten does not come back"
    assert sum(second.counts.values()) + second.duplicates + 1 == 8
    assert taken.labels is not None
    assert ("labels", taken.labels.id) in [(parent.role, parent.id) for parent in second.parents()]
    assert labels.standing(bank, schema).reached == 5
    assert data.build(bank, second).id == second.id
    found = versions.diff(bank, first, second)
    assert found.changed.why == {"it was labelled": 4}
    assert found.out.why == {"of its two answers neither was preferred": 1}
    asked = now["Ask <PERSON_1> about my card."]
    assert lineage.impact(bank, "Quillon Marsh").rows[second.id] == (asked.id,), "the row has another id by its rating"
    assert audit.verify(bank.workspace).ok


def test_a_rewrite_that_says_what_another_row_says_is_said_once(session: Session) -> None:
    written(session, chat("When?", "At nine."), chat("When?", "At ten."), chat("WHEN?", "at ten."))
    opened = again(session)
    first = data.build(opened)
    assert (sum(first.counts.values()), first.duplicates) == (2, 1)
    said(opened, first, {2: {"better-answer": "At nine."}})
    second = data.build(opened, first)
    assert (sum(second.counts.values()), second.duplicates) == (1, 2)


def test_whoever_is_forgotten_does_not_come_back_by_a_label(session: Session) -> None:
    written(session, chat("I am Quillon Marsh, where is my card?", "Somewhere in the post."), chat("When?", "At ten."))
    opened = again(session)
    first = data.build(opened)
    secret = "It left the sorting office of Port Sedge on Monday, as far as we can see."
    said(opened, first, {1: {"better-answer": secret}})
    second = data.build(opened, first)
    assert rows_of(opened, second)[1].messages[-1].content == secret
    done = forget(opened, ["Quillon Marsh"])
    assert {len(rows) for rows in done.found.rows.values()} == {1}
    assert len(done.found.labels) == 1
    assert left_in(opened.workspace.folder, secret.encode(), b"quillon marsh") == []
    third = data.build(opened, second)
    assert third.left_out == {"a person in it was forgotten": 1}
    later = find(opened, subject_of(opened, ["Quillon Marsh"]))
    assert third.id not in {seen.id for seen in later.seen}, "labels of a set that they were in do not bring them back"
    assert {first.id, second.id} <= {seen.id for seen in later.seen}
    assert audit.verify(opened.workspace).ok


def test_with_made_up_names(session: Session) -> None:
    written(session, chat("I am Quillon Marsh, where is my card?", "No idea."), surrogates=True)
    opened = again(session)
    first = data.build(opened)
    asked = rows_of(opened, first)[1].messages[0].content
    assert "PERSON" not in asked
    said(opened, first, {1: {"better-answer": "In the post."}})
    row = rows_of(opened, data.build(opened, first))[1]
    assert [turn.content for turn in row.messages] == [asked, "In the post."]


def test_limits_over_all_rows(session: Session) -> None:
    right = [chat(f"What is the fee for a lost key? {'Please! ' * n}", f"It costs 9 EUR{'!' * n}") for n in range(3)]
    written(
        session, *right, chat("What is the fee for the lost key?", "It costs 8 EUR."), limits={"contradictions": 0.5}
    )
    opened = again(session)
    version = data.build(opened)
    assert version.left_out == {"other rows contradict it": 1}
    assert sorted(rows_of(opened, version)) == [1, 2, 3]
    (line,) = opened.workspace.blobs.lines(version.quarantine or "")
    kept = rows_of(opened, version)[1].id
    assert line["line"] == 4
    assert f"{kept} states 9; score 1.000" in json.dumps(line)
    labelled = [chat(f"Ticket {n} of mine", "Yes.", metadata={"label": "fee" if n else "loan"}) for n in range(9)]
    written(session, *labelled, limits={"balance": 0.5})
    version = data.build(again(session))
    assert version.left_out == {"its label has too many rows": 7}
