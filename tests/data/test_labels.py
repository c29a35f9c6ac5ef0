"""Labels: schemas, both tools' files there and back, agreement as the papers print it, adjudication, changed rows."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from luthier.data import argilla, label_studio, label_studio_import
from luthier.data.agreement import agreement, cohen_kappa, krippendorff_alpha, masi
from luthier.data.labels import Settled, kept, problem, settle
from luthier.errors import BadData
from luthier.records.data import Message, Row
from luthier.records.labels import Label, LabelQuestion, LabelSchema, Marked
from luthier.store.blobs import Blobs

SCHEMA = LabelSchema(
    name="support",
    questions=(
        LabelQuestion(name="tone", type="choice", options=("warm", "cold & <curt>")),
        LabelQuestion(name="faults", type="choice", options=("wrong", "long", "rude"), several=True),
        LabelQuestion(name="stars", type="rating"),
        LabelQuestion(name="percent", type="rating", low=0, high=100),
        LabelQuestion(name="better", type="preference"),
        LabelQuestion(name="figures", type="span", options=("fee", "term")),
        LabelQuestion(name="remark", type="text", required=False),
        LabelQuestion(name="rewrite", type="rewrite", required=False),
    ),
)
AT, LATER = "2026-01-31T12:00:00Z", "2026-02-01T12:00:00Z"
VALUES: dict[str, Any] = {
    "tone": "cold & <curt>",
    "faults": ("long", "rude"),
    "stars": 4,
    "percent": 0,
    "better": "right",
    "figures": (Marked(start=3, end=8, label="fee"), Marked(start=9, end=20, label="term")),
    "remark": "Says “9 EUR”,\nnot why.",
    "rewrite": "A second card costs 9 EUR per year.",
}


def a_row(name: str = "row-1") -> Row:
    turns = (
        Message(role="user", content="What does it cost?"),
        Message(role="assistant", content="It 9 EUR, per year long"),
    )
    other = (Message(role="assistant", content="Nothing."),)
    return Row(id=name, split="train", source="s", line=1, messages=turns, rejected=other)


def said(question: str, value: Any, by: str = "ana", row: str = "row-1", **more: Any) -> Label:
    return Label(
        **{"row": row, "schema_id": SCHEMA.id, "question": question, "value": value, "by": by, "at": AT} | more
    )


def plain(text: str) -> str:
    return text


EVERY = [
    *(said(name, value) for name, value in VALUES.items()),
    said("better", "tie", "ben", at=LATER),
    said("figures", (), "ben", at=LATER),
    said("stars", 2, "chief", origin="adjudicator", at=LATER),
    said("stars", 5, "judge-7b", origin="model"),
    said("tone", "warm", row="row-2"),
]


def in_order(labels: list[Label]) -> list[str]:
    return sorted(label.model_dump_json() for label in labels)


def test_a_schema_is_named_by_what_it_asks() -> None:
    other = SCHEMA.model_copy(update={"guidelines": "Be strict."})
    assert SCHEMA.id.startswith("schema-")
    assert other.id != SCHEMA.id
    assert all(problem(label, SCHEMA) == "" for label in EVERY)
    assert "was made under" in problem(EVERY[0], other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "choice", "options": ("one",)},
        {"type": "choice", "options": ("one", "one")},
        {"type": "span"},
        {"type": "rating", "options": ("one", "two")},
        {"type": "rating", "low": 5, "high": 5},
        {"type": "rating", "several": True},
        {"type": "choice", "name": "Not a name", "options": ("one", "two")},
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LabelQuestion(**({"name": "q"} | wrong))


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("tone", "lukewarm"), ("tone", ("warm",)), ("faults", "long"), ("faults", ()), ("faults", ("slow",)),
        ("stars", 6), ("stars", "4"), ("better", "both"), ("figures", "fee"), ("figures", ("fee",)),
        ("figures", (Marked(start=4, end=4, label="fee"),)), ("figures", (Marked(start=0, end=2, label="name"),)),
        ("rewrite", "  "), ("remark", 3), ("nobody", "x"),
    ],
)  # fmt: skip
def test_an_answer_of_another_type_is_refused(question: str, value: Any) -> None:
    assert problem(said(question, value), SCHEMA)


def test_label_studio_there_and_back(tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    assert label_studio.write(file, [a_row(), a_row("row-2"), a_row("row-3")], SCHEMA, EVERY) == 3
    back = label_studio_import.read(file, SCHEMA, scrub=plain)
    # an empty list of spans is no object there: who found nothing says nothing
    assert in_order(back.labels) == in_order([label for label in EVERY if label.value != ()])
    assert back.refused == []


def test_argilla_there_and_back(tmp_path: Path) -> None:
    file = tmp_path / "records.json"
    assert argilla.write(file, [a_row(), a_row("row-2"), a_row("row-3")], SCHEMA, EVERY) == 3
    back = argilla.read(file, SCHEMA, scrub=plain)
    assert in_order(back.labels) == in_order(EVERY)
    assert back.refused == []


def test_a_file_as_label_studio_exports_it(tmp_path: Path) -> None:
    """The shape of labelstud.io/guide/task_format, with what an export has besides."""
    result = [
        {"id": "Dx_aB91ISN", "from_name": "tone", "to_name": "answer", "type": "choices", "origin": "manual",
         "value": {"choices": ["warm"]}},
        {"id": "t5sp3TyXPo", "from_name": "stars", "to_name": "answer", "type": "rating", "value": {"rating": 3}},
        {"id": "aa", "from_name": "better", "to_name": "answer,rejected", "type": "pairwise",
         "value": {"selected": "left"}},
        {"id": "bb", "from_name": "figures", "to_name": "answer", "type": "labels",
         "value": {"start": 3, "end": 8, "text": "9 EUR", "labels": ["fee"]}},
        {"id": "cc", "from_name": "rewrite", "to_name": "answer", "type": "textarea",
         "value": {"text": ["Call Anna.", "Now."]}},
        {"id": "dd", "from_name": "mood", "to_name": "answer", "type": "choices", "value": {"choices": ["x"]}},
        {"id": "ee", "from_name": "percent", "to_name": "answer", "type": "number", "value": {"number": 40.0}},
        {"id": "ff", "from_name": "faults", "to_name": "answer", "type": "choices", "value": {"choices": ["slow"]}},
        {"id": "gg", "type": "relation", "from_id": "aa", "to_id": "bb", "direction": "right"},
    ]  # fmt: skip
    person = {"id": 1001, "completed_by": {"id": 10, "email": "ana@example.org"}, "result": result, "lead_time": 4.288,
              "was_cancelled": False, "ground_truth": False, "created_at": "2021-03-09T22:16:08.728353Z",
              "updated_at": "2021-03-09T22:17:08.728378Z", "task": 1}  # fmt: skip
    skipped = {"completed_by": 11, "was_cancelled": True, "result": []}
    guess = {"model_version": "model 1", "score": 0.9, "created_ago": "3 hours", "result": result[:1]}
    task = {"id": 1, "data": {"row": "row-1"}, "annotations": [person, skipped], "predictions": [guess], "project": 83}
    file = tmp_path / "export.json"
    file.write_text(json.dumps([task, {"id": 2}, "nothing"]))
    scrubbed = label_studio_import.read(file, SCHEMA, scrub=lambda text: text.replace("Anna", "<PERSON_1>"))
    found = {(label.question, label.by): label for label in scrubbed.labels}
    assert found["rewrite", "user-10"].value == "Call <PERSON_1>.\nNow."
    assert found["stars", "user-10"].value == 3
    assert found["percent", "user-10"].value == 40
    assert found["figures", "user-10"].value == (Marked(start=3, end=8, label="fee"),)
    assert found["better", "user-10"].value == "left"
    assert {label.at for label in scrubbed.labels} == {"2021-03-09T22:17:08.728378Z"}
    assert scrubbed.skipped == 1
    assert [(each.line, each.reason) for each in scrubbed.refused] == [
        (1, "the schema has no question 'mood'"),
        (1, "the schema has no question ''"),
        (1, "'faults' has no option 'slow'"),
        (1, "it does not say when it was labelled"),  # the prediction: `3 hours` ago is no time
        (2, "the task has no data"),
        (3, "the task has no data"),
    ]
    named = label_studio_import.read(file, SCHEMA, scrub=plain, users={"ana@example.org": "ana"}, at=AT)
    assert {label.by for label in named.labels} == {"ana", "model 1"}
    assert "example.org" not in "".join(in_order(scrubbed.labels))


def test_records_as_argilla_exports_them(tmp_path: Path) -> None:
    """The shape of `records.to_json`: no time, users by UUID, a preference as a ranking."""
    user = "c3bd1ea5-8c5c-4b9d-9a0e-2f2a4f1d7e11"
    record = {
        "id": "row-1",
        "fields": {"dialogue": "user: What does it cost?", "answer": "9 EUR"},
        "metadata": {},
        "suggestions": {"tone": {"value": "warm", "score": 0.8, "agent": "judge-7b"}},
        "responses": {
            "stars": [{"value": 3, "user_id": user}],
            "better": [{"value": ["right", "left"], "user_id": user}],
            "faults": [{"value": ["rude", "long"], "user_id": user}],
            "figures": [{"value": [{"label": "fee", "start": 3, "end": 8}], "user_id": user}],
            "remark": [{"value": "Fine.", "user_id": user, "status": "draft"}],
            "tone": [{"value": "green", "user_id": user}],
        },
        "vectors": {},
        "_server_id": user,
    }
    file = tmp_path / "records.json"
    file.write_text(json.dumps([record, {"fields": {}}]))
    found = argilla.read(file, SCHEMA, scrub=plain, users={user: "ana"}, at=AT)
    assert {(label.question, label.value, label.by, label.origin) for label in found.labels} == {
        ("stars", 3, "ana", "person"),
        ("better", "right", "ana", "person"),
        ("faults", ("long", "rude"), "ana", "person"),
        ("figures", (Marked(start=3, end=8, label="fee"),), "ana", "person"),
        ("tone", "warm", "judge-7b", "model"),
    }
    assert [each.reason for each in found.refused] == ["'tone' has no option 'green'", "the record has no id"]
    assert found.skipped == 1
    without = argilla.read(file, SCHEMA, scrub=plain)
    assert without.labels == []
    assert {each.reason for each in without.refused} >= {"it does not say when it was labelled"}


def test_labels_of_another_schema_stay_out(tmp_path: Path) -> None:
    other = SCHEMA.model_copy(update={"guidelines": "Be strict."})
    label_studio.write(tmp_path / "a.json", [a_row()], SCHEMA, EVERY[:1])
    argilla.write(tmp_path / "b.json", [a_row()], SCHEMA, EVERY[:1])
    assert "under" in label_studio_import.read(tmp_path / "a.json", other, scrub=plain).refused[0].reason
    assert "under" in argilla.read(tmp_path / "b.json", other, scrub=plain).refused[0].reason
    with pytest.raises(BadData, match="cannot be exported"):
        label_studio.write(tmp_path / "c.json", [a_row()], other, EVERY[:1])
    with pytest.raises(BadData, match="cannot be exported"):
        argilla.write(tmp_path / "d.json", [a_row()], other, EVERY[:1])


def test_the_configuration_asks_every_question() -> None:
    root = ElementTree.fromstring(label_studio.config(SCHEMA))
    asked = {each.get("name"): each.tag for each in root if each.get("toName")}
    assert asked == {
        "tone": "Choices", "faults": "Choices", "stars": "Rating", "percent": "Number", "better": "Pairwise",
        "better:tie": "Choices", "figures": "Labels", "remark": "TextArea", "rewrite": "TextArea",
    }  # fmt: skip
    assert [each.get("value") for each in root.iter("Choice")][:2] == ["warm", "cold & <curt>"]
    assert {each.get("name") for each in root.iter("Text")} == {"dialogue", "answer", "rejected"}
    kinds = [question["settings"]["type"] for question in argilla.settings(SCHEMA)["questions"]]
    assert kinds == [
        "label_selection", "multi_label_selection", "rating", "rating", "label_selection", "span", "text", "text"
    ]  # fmt: skip


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["data", "annotations", "result", "value", "from_name", "responses", "suggestions", "id", "row",
         "choices", "rating",
         "tone", "stars", "figures", "labels", "start", "end", "user_id", "metadata", "said",
         "updated_at", "completed_by"]),
        inner, max_size=4),
    max_leaves=25,
)  # fmt: skip


@given(st.lists(json_like, max_size=3), st.binary(max_size=60))
@settings(max_examples=120, deadline=None)
def test_any_file_gives_labels_or_reasons(tmp_path_factory: pytest.TempPathFactory, data: Any, noise: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.json"
    for text in (json.dumps(data).encode(), noise):
        file.write_bytes(text)
        for read in (label_studio_import.read, argilla.read):
            with suppress(BadData):
                found = read(file, SCHEMA, scrub=plain, at=AT)
                assert all(problem(label, SCHEMA) == "" for label in found.labels)


PAPER = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
"""Krippendorff 2011, example C: four observers, twelve units, some of them not observed by all."""


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_alpha_as_krippendorff_prints_it(level: Any, alpha: float) -> None:
    units = [[row[unit] for row in PAPER if row[unit] is not None] for unit in range(12)]
    assert krippendorff_alpha(units, level) == pytest.approx(alpha, abs=5e-4)


def test_alpha_of_two_observers_as_krippendorff_prints_it() -> None:
    """Example A: binary data of two observers."""
    one, other = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0), (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    assert krippendorff_alpha(list(zip(one, other, strict=True))) == pytest.approx(0.095, abs=5e-4)


def test_kappa_as_cohen_prints_it() -> None:
    """Cohen 1960, table 1: proportions of 200 patients, observed .70, expected .41, kappa .49."""
    cells = ((88, 14, 18), (10, 40, 10), (2, 6, 12))
    pairs = [(a, b) for a, row in enumerate(cells) for b, count in enumerate(row) for _ in range(count)]
    assert cohen_kappa(pairs) == pytest.approx(0.29 / 0.59)


def test_agreement_that_is_not_defined_is_none() -> None:
    assert cohen_kappa([]) is cohen_kappa([("a", "a")] * 5) is None
    assert krippendorff_alpha([]) is krippendorff_alpha([["a"], ["b"]]) is krippendorff_alpha([["a", "a"]]) is None
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == 1


def test_masi_counts_what_is_shared() -> None:
    a, ab, bc, d = frozenset("a"), frozenset("ab"), frozenset("bc"), frozenset("d")
    assert (masi(a, a), masi(a, d)) == (0, 1)
    assert masi(a, ab) == pytest.approx(1 - 1 / 2 * 2 / 3)
    assert masi(ab, bc) == pytest.approx(1 - 1 / 3 * 1 / 3)


def test_agreement_by_question() -> None:
    labels = [
        *(said("tone", "warm", by, row) for by in ("ana", "ben") for row in ("1", "2")),
        *(said("tone", tone, by, "3") for by, tone in (("ana", "warm"), ("ben", "cold & <curt>"))),
        *(said("tone", "cold & <curt>", by, "4") for by in ("ana", "ben", "cleo")),
        said("tone", "warm", "judge", "3", origin="model"),
        *(said("figures", VALUES["figures"][:n], by, "1") for by, n in (("ana", 2), ("ben", 1))),
    ]
    found = {each.question: each for each in agreement(labels, SCHEMA)}
    assert set(found) == {"tone", "faults", "stars", "percent", "better", "figures"}
    assert found["tone"].annotators == ("ana", "ben", "cleo")
    assert found["tone"].rows == 4
    assert found["tone"].kappa[("ana", "ben")] == pytest.approx(0.5)
    assert found["tone"].kappa[("ana", "cleo")] is None
    assert found["figures"].f1 == pytest.approx(2 / 3)
    assert found["stars"].alpha is None
    changed_mind = [*labels, said("tone", "warm", "ben", "3", at=LATER)]
    assert agreement(changed_mind, SCHEMA)[0].kappa[("ana", "ben")] == 1


def test_most_decide_and_a_tie_stays_open() -> None:
    labels = [
        *(said("tone", tone, by, "1") for by, tone in (("ana", "warm"), ("ben", "warm"), ("cleo", "cold & <curt>"))),
        *(said("tone", tone, by, "2") for by, tone in (("ana", "warm"), ("ben", "cold & <curt>"))),
        said("tone", "warm", "ana", "3"),
        said("tone", "warm", "judge", "4", origin="model"),
        *(said("tone", "warm", by, "5") for by in ("ana", "ben")),
    ]
    found = {each.row: each for each in settle(labels, SCHEMA)}
    assert found["1"] == Settled("1", "tone", "warm", "majority", ("ana", "ben"))
    assert found["2"] == Settled("2", "tone", None, "unresolved", ("ana", "ben"))
    assert found["3"].how == "alone"
    assert "4" not in found  # a model has no vote
    assert found["5"].how == "unanimous"
    assert {each.row: each.how for each in settle(labels, SCHEMA, at_least=2)}["3"] == "unanswered"
    chief = {each.row: each for each in settle(labels, SCHEMA, adjudicators=["ben"])}
    assert chief["2"] == Settled("2", "tone", "cold & <curt>", "adjudicated", ("ben",))
    assert chief["1"].value == "warm"
    late = [*labels, said("tone", "warm", "chief", "2", origin="adjudicator", at=LATER)]
    assert {each.row: each for each in settle(late, SCHEMA)}["2"].by == ("chief",)


def test_a_set_of_labels_keeps_each_once(blobs: Blobs) -> None:
    first = kept(blobs, EVERY[:3], SCHEMA, "dataset-" + "0" * 64, previous=None, source="a" * 64)
    second = kept(blobs, [*EVERY, EVERY[-1]], SCHEMA, first.dataset, previous=first, source="b" * 64)
    assert second.count == len(EVERY)
    assert second.annotators == ("ana", "ben", "chief")
    assert second.sources == ("a" * 64, "b" * 64)
    back = [Label.model_validate(line) for line in blobs.lines(second.labels)]
    assert in_order(back) == in_order(EVERY)
    assert [parent.role for parent in second.parents()] == ["labelled", "schema", "previous"]
    assert second.blobs() == (second.labels,)
