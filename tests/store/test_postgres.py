"""The ledger on a real PostgreSQL, where LUTHIER_TEST_POSTGRES names one that may be emptied: postgresql://…/test"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from luthier.errors import BadConfig, LuthierError, Unavailable, UnknownName
from luthier.records.evaluation import GatePolicy
from luthier.store import keys
from luthier.store.audit import checkpoint, verify
from luthier.store.schema import LEDGER
from luthier.store.workspace import Workspace
from tests.store.made import ring

URL = os.environ.get("LUTHIER_TEST_POSTGRES", "")
pytestmark = pytest.mark.skipif(not URL, reason="LUTHIER_TEST_POSTGRES names no server")


def run(*statements: str) -> None:
    engine = create_engine(URL.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    tables = ", ".join(table.name for table in LEDGER.sorted_tables)
    run(f"DROP TABLE IF EXISTS {tables} CASCADE", "DROP FUNCTION IF EXISTS luthier_refuse CASCADE")
    with Workspace.open(tmp_path, create=True, ledger_url=URL) as opened:
        yield opened


def test_the_same_verbs(workspace: Workspace) -> None:
    ids = ring(workspace)
    assert workspace.ledger.find(ids["model"][:12]) == ids["model"]
    assert {link.parent for link in workspace.ledger.ancestors(ids["verdict"])} == set(ids.values()) - {ids["verdict"]}
    assert [link.depth for link in workspace.ledger.descendants(ids["dataset"])] == sorted(
        link.depth for link in workspace.ledger.descendants(ids["dataset"])
    )
    assert workspace.ledger.tell("x", "y", {"grüße": "€"}) == workspace.ledger.events(subject="x")[0]
    with pytest.raises(UnknownName):
        workspace.ledger.get("model-0000")
    secret = keys.issue(workspace.ledger, "ann", ["admin"], "staff", by="x")
    assert keys.recognise(workspace.ledger, secret)
    checkpoint(workspace)
    ring(workspace, "b")
    checkpoint(workspace)
    assert verify(workspace, anchor=workspace.folder / "checkpoints.jsonl").ok
    assert not (workspace.folder / "ledger.db").exists()
    with Workspace.open(workspace.folder, ledger_url=URL) as again:
        assert again.ledger.get(ids["model"])


def test_the_database_itself_refuses_change(workspace: Workspace) -> None:
    ring(workspace)
    for statement in (
        "UPDATE event SET body = '{}'",
        "DELETE FROM record",
        "DELETE FROM edge",
        "TRUNCATE event CASCADE",
        "INSERT INTO event SELECT * FROM event WHERE seq = 1 ON CONFLICT (seq) DO UPDATE SET body = '{}'",
    ):
        with pytest.raises(DBAPIError, match="only grows"):
            run(statement)


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["UPDATE event SET by = 'eve' WHERE seq = 2"], "event 2 is not what was recorded"),
        (["UPDATE record SET body = replace(body, 'tiny', 'tony')"], "not what its event says"),
        (["DELETE FROM edge WHERE role = 'report'"], "was removed"),
        (["DELETE FROM edge", "DELETE FROM record", "DELETE FROM event WHERE seq > 3"], "the log was cut"),
    ],
)
def test_what_an_attacker_changes_is_found(workspace: Workspace, statements: list[str], said: str) -> None:
    ring(workspace)
    checkpoint(workspace)
    run("SET session_replication_role = replica", *statements)
    assert any(said in problem for problem in verify(workspace).problems)


def test_guards_that_are_down_are_found(workspace: Workspace) -> None:
    run("ALTER TABLE event DISABLE TRIGGER event_no_change", "DROP TRIGGER record_no_change ON record")
    run("CREATE OR REPLACE FUNCTION luthier_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
    assert [problem.split("'s ")[1] for problem in verify(workspace).problems] == [
        "function luthier_refuse was changed or removed",
        "trigger event_no_change was changed or removed",
        "trigger record_no_change was changed or removed",
    ]


def test_many_writers_leave_no_gap(workspace: Workspace, tmp_path: Path) -> None:
    environment = os.environ | {"LUTHIER_LEDGER_URL": URL}
    command = [sys.executable, "-m", "tests.store.writer", str(tmp_path), "killed"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()

        def work(thread: int) -> None:
            for number in range(5):
                workspace.ledger.tell(f"thread:{thread}", "said", {"n": number})
                workspace.ledger.put(GatePolicy(name=f"{number}", limits=()))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        child.kill()
    events = [event.seq for event in workspace.ledger.events()]
    assert events == list(range(1, len(events) + 1))
    assert verify(workspace).ok


def test_what_cannot_be_opened_is_said(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not exist"):
        Workspace.open(tmp_path, ledger_url=URL.rpartition("/")[0] + "/no_such_database")
    run("ALTER TABLE luthier DISABLE TRIGGER USER", "UPDATE luthier SET value = '7' WHERE name = 'schema'")
    with pytest.raises(BadConfig, match="schema '7'"):
        Workspace.open(tmp_path, ledger_url=URL)
    with pytest.raises(LuthierError):
        workspace.ledger.tell("x\x00", "y")
