"""Erasure in the store: text leaves a record and the audit agrees; a byte scan sees a value in every spelling."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import Busy
from luthier.records.feedback import ReviewItem
from luthier.store import database, erasure, scan
from luthier.store.audit import checkpoint, verify
from luthier.store.workspace import Workspace
from tests.store.made import dataset, new_id

SECRET = "The blue bicycle is Marta's."


@pytest.fixture
def review(workspace: Workspace) -> ReviewItem:
    for number in range(20):
        workspace.ledger.put(ReviewItem(id=new_id("review", 1_600_000_000_000 + number), trace="t", reason="thumb"))
    item = ReviewItem(id=new_id("review"), trace="t", reason="correction", rating="up", correction=SECRET, by="dev")
    workspace.ledger.put(item, by="dev")
    checkpoint(workspace)
    return item


def bytes_of(workspace: Workspace) -> bytes:
    return b"".join(path.read_bytes() for path in workspace.folder.rglob("*") if path.is_file())


def test_text_leaves_a_record_and_the_log_stands_as_it_was_signed(workspace: Workspace, review: ReviewItem) -> None:
    assert SECRET.encode() in bytes_of(workspace)
    erasure.redact(workspace, review, {"correction": ""}, by="dpo")
    assert SECRET.encode() not in bytes_of(workspace)
    kept = workspace.ledger.get(review.id, ReviewItem)
    assert kept == review.model_copy(update={"correction": ""})
    assert len(workspace.ledger.ls("review")) == 21
    assert verify(workspace).problems == ()
    checkpoint(workspace)
    assert verify(workspace).ok
    told = workspace.ledger.events(review.id)
    assert [(event.verb, event.by) for event in told] == [("recorded", "dev"), ("erased", "dpo"), ("recorded", "dpo")]


def test_the_guard_stands_again(workspace: Workspace, review: ReviewItem) -> None:
    erasure.redact(workspace, review, {"correction": ""}, by="dpo")
    opened = sqlite3.connect(workspace.folder / "ledger.db")
    with pytest.raises(sqlite3.IntegrityError, match="only grows"):
        opened.execute("UPDATE record SET body = ''")
    opened.close()


def test_a_change_that_was_not_told_is_no_redaction(workspace: Workspace, review: ReviewItem) -> None:
    other = workspace.ledger.put(dataset(workspace))
    erasure.redact(workspace, review, {"correction": ""}, by="dpo")
    opened = sqlite3.connect(workspace.folder / "ledger.db", isolation_level=None)
    for trigger in ("record_no_update", "record_no_delete"):
        opened.execute(f"DROP TRIGGER {trigger}")
    opened.execute("UPDATE record SET body = replace(body, 'up', 'down') WHERE id = ?", (review.id,))
    opened.execute("DELETE FROM record WHERE id = ?", (other,))
    opened.close()
    problems = "; ".join(verify(workspace).problems)
    assert f"{review.id} is not what its event says" in problems
    assert f"{other} was recorded as event" in problems


def test_a_reader_that_holds_on_is_named(
    workspace: Workspace, review: ReviewItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    engine = database.connect(workspace.ledger.engine.url)
    reader = sqlite3.connect(workspace.folder / "ledger.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM record").fetchall()
    workspace.ledger.tell("x", "happened")
    with pytest.raises(Busy, match="reader"):
        erasure.emptied(engine)
    reader.close()
    erasure.emptied(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Marta Kovar", "marta KOVAR"),
        ("Marta Kovar", "Marta\n  Kovar"),
        ("Marta Kovar", "Kovar, Marta"),
        ("Marta Kovar", "marta.kovar@post.example"),
        ("Marta Kovar", "Marta\u00a0Kovar"),
        ("Marta Kovar", "Marta\\nKovar"),
        ("José Müller", "JOSÉ MÜLLER"),
        ("José Müller", "Jose\u0301 Mu\u0308ller"),
        ("José Müller", "Jos\\u00e9 M\\u00fcller"),
        ("NL42NHVG5664802254", "nl42 nhvg 5664 8022 54"),
        ("+44 7700 900054", "+447700900054"),
        ("+44 7700 900054", "44-7700-900.054"),
        ("anna@post.example", "ANNA@Post.Example"),
        ("O'Brien (Ann)", "o'brien (ann)"),
    ],
)
def test_every_spelling_is_seen(value: str, written: str) -> None:
    wanted = scan.needles([value])
    assert wanted.place(f'{{"x":"{written}"}}'.encode()) is not None


@pytest.mark.parametrize(
    ("value", "written"),
    [("Ann Lee", "Joann Leeds"), ("+44 7700 900054", "447700900055"), ("Marta Kovar", "Marta met Kovar")],
)
def test_what_is_somebody_else(value: str, written: str) -> None:
    assert scan.needles([value]).place(written.encode()) is None


@given(before=st.integers(0, 3000), size=st.integers(200, 900))
def test_nothing_hides_between_two_chunks(before: int, size: int) -> None:
    data = b"." * before + b" Marta Kovar " + b"." * 700 + SECRET.encode() + b"." * 100
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    for wanted, place in (
        (scan.needles(["Marta Kovar"]), before + 1),
        (scan.needles([], [SECRET]), data.index(SECRET.encode())),
    ):
        assert scan.found_in(iter(chunks), wanted) == place


def test_a_folder_is_looked_through_whole(tmp_path: Path) -> None:
    places = (".hidden", "deep/er/x.db-wal", "blobs/ab/abcd", "model.safetensors")
    for name in places:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x00\xff" * 3000 + b"Marta Kovar")
    (tmp_path / "other").write_bytes(b"nobody")
    (tmp_path / "link").symlink_to(tmp_path / ".hidden")
    left, files, size = scan.scan(tmp_path, scan.needles(["marta kovar"]))
    assert {each.file for each in left} == set(places)
    assert {each.offset for each in left} == {6000}
    assert (files, size) == (5, 4 * 6011 + 6)
    (tmp_path / "model.safetensors").write_bytes(b"\x00Ann\x00")
    assert scan.scan(tmp_path, scan.needles(["Ann"]))[0] == [], "three letters stand in any weights"
