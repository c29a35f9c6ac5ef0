"""Labels that are taken in: which are new, when and by whom, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.data import argilla, label_studio, label_studio_import
from luthier.data.labels import fresh, moment
from tests.data.test_labels import AT, EVERY, LATER, SCHEMA, a_row, plain, said


def test_what_is_new() -> None:
    now = "2026-03-01T00:00:00+00:00"
    warm, cold = said("tone", "warm"), said("tone", "cold & <curt>", at=LATER)
    assert fresh([warm, warm, cold], [warm]) == [cold]
    again = said("tone", "cold & <curt>", at=now)
    assert fresh([again], [warm, cold], now) == [], "ana's last word, said without a time"
    changed = said("tone", "warm", at=now)
    assert fresh([changed], [warm, cold], now) == [changed], "she may come back to what she said first"
    assert fresh([changed], [warm, cold], now, again=True) == [], "but an old file that is read again says nothing new"
    other = said("tone", "cold & <curt>", "ben", at=now)
    assert fresh([other, again], [cold], now) == [other]


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (AT, AT),
        ("2026-01-31T14:00:00+02:00", "2026-01-31T12:00:00+00:00"),
        ("2026-01-31", "2026-01-31"),
        ("3 hours ago", ""),
        ("soon", ""),
        (None, ""),
        (20260131, ""),
    ],
)
def test_a_time_is_one(value: object, at: str) -> None:
    assert moment(value) == at


def test_a_broken_line_is_refused_alone(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    (task,) = label_studio.tasks([a_row()], SCHEMA, EVERY[:1])
    whole = json.dumps(task | {"note": "one\u2028line"}, ensure_ascii=False)
    file.write_text(f"{whole}\n\n{{broken\n", encoding="utf-8")
    found = label_studio_import.read(file, SCHEMA, scrub=plain)
    assert found.labels == EVERY[:1]
    assert [(each.line, "not JSON" in each.reason) for each in found.refused] == [(3, True)]


def test_whoever_is_not_named_gets_the_name_that_is_given(tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    result = [{"from_name": "tone", "type": "choices", "value": {"choices": ["warm"]}}]
    said_by = [{"completed_by": who, "updated_at": AT, "result": result} for who in (1, 2, 3, None)]
    data = {"row": "row-1", "annotators": {"2": "ben", "3": "cleo@example.org"}}
    file.write_text(json.dumps([{"data": data, "annotations": said_by}]))
    found = label_studio_import.read(file, SCHEMA, scrub=plain, users={"": "dora", "1": "ana"})
    assert [label.by for label in found.labels] == ["ana", "ben", "dora", "dora"]
    record = {"id": "row-1", "responses": {"tone": [{"value": "warm", "user_id": "a" * 32}]}, "metadata": {}}
    file.write_text(json.dumps([record]))
    assert [label.by for label in argilla.read(file, SCHEMA, scrub=plain, at=AT, users={"": "dora"}).labels] == ["dora"]


def test_what_does_not_fit_its_row_is_refused(tmp_path: Path) -> None:
    for tool, read in ((label_studio, label_studio_import.read), (argilla, argilla.read)):
        tool.write(tmp_path / "a.json", [a_row(), a_row("row-2")], SCHEMA, EVERY)  # type: ignore[attr-defined]
        found = read(
            tmp_path / "a.json", SCHEMA, scrub=plain, fits=lambda each: "no such row" if each.row == "row-2" else ""
        )
        assert [(each.line, each.reason) for each in found.refused] == [(2, "no such row")]
        assert {label.row for label in found.labels} == {"row-1"}
