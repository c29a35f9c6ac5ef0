"""Looks at validation rows while training: the best weights stay, patience ends the run, kill -9 changes nothing."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from luthier.errors import BadConfig, RunFailed
from luthier.progress import silent
from luthier.records.data import Message
from luthier.records.training import Recipe, WatchSpec
from luthier.store.workspace import Workspace
from luthier.training import loop, watch
from luthier.training.loop import Outcome, Work, train
from luthier.training.sft import SFT
from luthier.training.watch import Look, Watch, as_questions, watched
from tests.training.children import KILLED, dies_after_the_rename, dies_in_step
from tests.training.children import train as in_a_child
from tests.training.making import Bench, bench, dialogue, make_recipe, ready, row, some_rows

EVERY = 2


def watching(base: Path, **fields: Any) -> Recipe:
    spec = {"every": EVERY, "rows": 3, "max_tokens": 6} | fields
    return make_recipe(base, watch=WatchSpec(**spec))


def working(base: Path, folder: Path, told: list[Look] | None = None, **fields: Any) -> Work:
    made = ready(watching(base, **fields))
    held_out = some_rows(0, 3)
    validation = tuple(SFT.prepare(each, made.chat) for each in held_out)
    work = Work(made.model, SFT, made.recipe, made.items, validation, 0, folder, {})
    return watched(work, held_out, made.chat, (told if told is not None else []).append)


def marks(monkeypatch: pytest.MonkeyPatch, *means: float) -> None:
    """Have the looks find these marks, whatever the model says."""
    left = iter(means)
    monkeypatch.setattr(Watch, "mark", lambda *_: (next(left), 3, []))


def run(work: Work) -> Outcome:
    return train(work, silent)


def test_a_look_answers_marks_and_tells(base: Path, tmp_path: Path) -> None:
    told: list[Look] = []
    outcome = run(working(base, tmp_path, told))
    assert [look.step for look in told] == [2, 4, 6, 8, 10]
    assert told == Watch(WatchSpec(), [], None, working(base, tmp_path)).looks()  # type: ignore[arg-type]
    first = told[0]
    assert (first.n, first.samples[0]["row"]) == (3, "validation-000")
    assert 0 <= first.mean <= 1
    assert first.samples[0]["wanted"] == some_rows(0, 1)[0].messages[-1].content
    assert told[-1].loss["loss"] < first.loss["loss"]
    assert told[-1].loss["loss"] == pytest.approx(outcome.validation["loss"], rel=0.5)


def test_the_answers_are_the_models_own(base: Path, tmp_path: Path) -> None:
    work = working(base, tmp_path, max_tokens=5)
    assert isinstance(work.watcher, Watch)
    _, _, samples = work.watcher.mark(work.model)
    chat, asked = work.watcher.chat, work.watcher.asked
    for sample, each in zip(samples, asked, strict=True):
        ids = [*each.prompt]
        with torch.no_grad():
            for _ in range(5):
                ids.append(int(work.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
                if ids[-1] in chat.stop_ids:
                    break
        assert sample["answer"] == chat.tokenizer.decode(ids[len(each.prompt) :], skip_special_tokens=True).strip()


def test_the_best_weights_stay(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, dict[str, torch.Tensor]] = {}
    after = Watch.after

    def looked(self: Watch, step: int, *rest: Any) -> bool:
        seen[step] = {name: master.clone() for name, master in rest[-1].masters.items()}
        return after(self, step, *rest)

    monkeypatch.setattr(Watch, "after", looked)
    marks(monkeypatch, 0.1, 0.4, 0.9, 0.9, 0.2)
    outcome = run(working(base, tmp_path))
    assert outcome.steps == 10
    assert all(torch.equal(outcome.masters[name], tensor) for name, tensor in seen[6].items())
    assert not all(torch.equal(outcome.masters[name], tensor) for name, tensor in seen[10].items())
    assert sorted(path.name for path in tmp_path.glob("best-*")) == [
        "best-000004.safetensors",
        "best-000006.safetensors",
    ]


@pytest.mark.parametrize(("patience", "ends"), [(1, 6), (2, 8), (None, 10)])
def test_patience(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int | None, ends: int) -> None:
    marks(monkeypatch, 0.1, 0.4, 0.4, 0.3, 0.2)
    outcome = run(working(base, tmp_path, patience=patience))
    assert outcome.steps == ends


def test_weights_that_were_tampered_with_are_not_used(base: Path, tmp_path: Path) -> None:
    work = working(base, tmp_path)
    run(work)
    assert work.watcher
    path = max(tmp_path.glob("best-*"))
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(RunFailed, match="is not what the look at step"):
        work.watcher.best()


def test_a_scorer_that_marks_nothing(base: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="'facts' marks none of the 3 validation rows"):
        run(working(base, tmp_path, scorer="facts"))


def test_without_validation_rows(base: Path, tmp_path: Path) -> None:
    work = working(base, tmp_path)
    with pytest.raises(BadConfig, match="there are none"):
        watched(work, [], ready(work.recipe).chat)
    plain = work._replace(recipe=make_recipe(base), watcher=None)
    assert watched(plain, [], ready(work.recipe).chat) is plain


def test_a_row_as_a_question(base: Path) -> None:
    chat = ready(make_recipe(base)).chat
    talk = dialogue("A?", "B.", "C?", "D.", system="S")
    rows = [
        row(1, talk),
        row(2, (Message(role="user", content="A?"),)),
        row(3, (*talk, Message(role="user", content="E?"))),
    ]
    one, two = as_questions(rows, chat)
    assert (one.question.question, one.question.reference, two.question.reference) == ("C?", "D.", "D.")
    assert one.prompt == chat.prompt_ids(talk[:-1])


class Looked:
    """What a run with looks leaves."""

    def __init__(self, one: Bench) -> None:
        self.sha = one.sha()
        self.looks = [Look(**json.loads(line)) for line in (one.run / watch.LOOKS).read_text().splitlines()]
        with Workspace.open(one.folder) as workspace:
            self.told = [e.body for e in workspace.ledger.events(subject=one.order.run, verb="watched")]


def looking(base: Path, folder: Path, patience: int | None) -> Bench:
    return bench(folder, watching(base, patience=patience, scorer="f1"), some_rows(20, 3))


@pytest.fixture(scope="module")
def straight(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int | None, Looked]:
    """What runs leave that nobody kills."""
    found = {}
    for patience in (None, 1):
        one = looking(base, tmp_path_factory.mktemp("whole"), patience)
        assert in_a_child(one).code == 0
        found[patience] = Looked(one)
    return found


@pytest.mark.parametrize(
    ("patience", "plant", "step"),
    [(None, dies_in_step, 5), (None, dies_after_the_rename, 6), (1, dies_in_step, 3)],
    ids=["in step 5", "behind the checkpoint of 6", "before patience runs out"],
)
def test_kill_9_changes_nothing(
    base: Path, tmp_path: Path, straight: dict[int | None, Looked], patience: int | None, plant: Any, step: int
) -> None:
    """Looks at 2, 4 …, checkpoints at 3, 6 …: the same looks, the same end, the same bytes, each look told once."""
    whole, cut = straight[patience], looking(base, tmp_path, patience)
    assert in_a_child(cut, partial(plant, step)).code == KILLED
    assert in_a_child(cut).code == 0
    again = Looked(cut)
    assert again.sha == whole.sha
    assert again.looks == whole.looks
    assert again.told == whole.told
    assert [each["step"] for each in again.told] == [look.step for look in whole.looks]


def test_the_result_is_the_best_look(base: Path, tmp_path: Path) -> None:
    one = looking(base, tmp_path, None)
    assert in_a_child(one).code == 0
    looks = [look for look in Looked(one).looks if look.weights]
    best = load_file(one.run / watch.named(looks[-1].step))
    (weights,) = (one.run / "result").glob("*.safetensors")
    kept = load_file(weights)
    assert len(kept) == len(best)
    for name, tensor in best.items():
        assert torch.equal(kept[name.replace(".default", "")], tensor)
    assert loop.METRICS
