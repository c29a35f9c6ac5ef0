"""From a schema to labelled rows: versions, tasks, answers taken in once, agreement, what stands, who is forgotten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from luthier.data.dedupe import Said, row_id
from luthier.data.labels import Settled
from luthier.data.spans import subject_key
from luthier.errors import BadConfig, BadData, Missing, UnknownName
from luthier.records.data import DatasetVersion, Message, Row
from luthier.records.labels import LabelSchema
from luthier.store import audit, erasure
from luthier.workflows import label_schema, labels, settled
from luthier.workflows.forget import forget
from luthier.workflows.session import Session
from tests.data.conftest import pipeline, scrubber, weightless  # noqa: F401 - fixtures
from tests.workflows.making import a_dataset, a_row, project
from tests.workflows.test_forget import left_in

YAML = """\
name: support
questions:
  - {name: tone, type: choice, options: [warm, cold]}
  - {name: better-answer, type: rewrite, required: false}
"""
PAIRS = "name: pairs\nquestions:\n  - {name: better, type: preference}\n"
SPANS = "name: spans\nquestions:\n  - {name: figure, type: span, options: [fee]}\n"
PERSON = "Marta Kovar"


def a_schema(session: Session, text: str = YAML) -> LabelSchema:
    file = session.root / "schema.yaml"
    file.write_text(text)
    return label_schema.put(session, file)[0]


def named(question: str, answer: str, line: int, **more: Any) -> Row:
    """A row under the id that a build gives it."""
    row = a_row(question, answer, line, **more)
    return row.model_copy(update={"id": row_id(Said(row.messages, row.rejected, row.good, row.tools))})


def three(session: Session) -> DatasetVersion:
    return a_dataset(
        session, "dialogues", [named(f"Question {n}?", f"It is {n} EUR, I believe.", n) for n in (1, 2, 3)]
    )


def answered(file: Path, answers: dict[int, Sequence[tuple[int, dict[str, Any]]]], at: str = "2026-02-01") -> None:
    """What Label Studio gives back for the tasks in `file`: of each the annotators and what they said."""
    tasks = json.loads(file.read_text())
    kinds = {"tone": "choices", "better-answer": "textarea", "better": "pairwise", "figure": "labels"}
    for number, said in answers.items():
        tasks[number]["annotations"] = [
            {
                "completed_by": {"id": who, "email": f"{who}@example.org"},
                "updated_at": f"{at}T12:00:00Z",
                "result": [{"from_name": name, "type": kinds[name], "value": value} for name, value in values.items()],
            }
            for who, values in said
        ]
    file.write_text(json.dumps(tasks))


def tone(value: str) -> dict[str, Any]:
    return {"tone": {"choices": [value]}}


NAMES = {"7": "ana", "8": "ben", "9": "cleo"}


def test_a_word_changed_is_a_version_that_names_the_one_before(session: Session) -> None:
    first = a_schema(session)
    assert a_schema(session, "# looked through\n" + YAML) == first
    second = a_schema(session, YAML.replace("cold", "curt"))
    assert (second.previous, second.id != first.id) == (first.id, True)
    assert settled.schema_of(session.workspace.ledger) == second
    assert settled.schema_of(session.workspace.ledger, first.id) == first
    assert [link.parent for link in session.workspace.ledger.ancestors(second.id)] == [first.id]
    other = a_schema(session, PAIRS)
    assert settled.schema_of(session.workspace.ledger, "pairs") == other
    with pytest.raises(BadConfig, match="several"):
        settled.schema_of(session.workspace.ledger)
    with pytest.raises(BadConfig, match="no labelling schema is called 'pears'"):
        settled.schema_of(session.workspace.ledger, "pears")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\n", "questions"),
        ("- a\n", "no mapping"),
        ("name: [\n", "not valid YAML"),
        ("name: x\nquestions:\n  - {name: t, type: choice, options: [yes, no]}\n", r"schema.yaml:3.*string"),
        ("name: x\nquestions:\n  - {name: t, typ: choice}\n", r"schema.yaml:3: questions.0.typ"),
        ("name: x\nprevious: schema-1\nquestions:\n  - {name: t, type: text}\n", "previous is not yours"),
        ("name: x\nquestions:\n  - {name: dialogue, type: text}\n", "may not be called 'dialogue'"),
        ("name: 2026-13-45\n", "cannot read"),
    ],
)
def test_a_schema_that_is_none(session: Session, text: str, said: str) -> None:
    with pytest.raises(BadConfig, match=said) as caught:
        a_schema(session, text)
    assert caught.value.mend
    assert session.workspace.ledger.ls(LabelSchema.kind) == []


def test_no_schema_no_labels(session: Session) -> None:
    with pytest.raises(Missing, match="no labelling schema"):
        settled.schema_of(session.workspace.ledger)
    schema = a_schema(session)
    with pytest.raises(Missing, match="nobody has labelled"):
        labels.standing(session, schema)
    with pytest.raises(Missing, match="nobody has labelled"):
        settled.decide(session, schema)
    assert len(settled.settled_labels(session)) == 0


@pytest.mark.usefixtures("weightless")
def test_the_whole_way(session: Session, tmp_path: Path) -> None:
    schema, version, file = a_schema(session), three(session), tmp_path / "tasks.json"
    done = labels.export(session, schema, version, file, "label-studio")
    assert (done.rows, done.passed, done.config) == (3, 0, tmp_path / "tasks.config.xml")
    assert '<Choice value="warm"/>' in done.config.read_text()
    answered(
        file,
        {
            0: [(7, tone("warm")), (8, tone("warm"))],
            1: [(7, tone("warm") | {"better-answer": {"text": ["Quillon Marsh says 2 EUR."]}}), (8, tone("cold"))],
            2: [(7, tone("lukewarm"))],
        },
    )
    taken = labels.take(session, schema, version, file, "label-studio", users=NAMES)
    assert taken.labels is not None
    assert (taken.new, taken.known, taken.labels.annotators) == (5, 0, ("ana", "ben"))
    assert [(each.line, each.reason) for each in taken.refused] == [(3, "'tone' has no option 'lukewarm'")]
    kept = {(each.row, each.question, each.by): each for each in settled.labels_of(session, taken.labels)}
    rows = [row.id for row in labels.rows_of(session, version)]
    wrote = kept[rows[1], "better-answer", "ana"]
    assert (wrote.value, wrote.at, wrote.schema_id) == ("<PERSON_1> says 2 EUR.", "2026-02-01T12:00:00Z", schema.id)
    again = labels.take(session, schema, version, file, "label-studio", users=NAMES)
    assert (again.labels, again.new, again.known) == (taken.labels, 0, 5)
    standing = labels.standing(session, schema)
    assert [(each.question, each.rows, each.alpha) for each in standing.agreement] == [("tone", 2, 0.0)]
    left = [each for each in standing.settled if each.value is None]
    assert left == [Settled(rows[1], "tone", None, "unresolved", ("ana", "ben"))]
    assert (standing.rows, standing.last, standing.reached) == (2, None, 0)
    assert len(settled.settled_labels(session)) == 0, "nobody has settled anything yet"
    settled.decide(session, schema)
    made = settled.settled_labels(session)
    assert made.parents[0].id == taken.labels.id
    changed = [made(row) for row in labels.rows_of(session, version)]
    assert [row.metadata for row in changed if isinstance(row, Row)] == [{"tone": "warm"}, {}, {}]
    assert isinstance(changed[1], Row)
    assert changed[1].messages[-1].content == "<PERSON_1> says 2 EUR."
    settled.decide(session, schema)
    assert len(session.workspace.ledger.events(verb=settled.SETTLED)) == 1, "the same said twice is said once"
    settled.decide(session, schema, at_least=2)
    assert isinstance(row := settled.settled_labels(session)(next(labels.rows_of(session, version))), Row)
    assert row.metadata == {"tone": "warm"}
    assert audit.verify(session.workspace).ok


@pytest.mark.usefixtures("weightless")
@pytest.mark.parametrize("tool", ["label-studio", "argilla"])
def test_whoever_decides_sees_what_was_said(session: Session, tmp_path: Path, tool: Any) -> None:
    schema, version, file = a_schema(session), three(session), tmp_path / "tasks.json"
    labels.export(session, schema, version, file, "label-studio")
    answered(file, {n: [(7, tone("warm")), (8, tone("cold" if n else "warm"))] for n in range(3)})
    labels.take(session, schema, version, file, "label-studio", users=NAMES)
    rows = [row.id for row in labels.rows_of(session, version)]
    only = frozenset(each.row for each in labels.standing(session, schema).settled if each.value is None)
    assert only == {*rows[1:]}
    open_ = tmp_path / "open.json"
    done = labels.export(session, schema, version, open_, tool, labels.Pick(only=only), decide=True)
    assert done.rows == 2
    assert "said" in done.config.read_text()
    tasks = json.loads(open_.read_text())
    shown = [(task["data"] if tool == "label-studio" else task["fields"])["said"] for task in tasks]
    assert shown == ["tone: warm (ana)\ntone: cold (ben)"] * 2
    if tool == "label-studio":
        answered(open_, {0: [(9, tone("cold"))]})
    else:
        tasks[0]["responses"] = {"tone": [{"value": "cold", "user_id": "0" * 32}]}
        open_.write_text(json.dumps(tasks))
    taken = labels.take(session, schema, version, open_, tool, users={"": "chief"}, decided=True)
    assert taken.new == 1
    found = {each.row: each for each in settled.decide(session, schema, at_least=2)}
    assert found[rows[1]] == Settled(rows[1], "tone", "cold", "adjudicated", ("chief",))
    assert found[rows[2]].how == "unresolved"
    assert labels.take(session, schema, version, open_, tool, users={"": "chief"}, decided=True).new == 0
    found = {each.row: each for each in settled.decide(session, schema, adjudicators=["ben"])}
    assert found[rows[2]].value == "cold"
    with pytest.raises(BadConfig, match="'dora' has labelled nothing"):
        settled.decide(session, schema, adjudicators=["dora"])


@pytest.mark.usefixtures("weightless")
def test_what_does_not_fit_is_refused(session: Session, tmp_path: Path) -> None:
    pair = named("Which?", "The blue one.", 1, rejected=(Message(role="assistant", content="None."),))
    version = a_dataset(session, "dialogues", [pair, named("And now?", "It is 9 EUR.", 2)])
    pairs, spans = a_schema(session, PAIRS), a_schema(session, SPANS)
    file = tmp_path / "tasks.json"
    done = labels.export(session, pairs, version, file, "label-studio")
    assert (done.rows, done.passed) == (1, 1)
    other = a_dataset(session, "others", [named("And now?", "It is 9 EUR.", 2)])
    with pytest.raises(BadData, match="no row has the two answers"):
        labels.export(session, pairs, other, file, "label-studio")
    with pytest.raises(BadData, match="no row is left"):
        labels.export(session, spans, other, file, "label-studio", labels.Pick(split="test"))
    answered(file, {0: [(7, {"better": {"selected": "right"}})]})
    assert labels.take(session, pairs, version, file, "label-studio").new == 1
    elsewhere = labels.take(session, pairs, other, file, "label-studio")
    assert "has no such row" in elsewhere.refused[0].reason
    task = json.loads(file.read_text())[0]
    single = task | {"data": task["data"] | {"row": next(labels.rows_of(session, other)).id}}
    file.write_text(json.dumps([single]))
    assert "the row has one" in labels.take(session, pairs, version, file, "label-studio").refused[0].reason
    labels.export(session, spans, other, file, "label-studio")
    answered(file, {0: [(7, {"figure": {"start": 6, "end": 60, "text": "9 EUR", "labels": ["fee"]}})]})
    taken = labels.take(session, spans, other, file, "label-studio")
    assert (taken.labels, "ends behind the answer" in taken.refused[0].reason) == (None, True)
    assert "labelled under" in labels.take(session, pairs, other, file, "label-studio").refused[0].reason


def test_an_annotator_is_no_address(session: Session, tmp_path: Path) -> None:
    schema, version = a_schema(session), three(session)
    (tmp_path / "a.json").write_text("[]")
    for name in ("ana@example.org", " "):
        with pytest.raises(BadConfig, match="no name"):
            labels.take(session, schema, version, tmp_path / "a.json", "argilla", users={"": name})
    (tmp_path / "a.json").write_text("{")
    assert len(labels.take(session, schema, version, tmp_path / "a.json", "argilla").refused) == 1
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadData):
        labels.take(session, schema, version, tmp_path / "a.json", "argilla")
    with pytest.raises(UnknownName):
        settled.schema_of(session.workspace.ledger, "schema-0000")


def test_the_same_rows_are_drawn_every_time(session: Session, tmp_path: Path) -> None:
    schema, version = a_schema(session), three(session)
    drawn = []
    for file in (tmp_path / "a.json", tmp_path / "b.json"):
        assert labels.export(session, schema, version, file, "argilla", labels.Pick(most=2)).rows == 2
        drawn.append([record["id"] for record in json.loads(file.read_text())])
    assert drawn[0] == drawn[1]


@pytest.mark.usefixtures("weightless")
def test_whoever_is_forgotten_takes_their_labels_along(session: Session, tmp_path: Path) -> None:
    project(session.root)
    key = subject_key(session.workspace.pseudonym_key, PERSON)
    theirs = named("I lost my blue card in Port Sedge last week.", "We send a new one.", 1, subject=key)
    others = named("What does it cost?", "9 EUR.", 2)
    version = a_dataset(session, "dialogues", [theirs, others])
    schema, file = a_schema(session), tmp_path / "tasks.json"
    labels.export(session, schema, version, file, "label-studio")
    secret = "The blue card that was lost in Port Sedge is blocked; a new one is under way."
    answered(
        file,
        {0: [(7, tone("cold") | {"better-answer": {"text": [secret]}})], 1: [(7, tone("warm"))]},
    )
    first = labels.take(session, schema, version, file, "label-studio", users=NAMES).labels
    answered(file, {1: [(8, tone("cold"))]}, at="2026-02-02")
    second = labels.take(session, schema, version, file, "label-studio", users=NAMES).labels
    assert first is not None
    assert second is not None
    assert (first.count, second.count, second.previous) == (3, 4, first.id)
    settled.decide(session, schema, adjudicators=["ana"])
    assert len(settled.settled_labels(session)) == 2
    file.unlink()
    done = forget(session, [PERSON])
    assert set(done.found.labels) == {first.id, second.id}
    assert left_in(session.workspace.folder, secret.encode(), theirs.id.encode()) == []
    assert [each.row for each in settled.labels_of(session, second)] == [others.id] * 2
    assert erasure.left_of(session.workspace.ledger, second).count == 2
    made = settled.settled_labels(session)
    assert (len(made), made(theirs)) == (1, theirs)
    file.write_text(json.dumps([{"data": {"row": theirs.id}, "annotations": []}]))
    labels.export(session, schema, version, file, "label-studio")
    answered(file, {0: [(9, tone("warm"))]})
    third = labels.take(session, schema, version, file, "label-studio", users=NAMES)
    assert third.labels is not None
    assert (third.labels.count, third.labels.previous) == (3, second.id)
    assert audit.verify(session.workspace).ok
