"""What holds for every method on preferences: it learns, micro-batches change nothing, a broken run goes on to the same
bytes, and the ready check of `luthier.testing` passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from luthier.lm.chat import Chat
from luthier.lm.load import load_model
from luthier.lm.scored import load_scored
from luthier.progress import silent
from luthier.records.data import Row
from luthier.testing import check_method
from luthier.training import dpo, ipo, kto, orpo, reward, simpo
from luthier.training.batches import plan
from luthier.training.loop import Outcome, Work, read_metrics, train
from luthier.training.method import Item, Method
from tests.golden.preferring import preferences, rating
from tests.training.making import make_recipe

METHODS = {"dpo": dpo, "ipo": ipo, "kto": kto, "orpo": orpo, "simpo": simpo, "reward": reward}
EPOCHS, RATE = 4, 5e-4


class Broken(Exception):
    """The power went."""


class Ended(NamedTuple):
    """What a run measured and left."""

    outcome: Outcome
    metrics: list[dict[str, float]]


def rows_for(name: str, count: int = 20) -> list[Row]:
    return [rating(number) for number in range(count)] if name == "kto" else preferences(count)


def loaded(base: Path, method: Method) -> Any:
    load = load_scored if method.task == "score" else load_model
    return load(base, "float32", attention="eager")


def run(base: Path, name: str, folder: Path, *, breaks: int = 0, **fields: Any) -> Ended:
    """Train every weight on 20 rows; stop dead behind step `breaks`."""
    method: Method = METHODS[name].method({})
    recipe = make_recipe(base, lora=None, learning_rate=RATE, epochs=EPOCHS, checkpoint_every=3, **fields)
    chat, model = Chat.load(base), loaded(base, method)
    items: list[Item] = [method.prepare(row, chat) for row in rows_for(name)]
    if method.annotate:
        items = list(method.annotate(model, items, recipe, 0))

    def progress(stage: str, done: int, total: int, /, **figures: float) -> None:
        if done == breaks:
            raise Broken

    assert name != "kto" or method.each_step
    outcome = train(Work(model, method, recipe, items, items[:4], 0, folder, {}), progress if breaks else silent)
    return Ended(outcome, read_metrics(folder, 1000))


@pytest.mark.parametrize("name", METHODS)
def test_it_learns_and_a_broken_run_ends_in_the_same_bytes(base: Path, tmp_path: Path, name: str) -> None:
    whole = run(base, name, tmp_path / "whole")
    first, last = whole.metrics[0], whole.metrics[-1]
    assert last["loss"] < first["loss"]
    assert whole.outcome.validation["accuracy"] == 1
    if name == "kto":
        assert max(line["z"] for line in whole.metrics) > 0
    better = "reward" if name == "kto" else "margin"
    assert last[better] > first[better] + 0.01
    for step in (5, 6):  # between two checkpoints, and behind one
        with pytest.raises(Broken):
            run(base, name, tmp_path / "broken", breaks=step)
    again = run(base, name, tmp_path / "broken")
    assert again.outcome.validation == whole.outcome.validation
    assert all(torch.equal(again.outcome.masters[key], tensor) for key, tensor in whole.outcome.masters.items())
    kept = [{key: value for key, value in line.items() if key != "seconds"} for line in again.metrics]
    assert kept == [{key: value for key, value in line.items() if key != "seconds"} for line in whole.metrics]


@pytest.mark.parametrize("name", METHODS)
def test_micro_batches_change_nothing(base: Path, tmp_path: Path, name: str) -> None:
    ended = [run(base, name, tmp_path / str(n), batch_rows=8, micro_tokens=n, max_steps=5) for n in (16, 9999)]
    assert len(plan([50] * 20, make_recipe(base, batch_rows=8, micro_tokens=16))[0]) == 8
    for one, other in zip(ended[0].metrics, ended[1].metrics, strict=True):
        for key in one.keys() - {"seconds"}:
            assert one[key] == pytest.approx(other[key], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_the_ready_check_passes(base: Path, name: str) -> None:
    method = METHODS[name].method({})
    check_method(method, loaded(base, method), Chat.load(base), rows_for(name, 3))
