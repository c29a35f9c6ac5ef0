"""Durable jobs: killed with kill -9 or failed, they go on where they stopped. Real processes, DBOS on SQLite."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from luthier.errors import BadData, RunFailed
from luthier.workflows import jobs
from tests.workflows.test_child import until

DONE = {"first": "dataset-ü", "second": [1, 2]}


def marks(folder: Path) -> list[str]:
    file = folder / "marks"
    return file.read_text().splitlines() if file.exists() else []


def start(folder: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.workflows.work", str(folder), how], stdout=subprocess.PIPE, text=True
    )


def ran(folder: Path, how: str) -> Any:
    child = start(folder, how)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return json.loads(said)


def killed_in_the_second_step(folder: Path) -> None:
    before = len(marks(folder))
    child = start(folder, "wait")
    until(lambda: "second wait" in marks(folder)[before:], 60)
    child.kill()
    child.communicate()


def test_a_job_killed_in_its_second_step_goes_on_there(tmp_path: Path) -> None:
    assert jobs.ls(tmp_path) == []
    killed_in_the_second_step(tmp_path)
    assert [(job.id, job.status, job.steps) for job in jobs.ls(tmp_path)] == [("both-1", "pending", ("first",))]
    assert ran(tmp_path, "go") == DONE
    assert marks(tmp_path) == ["first", "second wait", "second go"]
    assert [(job.id, job.status) for job in jobs.ls(tmp_path)] == [("both-1", "success")]
    no_pickle(tmp_path / jobs.FILE)


def test_a_failed_job_is_forked_where_it_failed_and_only_once(tmp_path: Path) -> None:
    assert ran(tmp_path, "fail") == {"error": ["the rows are bad", "mend them"]}
    killed_in_the_second_step(tmp_path)  # while it makes up for it
    assert ran(tmp_path, "go") == DONE
    assert marks(tmp_path) == ["first", "second fail", "second wait", "second go"]
    assert [(job.id, job.status) for job in jobs.ls(tmp_path)] == [("both-2", "success"), ("both-1", "error")]
    assert ran(tmp_path, "go") == DONE, "what is done is done: the next call is a new job"
    assert marks(tmp_path)[4:] == ["first", "second go"]
    no_pickle(tmp_path / jobs.FILE)


def no_pickle(database: Path) -> None:
    """Every value that DBOS kept is our JSON."""
    seen = 0
    with closing(sqlite3.connect(database)) as kept:
        tables = [name for (name,) in kept.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            cursor = kept.execute(f'select * from "{table}"')
            columns = [column for column, *_ in cursor.description]
            for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    assert not isinstance(value, bytes), f"{table}.{column}"
                    assert not str(value).startswith("gA"), f"{table}.{column} holds a pickle"
                    if column == "serialization" and value is not None:
                        assert value == "luthier_json"
                    if column in ("inputs", "output", "error") and value is not None:
                        assert set(json.loads(value)) <= {"value", "error"}
                        seen += 1
    assert seen >= 4


def test_values_and_errors_survive_the_door() -> None:
    door = jobs.Json()
    for value in (None, "ü", [1, {"a": None}], {"error": "a field of that name"}):
        assert door.deserialize(door.serialize(value)) == value
    back = door.deserialize(door.serialize(BadData("bad", "mend")))
    assert (type(back), back.what, back.mend) == (BadData, "bad", "mend")
    assert isinstance(door.deserialize(door.serialize(KeyError("x"))), RunFailed)
