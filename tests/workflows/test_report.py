"""Charts, words and the page: well-formed, escaped, and in need of nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from luthier.records.evaluation import Measure
from luthier.workflows import charts, report
from luthier.workflows.session import Session
from luthier.workflows.words import in_words
from tests.records.samples import KEPT
from tests.workflows.making import world

NASTY = "<script>\"&'</script>"
HALF = Measure(mean=0.5, low=0.4, high=0.6, n=20)


@pytest.mark.parametrize(
    "picture",
    [
        charts.curve([2.0, 1.5, 1.2]),
        charts.curve([0.7]),
        charts.curve([1e-5, 2e-5]),
        charts.curve([0.0, 0.0]),
        charts.curve([5000.0, 4.0]),
        charts.bars([charts.Bar(NASTY, None, HALF), charts.Bar("facts", HALF, HALF.model_copy(update={"mean": 0.0}))]),
        charts.bars([]),
        charts.composition({NASTY: 3, "de": 1, "es": 0}),
    ],
)
def test_a_picture_is_well_formed(picture: str) -> None:
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg")
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert not re.search(r"\b(nan|inf)\b", picture)
    assert len(picture) < 20_000


def test_names_are_escaped_and_nothing_is_drawn_of_nothing() -> None:
    texts = [node.text for node in ElementTree.fromstring(charts.bars([charts.Bar(NASTY, None, HALF)])).iter()]
    assert NASTY in texts
    assert charts.curve([]) == charts.composition({}) == charts.composition({"en": 0}) == ""


@pytest.mark.parametrize("record", KEPT, ids=lambda record: record.kind)
def test_every_kind_is_said_in_words(record: object) -> None:
    said = in_words(record)  # type: ignore[arg-type]
    assert said != record.kind, "this kind has no words of its own"  # type: ignore[attr-defined]
    assert said
    assert "\n" not in said


def test_the_report_is_one_page_that_needs_nothing_else(session: Session, tmp_path: Path) -> None:
    made = world(session)
    ids = {
        "base_report": made.base_report.id,
        "report": made.report.id,
        "verdict": made.verdict.id,
        "run": made.run.id,
        "model": made.model.id,
        "dialogues": made.dialogues.id,
        "dataset": made.dataset.id,
        "index": made.index.id,
    }
    whole = ids | {"answers": {"answered": made.trace.id}, "next": made.dialogues.id}
    page = report.write(session, whole, tmp_path / "report.html").read_text()
    assert page.count("<svg") == 4
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(picture)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "second card &lt;b&gt;cost&lt;/b&gt;?" in page
    assert "a &amp; b" in page
    assert "“A second Lark card costs 9 EUR per year.”" in page
    failed = report.write(session, ids, tmp_path / "failed.html").read_text()  # the ring ended at the gate
    assert "What it says now" not in failed
