"""One run from the ledger to the ledger: what it records, what it refuses, what it leaves when it fails."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.errors import BadConfig, BadData, LuthierError, NoRoom, RunFailed, UnknownName
from luthier.lm.chat import Chat
from luthier.lm.load import load_model
from luthier.lm.pull import folder_digest, local
from luthier.records.data import DatasetVersion
from luthier.records.training import LoraSpec, ModelVersion, Recipe, Run
from luthier.store.workspace import Workspace
from luthier.training import finish, loop
from luthier.training.optimiser import Optimiser
from luthier.training.run import execute
from tests.tiny import tiny_model
from tests.training.making import Bench, bench, make_recipe, put_dataset, row, some_rows

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def brief(monkeypatch: Patch) -> None:
    monkeypatch.setattr(finish, "LONGEST_ANSWER", 4)


@pytest.fixture
def copied(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "base"))


def run(bench: Bench, **order: str) -> ModelVersion:
    with Workspace.open(bench.folder) as workspace:
        return execute(workspace, bench.order._replace(**order))


def verbs(bench: Bench) -> list[str]:
    with Workspace.open(bench.folder) as workspace:
        return [event.verb for event in workspace.ledger.events(subject=bench.order.run)]


def plant(monkeypatch: Patch, at: int, harm: Any) -> None:
    """Have `harm(optimiser)` done before step `at`."""
    step = loop.one_step

    def one_step(work: loop.Work, optimiser: Optimiser, steps: Any, number: int) -> dict[str, float]:
        if number == at - 1:
            harm(optimiser)
        return step(work, optimiser, steps, number)

    monkeypatch.setattr(loop, "one_step", one_step)


@torch.no_grad()
def make_infinite(optimiser: Optimiser) -> None:
    next(iter(optimiser.masters.values())).view(-1)[0] = torch.inf
    optimiser.round_into_model()


@pytest.fixture
def stopped(copied: Path, tmp_path: Path, monkeypatch: Patch) -> Iterator[Bench]:
    """A run that failed in step 5, behind the checkpoint of step 3."""
    one = bench(tmp_path / "workspace", make_recipe(copied))
    with monkeypatch.context() as patch:
        plant(patch, 5, make_infinite)
        with pytest.raises(RunFailed):
            run(one)
    return one


def test_what_is_recorded(base: Path, tmp_path: Path) -> None:
    recipe = make_recipe(base, learning_rate="auto", batch_rows="auto", dtype="auto")
    one = bench(tmp_path, recipe)
    model, chat = run(one), Chat.load(base)
    with Workspace.open(tmp_path) as workspace:
        told = {event.verb: event.body for event in workspace.ledger.events(subject=one.order.run)}
        kept = workspace.ledger.get(one.order.run, Run)
        resolved = workspace.ledger.get(kept.recipe, Recipe)
        assert workspace.ledger.get(model.id, ModelVersion) == model
        for name, digest in model.files.items():
            assert workspace.blobs.get(digest) == (one.run / "result" / name).read_bytes()
        metrics = list(workspace.blobs.lines(told["finished"]["metrics"]))
    assert (model.run, model.dataset, model.rank, model.base) == (one.order.run, one.order.dataset, 4, str(base))
    assert model.base_digest == kept.base_digest == folder_digest(base)
    assert (model.template_digest, model.tokenizer_digest) == (chat.template_digest, chat.tokenizer_digest)
    assert json.loads((one.run / "result" / "luthier.json").read_text()) == {
        "base_digest": model.base_digest,
        "template_digest": model.template_digest,
        "tokenizer_digest": model.tokenizer_digest,
    }
    assert (resolved.learning_rate, resolved.batch_rows) == (1e-3, 4)
    assert resolved.dtype != "auto"
    assert [reason.split()[0] for reason in told["started"]["reasons"]] == [
        "learning_rate",
        "batch_rows",
        "dtype",
        "recompute",
    ]
    assert "tokens read" in told["checked"]["said"][0]
    assert told["checked"]["tokens"]["rows"] == 20
    assert model.figures["steps"] == len(metrics) == 10
    assert model.figures["tokens"] == 2 * told["checked"]["tokens"]["tokens"] == sum(m["tokens"] for m in metrics)
    assert model.figures["loss"] == metrics[-1]["loss"] < metrics[0]["loss"]
    assert model.figures["reload_difference"] == 0
    assert model.figures["validation_loss"] > 0
    assert kept.machine["threads"] == "1"


def test_every_weight(base: Path, tmp_path: Path) -> None:
    """Without an adapter the result is a model like any other: it can be loaded, rendered and trained again."""
    one = bench(tmp_path / "workspace", make_recipe(base, lora=None, learning_rate=1e-3, max_steps=3))
    model = run(one)
    folder = local(str(one.run / "result"))
    assert model.rank is None
    assert model.figures["reload_difference"] == 0
    assert {"model.safetensors", "config.json", "tokenizer.json", "luthier.json"} < set(model.files)
    again = Chat.load(folder)
    assert (again.template_digest, again.tokenizer_digest) == (model.template_digest, model.tokenizer_digest)
    assert again.stop_ids == Chat.load(base).stop_ids
    before, after = (load_model(each, "float32").state_dict() for each in (base, folder))
    assert all(not torch.equal(after[name], weight) for name, weight in before.items() if weight.dim() == 2)
    assert run(bench(tmp_path / "next", make_recipe(folder, max_steps=1))).base_digest == folder_digest(folder)


def test_a_result_that_differs_from_what_was_trained_is_not_kept(
    base: Path, tmp_path: Path, monkeypatch: Patch
) -> None:
    write = finish.write

    def other(model: Any, masters: dict[str, torch.Tensor], *rest: Any) -> None:
        write(model, {name: 2 * tensor for name, tensor in masters.items()}, *rest)

    monkeypatch.setattr(finish, "write", other)
    one = bench(tmp_path, make_recipe(base, max_steps=2))
    with pytest.raises(RunFailed, match="the written files differ from the trained model by"):
        run(one)
    assert verbs(one)[-1] == "failed"


def test_numbers_that_are_not_finite_end_the_run_and_name_the_rows(stopped: Bench) -> None:
    assert verbs(stopped) == ["recorded", "started", "checked", "failed"]
    with Workspace.open(stopped.folder) as workspace:
        (failed,) = workspace.ledger.events(subject=stopped.order.run, verb="failed")
    assert "the loss of step 5 is not finite; its rows are train-" in failed.body["what"]
    assert failed.body["what"].count("train-") == 4
    assert sorted(path.name for path in stopped.run.glob("*-0*")) == ["step-000003"]
    assert len((stopped.run / "metrics.jsonl").read_text().splitlines()) == 4
    model = run(stopped)  # nothing is planted any more: it goes on
    assert model.figures["steps"] == 10
    assert verbs(stopped)[-1] == "finished"


def test_a_gradient_that_is_not_finite_moves_nothing(base: Path, tmp_path: Path, monkeypatch: Patch) -> None:
    def harm(optimiser: Optimiser) -> None:
        seen.append(optimiser)
        gather = optimiser.gather

        def gathered() -> None:
            gather()
            next(iter(optimiser.masters.values())).grad.view(-1)[0] = torch.nan

        monkeypatch.setattr(optimiser, "gather", gathered)

    seen: list[Optimiser] = []
    plant(monkeypatch, 2, harm)
    with pytest.raises(RunFailed, match="the gradient of step 2 is not finite"):
        run(bench(tmp_path, make_recipe(base)))
    assert all(master.isfinite().all() for master in seen[0].masters.values())


def test_another_recipe_is_refused_by_its_field(stopped: Bench) -> None:
    with Workspace.open(stopped.folder) as workspace:
        asked = workspace.ledger.get(stopped.order.recipe, Recipe)
        other = workspace.ledger.put(asked.model_copy(update={"learning_rate": 1e-4, "seed": 8}))
    with pytest.raises(BadConfig) as refused:
        run(stopped, recipe=other)
    assert "learning_rate was 0.005 and is now 0.0001; seed was 7 and is now 8" in refused.value.what
    assert refused.value.mend == "restore what changed, or start a new run"


def test_another_dataset_is_refused(stopped: Bench) -> None:
    with Workspace.open(stopped.folder) as workspace:
        other = put_dataset(workspace, some_rows(19))
    with pytest.raises(BadConfig, match=f"dataset was {stopped.order.dataset} and is now {other}"):
        run(stopped, dataset=other)


@pytest.mark.parametrize("change", ["weights", "template"])
def test_another_base_is_refused(stopped: Bench, copied: Path, change: str) -> None:
    before = folder_digest(copied)
    if change == "weights":
        tiny_model(copied, seed=5)
    else:
        (copied / "chat_template.jinja").write_text("{{ messages[0].content }}")
    with pytest.raises(BadConfig, match=f"base_digest was {before} and is now {folder_digest(copied)}"):
        run(stopped)


def test_another_machine_is_refused(stopped: Bench, monkeypatch: Patch) -> None:
    monkeypatch.setattr("luthier.training.run.processor_name", lambda: "an abacus")
    with pytest.raises(BadConfig, match=r"processor was .* and is now an abacus"):
        run(stopped)


def test_another_number_of_threads_goes_on_and_is_told(stopped: Bench) -> None:
    torch.set_num_threads(2)
    try:
        run(stopped)
    finally:
        torch.set_num_threads(1)
    with Workspace.open(stopped.folder) as workspace:
        started = workspace.ledger.events(subject=stopped.order.run, verb="started")
    assert [event.body["threads"] for event in started] == ["1", "2"]


def test_a_run_folder_from_elsewhere_is_refused(stopped: Bench, tmp_path: Path, base: Path) -> None:
    """The ledger knows nothing of this run, but its checkpoints do."""
    other = bench(tmp_path / "other", make_recipe(base, learning_rate=1e-4))
    shutil.copytree(stopped.run, other.run)
    with pytest.raises(BadConfig, match=r"was written by another run: recipe was recipe-.* and is now recipe-"):
        run(other)


@pytest.mark.parametrize("where", ["metrics", "result"])
def test_a_full_disk_is_no_room(base: Path, tmp_path: Path, monkeypatch: Patch, where: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    one = bench(tmp_path, make_recipe(base, max_steps=4))
    with monkeypatch.context() as patch:
        if where == "metrics":
            patch.setattr(loop, "append_metrics", full)
        else:
            patch.setattr(finish.adapters, "write", full)
        with pytest.raises(NoRoom, match=f"the {where} could not be written .*No space left.*run again"):
            run(one)
    assert run(one).figures["steps"] == 4


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"lora": LoraSpec(targets=("nonsense",))}, BadConfig, "nonsense"),
        ({"learning_rate": 10.0}, BadConfig, "lower learning_rate"),
        ({"method": "sfd"}, UnknownName, "did you mean 'sft'"),
        ({"max_length": 20}, BadData, "20 of 20 rows are longer than max_length 20"),
    ],
)
def test_a_recipe_that_cannot_work(
    educated: Path, tmp_path: Path, fields: dict[str, Any], error: type[LuthierError], said: str
) -> None:
    one = bench(tmp_path, make_recipe(educated, **fields))
    with pytest.raises(error, match=said):
        run(one)
    assert not list(one.run.glob("step-*"))


def test_overlap_is_found_behind_the_rows_that_are_measured(base: Path, tmp_path: Path) -> None:
    rows = some_rows(20, 30)
    twin = row(99, rows[3].messages, "validation")
    with pytest.raises(BadData, match="row validation-099 of the validation rows is row train-003"):
        run(bench(tmp_path, make_recipe(base), [*rows, twin]))


def test_no_training_rows(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no row to train on"):
        run(bench(tmp_path, make_recipe(base), some_rows(0, 3)))


def test_without_validation_rows(base: Path, tmp_path: Path) -> None:
    one = bench(tmp_path, make_recipe(base, max_steps=1), some_rows(4, 0))
    assert "validation_loss" not in run(one).figures
    with Workspace.open(tmp_path) as workspace:
        assert workspace.ledger.get(one.order.dataset, DatasetVersion).counts == {"train": 4}


def test_progress_is_told(base: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int, set[str]]] = []

    def progress(task: str, done: int, total: int, /, **figures: float) -> None:
        told.append((task, done, total, set(figures)))

    one = bench(tmp_path, make_recipe(base, max_steps=3))
    with Workspace.open(tmp_path) as workspace:
        execute(workspace, one.order, progress)
    assert told == [("train", done, 3, {"loss", "tokens_s"}) for done in (1, 2, 3)]
