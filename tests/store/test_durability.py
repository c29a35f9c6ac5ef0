"""Processes that are killed, that write at once, and that run out of disk."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from luthier.errors import NoRoom
from luthier.store.audit import checkpoint, verify
from luthier.store.workspace import Workspace
from tests.store.made import ring, trace


def start(folder: Path, name: str, limit: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.store.writer", str(folder), name, str(limit)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def promised(child: subprocess.Popen[str]) -> list[list[str]]:
    assert child.stdout
    with child.stdout:
        lines = child.stdout.read().splitlines(keepends=True)
    child.wait()
    return [line.split() for line in lines if line.endswith("\n")]


def check(folder: Path, lines: list[list[str]]) -> None:
    """All that was promised is there, and the whole of it is sound."""
    with Workspace.open(folder) as workspace:
        report = verify(workspace, anchor=folder / "checkpoints.jsonl" if ["head"] in [x[:1] for x in lines] else None)
        assert report.ok, report.problems
        events = {event.seq for event in workspace.ledger.events()}
        assert events == set(range(1, len(events) + 1))
        for kind, *rest in lines:
            match kind, rest:
                case "event", [seq]:
                    assert int(seq) in events
                case "record", [record]:
                    workspace.ledger.get(record)
                case "blob", [digest]:
                    workspace.blobs.get(digest)
                case "trace", [told]:
                    workspace.traces.get(told)
                case "head", [size]:
                    assert report.events >= int(size)


def test_two_writers_are_killed_at_any_moment(tmp_path: Path) -> None:
    draw, lines = Random(4), []
    for turn in range(2):
        children = [start(tmp_path, f"{turn}{side}") for side in "ab"]
        first = [child.stdout.readline() for child in children if child.stdout]  # both have opened it
        first += [child.stdout.readline() for child in children if child.stdout for _ in range(draw.randrange(40))]
        time.sleep(draw.uniform(0.0, 0.02))
        for child in children:
            child.kill()
        lines += [line.split() for line in first] + [line for child in children for line in promised(child)]
        check(tmp_path, lines)
    assert len(lines) > 10


@pytest.mark.parametrize("limit", [300_000, 1_500_000])
def test_a_full_disk_is_said_and_leaves_all_that_was_promised(tmp_path: Path, limit: int) -> None:
    lines = promised(start(tmp_path, "full", limit))
    assert lines[-1] == ["error", "NoRoom"]
    check(tmp_path, lines)
    with Workspace.open(tmp_path) as workspace:  # there is room again: work goes on
        ring(workspace, "after")
        checkpoint(workspace)
        assert verify(workspace).ok


def test_a_database_that_may_not_grow_is_said(workspace: Workspace) -> None:
    for engine in (workspace.ledger.engine, workspace.traces.engine):
        with engine.connect() as connection:  # the pool hands this very connection out again
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")

    def write_on() -> None:
        for number in range(100):
            workspace.ledger.tell("x" * 500, "y", {"n": number})

    def trace_on() -> None:
        for _ in range(100):
            workspace.traces.put(trace(answer="x" * 5000))

    for go_on in (write_on, trace_on):
        with pytest.raises(NoRoom, match="takes no more bytes"):
            go_on()
    assert verify(workspace).ok
