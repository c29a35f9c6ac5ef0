"""A run of every kind of adapter that is killed goes on to the same bytes, and a stack knows what it stands on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from luthier.errors import RunFailed
from luthier.lm import adapters
from luthier.lm.chat import Chat
from luthier.records.training import LoraSpec, ModelVersion
from luthier.store.workspace import Workspace
from luthier.training import base as bases
from luthier.training import finish
from luthier.training.method import Item
from luthier.training.run import Order, execute
from tests.golden.kinds import ALL
from tests.training.children import FORKS, KILLED
from tests.training.making import Bench, bench, make_recipe


def finished(one: Bench, order: Order | None = None) -> ModelVersion:
    with Workspace.open(one.folder) as workspace:
        return execute(workspace, order or one.order)


def die_behind_step_3(one: Bench) -> None:
    """What a process of its own does: train until kill -9, with the checkpoint of step 2 on disk."""

    def progress(task: str, done: int, total: int, /, **figures: float) -> None:
        if task == "train" and done == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    with Workspace.open(one.folder) as workspace:
        execute(workspace, one.order, progress)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(finish, "LONGEST_ANSWER", 4)


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in ("lora", "pfeiffer")])
def test_killed_and_gone_on_with(base: Path, tmp_path: Path, kind: str) -> None:
    recipe = make_recipe(base, **ALL[kind] | {"max_steps": 4, "checkpoint_every": 2, "weight_decay": 0.01})
    one, broken = bench(tmp_path / "one", recipe), bench(tmp_path / "broken", recipe)
    process = FORKS.Process(target=die_behind_step_3, args=(broken,))
    process.start()
    process.join(120)
    assert process.exitcode == KILLED
    assert sorted(path.name for path in broken.run.glob("step-*")) == ["step-000002"]
    assert finished(one) == finished(broken)
    assert one.sha() == broken.sha()


def test_a_run_on_top_of_another(base: Path, tmp_path: Path) -> None:
    """Said by the ledger, and by what the model does: the lower adapter is in the files of the upper one."""
    first = bench(tmp_path, make_recipe(base, max_steps=3))
    lower = finished(first)
    order = first.order._replace(run="run-1123456789abcdefghjkmnpqrs", on_top_of=lower.id)
    upper = finished(first, order)
    with Workspace.open(tmp_path) as workspace:
        assert lower.id in {link.parent for link in workspace.ledger.ancestors(upper.id)}
    assert upper.files != lower.files
    assert upper.figures["reload_difference"] < 1e-4


@pytest.mark.parametrize(
    "lora", [LoraSpec(rank=2), LoraSpec(rank=2, variant="dora"), LoraSpec(rank=2, variant="pissa"), None]
)
def test_a_model_that_scores(base: Path, tmp_path: Path, lora: LoraSpec | None) -> None:
    """Its head is trained, moves, is written whole, and read back by plain PEFT to the same scores."""
    recipe = make_recipe(base, lora=lora)
    model = bases.load(recipe, "score")
    first = {name: p.detach().float().clone() for name, p in model.named_parameters() if p.requires_grad}
    assert any(".score." in f".{name}" for name in first)
    torch.manual_seed(0)
    moved = {name: tensor + 0.05 * torch.randn_like(tensor) for name, tensor in first.items()}
    bases.with_trained(model, moved)
    items = [Item("one", [1, 40, 50, 60, 2], [False] * 4 + [True]), Item("two", [1, 70, 2], [False, False, True])]
    chat = Chat.load(base)
    finish.write(model, moved, tmp_path, chat, adapters.Stamp("a", "b", "c"))
    plain = [finish.logits(model, item) for item in items]
    checks = finish.check(model, tmp_path, items, chat, "score")
    assert checks.reload_difference < 1e-5
    assert checks.stops is None
    assert (checks.merge_difference is None) == (lora is None)
    assert plain[0].shape == (1,)
    finish.require_moved(recipe, "score", None, moved, 4)
    with pytest.raises(RunFailed, match="trained tensors are what they were before"):
        finish.require_moved(recipe, "score", None, first, 4)
