"""A run that was killed, anywhere and however often, leaves what an unbroken one leaves: the same bytes, one record."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from luthier.records.training import LoraSpec, ModelVersion, Recipe
from luthier.store.workspace import Workspace
from tests.training import children
from tests.training.children import KILLED, in_a_fresh_python, train
from tests.training.making import Bench, bench, make_recipe

KILLS = (
    partial(children.dies_in_step, 2),  # before there is any checkpoint
    partial(children.dies_with_half_a_state, 3),
    partial(children.dies_before_the_rename, 3),
    partial(children.dies_after_the_rename, 3),
    partial(children.dies_in_step, 5),
    partial(children.dies_telling, 6),
    partial(children.dies_with_half_a_state, 6),
    partial(children.dies_after_the_rename, 6),
    partial(children.dies_in_step, 9),  # of the second epoch
    partial(children.dies_after_the_rename, 10),  # the last one
    children.dies_before_the_result_is_kept,
)


class Left(NamedTuple):
    """What a finished run left."""

    sha: str
    model: ModelVersion
    losses: list[float]


def left(bench: Bench) -> Left:
    with Workspace.open(bench.folder) as workspace:
        (finished,) = workspace.ledger.events(subject=bench.order.run, verb="finished")
        model = workspace.ledger.get(finished.body["model"], ModelVersion)
        lines = list(workspace.blobs.lines(finished.body["metrics"]))
    assert [line["step"] for line in lines] == list(range(1, 11))
    return Left(bench.sha(), model, [line["loss"] for line in lines])


@pytest.fixture(scope="module")
def recipe(base: Path) -> Recipe:
    """With everything that a checkpoint could forget: dropout, warm-up, decay, accumulation, epochs, moments."""
    return make_recipe(base, lora=LoraSpec(rank=4, dropout=0.1), weight_decay=0.01, warmup=0.3, schedule="cosine")


@pytest.fixture(scope="module")
def unbroken(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Left:
    one = bench(tmp_path_factory.mktemp("unbroken"), recipe)
    assert train(one).code == 0
    return left(one)


def test_killed_at_every_kind_of_moment(recipe: Recipe, unbroken: Left, tmp_path: Path) -> None:
    broken = bench(tmp_path, recipe)
    for kill in KILLS:
        assert train(broken, kill).code == KILLED, kill
    assert train(broken).code == 0
    assert left(broken) == unbroken


def test_killed_from_outside(recipe: Recipe, unbroken: Left, tmp_path: Path) -> None:
    broken = bench(tmp_path, recipe)
    metrics = broken.run / "metrics.jsonl"
    with in_a_fresh_python(broken) as process:
        while not metrics.is_file() or metrics.read_text().count("\n") < 4:
            time.sleep(0.0005)
            assert process.poll() is None
        process.kill()
    assert not list(broken.run.glob("result/*"))
    assert train(broken).code == 0
    assert left(broken) == unbroken


def test_another_seed_leaves_other_bytes(recipe: Recipe, unbroken: Left, tmp_path: Path) -> None:
    other = bench(tmp_path, recipe.model_copy(update={"seed": 8}))
    assert train(other).code == 0
    assert left(other).sha != unbroken.sha


def test_a_torn_checkpoint_is_set_aside_for_the_one_before(recipe: Recipe, unbroken: Left, tmp_path: Path) -> None:
    broken = bench(tmp_path, recipe)
    assert train(broken, partial(children.dies_in_step, 8)).code == KILLED
    state = broken.run / "step-000006" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    assert train(broken, partial(children.dies_in_step, 4)).code == KILLED  # so it did go on behind step 3
    assert (broken.run / "torn-000006" / "state.safetensors").is_file()
    assert train(broken).code == 0
    assert left(broken) == unbroken


def test_with_every_checkpoint_torn_it_starts_over(recipe: Recipe, unbroken: Left, tmp_path: Path) -> None:
    broken = bench(tmp_path, recipe)
    assert train(broken, partial(children.dies_in_step, 8)).code == KILLED
    for manifest in broken.run.glob("step-*/manifest.json"):
        manifest.write_text("{}")
    assert train(broken).code == 0
    assert left(broken) == unbroken


def test_a_finished_run_is_left_alone(recipe: Recipe, tmp_path: Path) -> None:
    one = bench(tmp_path, recipe.model_copy(update={"max_steps": 2}))
    assert train(one).code == 0
    before = {path: path.stat().st_mtime_ns for path in one.run.rglob("*")}
    with Workspace.open(one.folder) as workspace:
        events = workspace.ledger.events()
    assert train(one).code == 0
    assert {path: path.stat().st_mtime_ns for path in one.run.rglob("*")} == before
    with Workspace.open(one.folder) as workspace:
        assert workspace.ledger.events() == events
    assert json.loads((one.run / "result" / "luthier.json").read_text())


def test_two_processes_never_share_a_run(recipe: Recipe, tmp_path: Path) -> None:
    from luthier.store import lock

    one = bench(tmp_path, recipe)
    one.run.mkdir(parents=True)
    with lock.held(one.run / "lock", "training it already"):
        ended = train(one)
    assert (ended.code, ended.error["type"]) == (2, "Busy")
    assert "training it already" in ended.error["what"]


def test_a_full_disk_costs_no_more_than_the_steps_since_the_checkpoint(
    recipe: Recipe, unbroken: Left, tmp_path: Path
) -> None:
    broken = bench(tmp_path, recipe)
    ended = train(broken, partial(children.disk_fills_up, 6))
    assert (ended.code, ended.error["type"]) == (2, "NoRoom")
    assert "the checkpoint of step 6 could not be written" in ended.error["what"]
    assert sorted(path.name for path in broken.run.iterdir() if path.is_dir()) == ["step-000003"]
    assert train(broken).code == 0
    assert left(broken) == unbroken


def test_a_weight_that_becomes_infinite_does_not_reach_a_checkpoint(
    recipe: Recipe, unbroken: Left, tmp_path: Path
) -> None:
    broken = bench(tmp_path, recipe)
    ended = train(broken, partial(children.goes_infinite, 6))
    assert (ended.code, ended.error["type"]) == (2, "RunFailed")
    assert ended.error["what"].startswith("the loss of step 6 is not finite; its rows are train-")
    assert train(broken).code == 0
    assert left(broken) == unbroken


def test_training_every_weight_goes_on_as_well(base: Path, tmp_path: Path) -> None:
    recipe = make_recipe(base, lora=None, learning_rate=1e-3, max_steps=5)
    one, broken = bench(tmp_path / "one", recipe), bench(tmp_path / "broken", recipe)
    assert train(one).code == 0
    assert train(broken, partial(children.dies_in_step, 5)).code == KILLED
    assert train(broken).code == 0
    assert broken.sha() == one.sha()
