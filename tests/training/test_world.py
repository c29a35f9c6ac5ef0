"""Two processes train what one trains: the same losses, checkpoints that either can take up, and weights in parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from luthier.records.training import Run
from luthier.store.workspace import Workspace
from luthier.training.run import execute
from luthier.training.world import ALONE, World
from tests.training.making import Bench, bench, make_recipe

pytestmark = pytest.mark.timeout(240)


def together(
    one: Bench, *flags: str, processes: int = 2, dies_after: int | None = None
) -> subprocess.CompletedProcess[str]:
    """The run under torchrun; with `dies_after`, every process is killed behind the checkpoint of that step."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "tests.training.mortal" if dies_after else "luthier.training", "--workspace", str(one.folder)]
    for field, value in one.order._asdict().items():
        command.append(f"{field}={value}")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DIES_AFTER": str(dies_after or "")}
    done = subprocess.run([*command, *flags], capture_output=True, text=True, env=environment, timeout=200, check=False)
    assert (done.returncode == 0) == (dies_after is None), done.stderr[-3000:]
    return done


def alone(one: Bench) -> None:
    with Workspace.open(one.folder) as workspace:
        execute(workspace, one.order)


def losses(one: Bench) -> list[float]:
    return [json.loads(line)["loss"] for line in (one.run / "metrics.jsonl").open(encoding="utf-8")]


def same(one: Bench, other: Bench) -> None:
    assert losses(one) == pytest.approx(losses(other), abs=1e-5)
    mine, theirs = (load_file(next((each.run / "result").glob("*.safetensors"))) for each in (one, other))
    assert mine.keys() == theirs.keys()
    for name, weights in mine.items():
        assert (weights - theirs[name]).abs().max() < 1e-4, name


@pytest.fixture(scope="module", params=["adapter", "full"])
def single(request: pytest.FixtureRequest, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """What one process makes of it."""
    fields = {} if request.param == "adapter" else {"lora": None, "learning_rate": 1e-3}
    one = bench(tmp_path_factory.mktemp("alone") / "w", make_recipe(base, batch_rows=8, micro_tokens=128, **fields))
    alone(one)
    return one


def again(single: Bench, folder: Path) -> Bench:
    """The same order in a workspace of its own."""
    with Workspace.open(single.folder) as workspace:
        from luthier.records.training import Recipe

        run = workspace.ledger.get(single.order.run, Run)
        recipe = workspace.ledger.get(run.recipe, Recipe)
    return bench(folder, recipe)


@pytest.mark.parametrize("flags", [(), ("--shard",)])
def test_two_processes_train_what_one_trains(single: Bench, tmp_path: Path, flags: tuple[str, ...]) -> None:
    two = again(single, tmp_path / "w")
    together(two, *flags)
    same(two, single)
    with Workspace.open(two.folder) as workspace:
        assert workspace.ledger.get(two.order.run, Run).machine["processes"] == "2"
        assert len(workspace.ledger.events(subject=two.order.run, verb="finished")) == 1


@pytest.mark.parametrize("flags", [(), ("--shard",)])
def test_saved_by_two_taken_up_by_one(single: Bench, tmp_path: Path, flags: tuple[str, ...]) -> None:
    two = again(single, tmp_path / "w")
    together(two, *flags, dies_after=3)
    assert sorted(path.name for path in two.run.glob("step-*"))
    alone(two)
    same(two, single)


def test_saved_by_one_taken_up_by_two(single: Bench, tmp_path: Path) -> None:
    two = again(single, tmp_path / "w")
    together(two, processes=1, dies_after=3)
    together(two, "--shard")
    same(two, single)


def test_every_process_gets_as_many_micro_batches() -> None:
    step = ((0,), (1,), (2,))
    shares = [World(rank, 2).shares(step) for rank in range(2)]
    assert shares == [[((0,), True), ((2,), True)], [((1,), True), ((2,), False)]]
    assert ALONE.shares(step) == [((0,), True), ((1,), True), ((2,), True)]
