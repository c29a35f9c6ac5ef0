from __future__ import annotations

import sqlite3

import pytest

from luthier.errors import BadConfig, BadData, Busy, Tampered, UnknownName
from luthier.store.workspace import Workspace
from tests.store.made import trace


def on_disk(workspace: Workspace, what: bytes) -> bool:
    return any(what in path.read_bytes() for path in workspace.folder.glob("traces.db*") if path.suffix != ".db-shm")


def test_a_trace_comes_back_by_its_id_or_its_beginning(workspace: Workspace) -> None:
    one = trace()
    assert workspace.traces.put(one) == one.id == workspace.traces.put(one)
    assert workspace.traces.get(one.id) == workspace.traces.get(one.id[:20]) == one
    with pytest.raises(BadConfig, match="other content"):
        workspace.traces.put(one.model_copy(update={"answer": "Um 10."}))
    with pytest.raises(UnknownName):
        workspace.traces.get("chatcmpl-zzzz")
    with pytest.raises(BadData):
        workspace.traces.put(trace(answer="\ud800"))


def test_traces_are_listed_newest_first_and_filtered(workspace: Workspace) -> None:
    for number in range(6):
        ending = "refused" if number % 2 else "answered"
        workspace.traces.put(
            trace(1_700_000_000_000 + number, answer=str(number), ending=ending, model=f"m{number % 3}")
        )
    assert [told.answer for told in workspace.traces.ls(limit=3)] == ["5", "4", "3"]
    assert [told.answer for told in workspace.traces.ls(ending="refused")] == ["5", "3", "1"]
    assert [told.answer for told in workspace.traces.ls(ending="refused", model="m0")] == ["3"]


def test_a_deleted_trace_is_gone_from_the_disk(workspace: Workspace) -> None:
    keep = [trace(answer=f"behalten {number} " * 30) for number in range(20)]
    gone = trace(answer="MARIE-CURIE-WAR-HIER " * 300)  # long enough for overflow pages
    for one in [*keep[:10], gone, *keep[10:]]:
        workspace.traces.put(one)
    assert on_disk(workspace, b"MARIE-CURIE")
    workspace.traces.delete(gone.id)
    assert not on_disk(workspace, b"MARIE-CURIE")
    assert on_disk(workspace, b"behalten 7")
    with pytest.raises(UnknownName):
        workspace.traces.delete(gone.id)
    assert len(workspace.traces.ls()) == 20


def test_a_reader_that_holds_the_old_pages_is_said(workspace: Workspace) -> None:
    gone = trace(answer="MARIE-CURIE " * 100)
    workspace.traces.put(gone)
    workspace.traces.engine.dispose()
    reader = sqlite3.connect(workspace.folder / "traces.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM trace").fetchone()
    from luthier.store import database

    patience, database.PATIENCE = database.PATIENCE, 0.2
    try:
        with Workspace.open(workspace.folder) as impatient, pytest.raises(Busy, match="is deleted, but a reader"):
            impatient.traces.delete(gone.id)
    finally:
        database.PATIENCE = patience
        reader.close()
    with pytest.raises(UnknownName):
        workspace.traces.get(gone.id)


def test_a_changed_trace_is_never_handed_out(workspace: Workspace) -> None:
    one = trace()
    workspace.traces.put(one)
    database = sqlite3.connect(workspace.folder / "traces.db")
    database.execute("UPDATE trace SET body = replace(body, 'Um 9', 'Um 8')")
    database.commit()
    database.close()
    with pytest.raises(Tampered):
        workspace.traces.get(one.id)
    with pytest.raises(Tampered):
        workspace.traces.ls()
