"""The page about a dataset: everything that was counted, nothing unescaped, in need of nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from luthier.cli.report_command import command
from luthier.data.labels import kept
from luthier.errors import BadConfig, Missing
from luthier.records.data import DatasetVersion
from luthier.records.kinds import BY_KIND
from luthier.records.labels import Label, LabelQuestion, LabelSchema, LabelSet
from luthier.workflows import charts, data_report
from luthier.workflows.session import Session
from tests.data.offered import offer
from tests.workflows.making import a_dataset, a_row

NASTY = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch)


@pytest.fixture
def version(session: Session) -> DatasetVersion:
    """Good rows, one of each fault, two that contradict each other, and refused lines."""
    rows = [
        a_row("What does a second card cost?", "A second card costs 9 EUR per year.", 1, language="en"),
        a_row("what does the second card cost, please", "It costs 12 EUR per year.", 2, language="en"),
        a_row("Hello", f"Dear {{{{name}}}}, {NASTY} is here for you.", 3, language="en", licence="MIT"),
        a_row("Explain it", "First open the app, then choose the card and confirm with the", 4, language="en"),
        *(
            a_row(f"Frage {n}", "Die Karte kostet nichts und kommt in fünf Tagen.", 5 + n, language="de")
            for n in range(9)
        ),
    ]
    refused = [{"source": "desk", "line": n, "reason": "the line is not JSON", "excerpt": NASTY} for n in (20, 21)]
    return a_dataset(
        session, session.project.data.name, rows, personal={"PERSON": 3, "IBAN": 1}, duplicates=4, quarantined=2,
        quarantine=session.workspace.blobs.put_lines(refused),
    )  # fmt: skip


def test_the_page_needs_nothing_else(session: Session, version: DatasetVersion, tmp_path: Path) -> None:
    written = data_report.write(session, data_report.chosen(session), tmp_path / "page.html")
    page = written.path.read_text()
    assert (written.dataset, written.rows, written.contradictions) == (version.id, 13, 1)
    assert written.flagged["truncated"] == written.flagged["markup"] == 1
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == 8
    for picture in pictures:
        ElementTree.fromstring(picture)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page
    assert not re.search(r"\b(nan|inf|None)\b", page)


def test_the_page_shows_what_was_counted(session: Session, version: DatasetVersion, tmp_path: Path) -> None:
    page = data_report.write(session, version, tmp_path / "page.html").path.read_text()
    text = " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())
    assert "13 rows of 19 read" in text
    assert "the line is not JSON &lt;script&gt;alert(1)&lt;/script&gt; desk:20 2" in text
    assert "says the same as an earlier row 4" in text
    assert "PERSON 3 · 75 %" in text
    assert "CC0-1.0 12 · 92 %" in text
    assert "MIT 1 · 8 %" in text
    assert "de 9 · 69 %" in text
    assert "only here 9 A second card costs 9 EUR per year." in text
    assert "only here 12 It costs 12 EUR per year." in text
    assert "confirm with the" in text
    assert "Nothing to see for" in text


def test_scores_of_the_build_are_shown_as_they_are(session: Session, tmp_path: Path) -> None:
    rows = [a_row("Hello", "N/A", 1, scores={"mine": 0.7})]
    version = a_dataset(session, "dialogues", rows, builder="luthier 0; detector mine (somebody 1)")
    written = data_report.write(session, version, tmp_path / "page.html")
    assert written.flagged == {"mine": 1}


def test_what_annotators_said(
    session: Session, version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (LabelSchema, LabelSet):
        monkeypatch.setitem(BY_KIND, kind.kind, kind)
    tone = LabelQuestion(name="tone", type="choice", options=("warm", "curt"), title="How does it sound?")
    schema = LabelSchema(name="support", questions=(tone, LabelQuestion(name="remark", type="text")))
    said = {"1": ("warm", "warm"), "2": ("curt", "curt"), "3": ("warm", "curt")}
    labels = [
        Label(row=row, schema_id=schema.id, question="tone", value=value, by=by, at="2026-01-31T12:00:00Z")
        for row, both in said.items()
        for by, value in zip(("ana", "ben"), both, strict=True)
    ]
    session.workspace.ledger.put(schema)
    session.workspace.ledger.put(
        kept(session.workspace.blobs, labels, schema, version.id, previous=None, source="ours")
    )
    page = data_report.write(session, version, tmp_path / "page.html").path.read_text()
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert "tone How does it sound? choice 2 3 α 0.44 2 1" in text
    assert "remark text free text 0 0" in text


def test_a_set_of_next_to_nothing(session: Session, tmp_path: Path) -> None:
    version = a_dataset(session, "dialogues", [a_row("", "")])
    page = data_report.write(session, version, tmp_path / "page.html").path.read_text()
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(picture)
    assert "None was found." in page


def test_the_command_writes_the_page(session: Session, version: DatasetVersion, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    root = str(session.root)
    ran = CliRunner().invoke(command, ["--project", root, "--out", str(out), "--json"], catch_exceptions=False)
    assert ran.exit_code == 0
    assert f'"dataset": "{version.id}"' in ran.output
    assert out.read_text().startswith("<!doctype html>")
    with pytest.raises(BadConfig, match="cannot be written"):
        command.main(["--project", root, "--out", str(tmp_path / "no" / "page.html")], standalone_mode=False)


def test_without_a_dataset_it_says_so(session: Session) -> None:
    with pytest.raises(Missing, match="luthier data build"):
        data_report.chosen(session)


def test_labels_of_many_kinds_are_a_slope() -> None:
    many = {f"intent-{n}": n + 1 for n in range(40)}
    picture = data_report.labelled(many)
    assert picture.count("<rect") == 40
    assert "intent-39" in picture
    assert data_report.labelled({"a": 1, "b": 2}).count("<rect") == 2


@pytest.mark.parametrize(
    ("counts", "bars"),
    [({3: 1}, 1), ({0: 5, 1: 5}, 2), ({n: 1 for n in range(1000)}, 22), ({n: 1 for n in range(37)} | {9999: 1}, 20)],
)
def test_lengths_are_binned_without_losing_a_row(counts: dict[int, int], bars: int) -> None:
    columns = data_report.binned(counts)
    assert sum(column.rows for column in columns) == sum(counts.values())
    assert abs(len(columns) - bars) <= 2
    assert len(columns) <= data_report.COLUMNS + 1


@pytest.mark.parametrize(
    "picture",
    [
        charts.histogram([charts.Column(NASTY, 3, NASTY), charts.Column("", 0, "none")], NASTY),
        charts.ranking({NASTY: 3, "b" * 80: 1} | {f"c{n}": 1 for n in range(30)}, NASTY),
    ],
)
def test_a_picture_is_well_formed(picture: str) -> None:
    root = ElementTree.fromstring(picture)
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert NASTY in {node.text for node in root.iter()}


def test_nothing_is_drawn_of_nothing() -> None:
    assert (
        charts.histogram([], "t")
        == charts.histogram([charts.Column("a", 0, "a")], "t")
        == charts.ranking({}, "t")
        == ""
    )


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0 %"), (1e-6, "0.01 %"), (0.004, "0.4 %"), (0.5, "50 %"), (0.9999, "99.9 %"), (1, "100 %")]
)
def test_no_share_is_rounded_away(share: float, said: str) -> None:
    assert charts.percent(share) == said
