"""Ray's local cluster trains what one process trains, and a run whose worker is killed goes on to the same losses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from luthier.store.workspace import Workspace
from luthier.training.run import execute
from tests.training.making import Bench, bench, dialogue, make_recipe, row

pytest.importorskip("ray.train", reason="the extra `ray` is not installed; see docs/training.md")

pytestmark = pytest.mark.timeout(280)
STEPS = 40


def launched(one: Bench, token: str, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "luthier.training.ray_launch", "--workspace", str(one.folder), *flags]
    command += [f"{field}={value}" for field, value in one.order._asdict().items()]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "LUTHIER_TEST": token, "PYTHONPATH": str(Path.cwd())}
    log = (one.folder / "ray.log").open("w", encoding="utf-8")
    return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)


def ended(one: Bench, process: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        return process.wait(250), (one.folder / "ray.log").read_text(encoding="utf-8")
    finally:
        process.terminate()


def workers(token: str) -> list[int]:
    """The processes of this test's own workers."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            named = entry.name.isdigit() and b"RayTrainWorker" in (entry / "cmdline").read_bytes()
            if named and f"LUTHIER_TEST={token}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return sorted(found)


def losses(one: Bench) -> list[float]:
    path = one.run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line)["loss"] for line in lines if line.endswith("}")]


@pytest.fixture(scope="module")
def asked(base: Path) -> dict[str, object]:
    return {"batch_rows": 8, "micro_tokens": 128, "max_steps": STEPS, "epochs": 20}


@pytest.fixture(scope="module")
def alone(base: Path, asked: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of the same order in one process."""
    one = bench(tmp_path_factory.mktemp("alone") / "w", make_recipe(base, **asked))
    with Workspace.open(one.folder) as workspace:
        execute(workspace, one.order)
    return losses(one)


def finished(one: Bench) -> int:
    with Workspace.open(one.folder) as workspace:
        return len(workspace.ledger.events(subject=one.order.run, verb="finished"))


def test_a_killed_worker_does_not_end_the_run(
    base: Path, asked: dict[str, object], alone: list[float], tmp_path: Path
) -> None:
    one, token = bench(tmp_path / "w", make_recipe(base, **asked)), uuid.uuid4().hex
    process = launched(one, token, "--workers", "2")
    killed_at = 0
    try:
        while not killed_at and process.poll() is None:
            done = len(losses(one))
            there = workers(token)
            if 8 <= done < STEPS - 5 and len(there) == 2:
                os.kill(there[-1], signal.SIGKILL)
                killed_at = done
            time.sleep(0.01)
    finally:
        code, log = ended(one, process)
    assert code == 0, log[-4000:]
    assert killed_at, "the run was over before a worker could be killed"
    assert losses(one) == pytest.approx(alone, abs=1e-5)
    assert finished(one) == 1
    with Workspace.open(one.folder) as workspace:
        assert len(workspace.ledger.events(subject=one.order.run, verb="started")) == 2
    assert not workers(token), "a worker is left behind"


def test_the_runs_own_error_is_told_and_not_tried_again(base: Path, tmp_path: Path) -> None:
    rows = [row(0, dialogue("Hello?", ""))]
    one = bench(tmp_path / "w", make_recipe(base), rows)
    code, log = ended(one, launched(one, uuid.uuid4().hex, "--workers", "2"))
    assert code == 1, log[-4000:]
    assert json.loads(log.splitlines()[-1])["type"] in ("BadData", "BadConfig")
    assert finished(one) == 0
    with Workspace.open(one.folder) as workspace:
        assert len(workspace.ledger.events(subject=one.order.run, verb="started")) == 1
