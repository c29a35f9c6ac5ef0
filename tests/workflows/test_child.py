"""Processes of their own: real ones, that fail, crash, are killed, or whose parent is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.errors import GateFailed, LuthierError, RunFailed
from luthier.workflows import child

KID = "tests.workflows.kid"


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process runs: one that ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(log: Path, how: str, *more: str) -> LuthierError | None:
    with child.running(KID, [how, *more], log) as process:
        process.wait(60)
        try:
            child.require_success(process, log, "the work")
        except LuthierError as error:
            return error
    return None


def test_the_error_comes_back_as_the_error_it_was(tmp_path: Path) -> None:
    error = ended(tmp_path / "log", "fail")
    assert isinstance(error, GateFailed)
    assert (error.what, error.mend) == ("it did not pass", "train it longer")


def test_an_error_of_an_earlier_child_is_not_taken_for_that_of_a_later_one(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "log"
    assert isinstance(ended(log, "fail"), GateFailed)
    died = ended(log, "die")
    assert type(died) is RunFailed
    assert "SIGKILL (out of memory?)" in died.what
    assert "did not pass" not in died.what
    assert str(log) in died.mend
    assert ended(log, "nothing") is None
    crashed = ended(log, "crash")
    assert type(crashed) is RunFailed
    assert "exit status 1 (KeyError: 'x')" in crashed.what


@pytest.mark.parametrize(
    "line",
    ['{"type": "GateFailed"}', '{"type": broken', "", "plain words", '{"type": "Nothing", "what": "a", "mend": ""}'],
)
def test_a_last_line_that_is_no_error_of_ours(line: str) -> None:
    error = child.error_in(line)
    assert error is None or (type(error) is LuthierError and error.what == "a")


def test_a_child_is_stopped_at_the_end_of_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "GRACE", 0.3)
    for how in ("wait", "stubborn"):
        file = tmp_path / how
        with child.running(KID, [how, str(file)], tmp_path / "log") as process:
            until(file.exists)
        assert process.returncode in (-15, -9)


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-m", KID, "parent", str(file)])
    until(lambda: file.exists() and file.read_text())
    pid = int(file.read_text())
    assert alive(pid)
    parent.kill()
    parent.wait()
    until(lambda: not alive(pid))


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-m", KID, "thread", str(file)])
    until(lambda: file.exists() and file.read_text())
    pid = int(file.read_text())
    time.sleep(0.3)
    assert alive(pid), "it died with the thread, though its parent lives"
    parent.kill()
    parent.wait()
    until(lambda: not alive(pid))
    assert not os.path.exists(f"/proc/{parent.pid}")
