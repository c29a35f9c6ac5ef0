"""A search over a recipe's fields: every trial is a real run, the worse ones end early, and kill -9 changes nothing.

The trials train in the searching process itself, so that each costs no start of a Python; what starts one otherwise
is `training.train_or_halt`, which has its own tests.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("optuna")

from luthier.errors import BadConfig, RunFailed
from luthier.records.training import LoraSpec, ModelVersion, Recipe, Run, WatchSpec
from luthier.training import finish
from luthier.training.run import Order, execute
from luthier.workflows import search as searches
from luthier.workflows import training
from luthier.workflows.search import Best, Space, read_space, search, with_fields
from luthier.workflows.session import Session
from tests.tiny import tiny_model
from tests.training.children import FORKS, KILLED
from tests.training.making import make_recipe, put_dataset, some_rows
from tests.workflows.making import project

FIELDS = {"learning_rate": {"low": 1e-4, "high": 2e-2, "log": True}, "lora.rank": {"choices": [2, 4]}}


class Halted(Exception):
    """The run is to end here."""


def here(session: Session, run: str, dataset: str, asked: Recipe, live: training.Live) -> ModelVersion | None:
    """`train_or_halt`, in this process."""
    finish.LONGEST_ANSWER = 2
    recipe = session.workspace.ledger.put(asked)
    folder = session.workspace.folder / "runs" / run

    def follow(*_: Any, **__: Any) -> None:
        lines, looks = (training.whole_lines(folder / name) for name in (training.METRICS, training.LOOKS))
        if live.halt(lines, looks):
            raise Halted

    try:
        return execute(session.workspace, Order(run, recipe, dataset, "made"), follow)
    except Halted:
        return None


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "train_or_halt", here)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Session]:
    session = Session.open(project(tmp_path / "bank"))
    yield session
    session.close()


def space(**more: Any) -> Space:
    return Space.model_validate({"fields": FIELDS, "trials": 4, "startup": 4, "seed": 1} | more)


def found(session: Session, base: Path, asked: Space, live: training.Live | None = None, **fields: Any) -> Best:
    dataset = put_dataset(session.workspace, some_rows(12, 3))
    return search(session, asked, make_recipe(base, **{"epochs": 1} | fields), dataset, live or training.Live())


def test_every_trial_is_a_run_with_its_own_recipe(opened: Session, base: Path) -> None:
    best = found(opened, base, space())
    ledger = opened.workspace.ledger
    assert [trial.state for trial in best.trials] == ["complete"] * 4
    for trial in best.trials:
        resolved = ledger.get(ledger.get(trial.run, Run).recipe, Recipe)
        assert resolved.lora == LoraSpec(rank=trial.fields["lora.rank"])
        assert resolved.learning_rate == trial.fields["learning_rate"]
        event = ledger.events(subject=trial.run, verb="finished")[0]
        assert ledger.get(event.body["model"], ModelVersion).figures["validation_loss"] == trial.value
    assert best.value == min(trial.value for trial in best.trials if trial.value is not None)
    assert best.recipe.learning_rate == next(t for t in best.trials if t.run == best.run).fields["learning_rate"]
    assert Recipe.model_validate(yaml.safe_load(yaml.safe_dump(best.recipe.body()))) == best.recipe


def test_a_finished_search_does_nothing_and_goes_on_when_asked_for_more(opened: Session, base: Path) -> None:
    two, again, three = (found(opened, base, space(trials=number)) for number in (2, 2, 3))
    assert again == two
    assert three.trials[:2] == two.trials
    assert len(three.trials) == 3
    assert len(list((opened.workspace.folder / "searches").glob("*.log"))) == 1


def test_the_worse_ones_end_early(opened: Session, base: Path) -> None:
    """Rates that move nothing, after some that do."""
    said: list[str] = []
    asked = {"startup": 1, "warm": 0.1, "trials": 8, "fields": {"learning_rate": {"choices": [1e-2, 1e-6]}}}
    best = found(opened, base, space(**asked), training.Live(said.append), epochs=2)
    pruned = [trial for trial in best.trials if trial.state == "pruned"]
    assert pruned
    assert {trial.fields["learning_rate"] for trial in pruned} == {1e-6}
    assert best.recipe.learning_rate == 1e-2
    ledger = opened.workspace.ledger
    assert ledger.events(subject=pruned[0].run, verb="pruned")[0].body["trial"] == pruned[0].number
    assert f"trial {pruned[0].number} ended early: others did better by then" in said


def test_looks_count_where_there_are_any() -> None:
    lines = [{"step": step, "of": 10, "loss": 9.0} for step in range(1, 6)]
    looks = [{"step": 2, "mean": 0.3, "loss": {"loss": 1.5}}, {"step": 4, "mean": 0.4, "loss": {"loss": 1.2}}]
    assert searches.progress_of(lines, looks, space()) == [(20, 1.5), (40, 1.2)]
    assert searches.progress_of(lines, looks, space(direction="maximize")) == [(20, 0.3), (40, 0.4)]
    assert searches.progress_of(lines, [], space()) == [(10, 9.0), (20, 9.0), (30, 9.0), (40, 9.0)]
    assert searches.progress_of([], [], space()) == []


def test_a_search_for_the_best_answers(opened: Session, base: Path) -> None:
    watch = WatchSpec(every=2, rows=2, max_tokens=2)
    best = found(opened, base, space(trials=2), watch=watch)
    assert [trial.state for trial in best.trials] == ["complete"] * 2


def test_a_trial_that_fails_is_passed_over(opened: Session, base: Path) -> None:
    said: list[str] = []
    asked = space(trials=5, fields={"max_length": {"choices": [16, 300]}})
    best = found(opened, base, asked, training.Live(said.append))
    assert {trial.state for trial in best.trials} == {"complete", "fail"}
    assert best.recipe.max_length == 300
    assert any("failed: 12 of 12 rows are longer than max_length 16" in sentence for sentence in said)


def test_where_all_fail_so_does_the_search(opened: Session, base: Path) -> None:
    with pytest.raises(RunFailed, match="none of 2 trials came to its end"):
        found(opened, base, space(trials=2, fields={"max_length": {"low": 16, "high": 17}}))


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"lora.rnak": {"choices": [1]}}, "lora.rnak: Extra inputs"), ({"epochs": {"choices": [0]}}, "epochs")],
)
def test_a_field_that_no_recipe_has(base: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        with_fields(make_recipe(base), {name: each["choices"][0] for name, each in fields.items()})


@pytest.mark.parametrize(
    "text", ["fields: {}", "fields: {epochs: {low: 2}}", "fields: {epochs: {low: 2, high: 1}}", "[", "no"]
)
def test_a_file_that_asks_for_no_search(tmp_path: Path, text: str) -> None:
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(BadConfig, match=r"space.yaml asks for no search"):
        read_space(tmp_path / "space.yaml")


def searching(folder: Path, base: Path, dies: Callable[[int, int], bool]) -> None:
    """Search in `folder`; in a forked process."""
    session = Session.open(folder)
    trial = [-1]

    def say(sentence: str) -> None:
        trial[0] += sentence.startswith("trial") and "failed" not in sentence

    def mortal(one: Session, run: str, dataset: str, asked: Recipe, live: training.Live) -> ModelVersion | None:
        def halt(lines: Any, looks: Any) -> bool:
            if lines and dies(trial[0], int(lines[-1]["step"])):
                os.kill(os.getpid(), signal.SIGKILL)
            return live.halt(lines, looks)

        return here(one, run, dataset, asked, live._replace(halt=halt))

    training.train_or_halt = mortal
    found(session, base, space(trials=3), training.Live(say), checkpoint_every=1)
    session.close()


def never(trial: int, step: int) -> bool:
    return False


def in_the_second(trial: int, step: int) -> bool:
    return (trial, step) == (1, 2)


def process(*arguments: Any) -> int | None:
    child = FORKS.Process(target=searching, args=arguments)
    child.start()
    child.join(120)
    return child.exitcode


def test_kill_9_in_the_middle_of_a_trial(tmp_path: Path, base: Path) -> None:
    """The same proposals, the same values; the run that was cut off is finished and not begun anew."""
    whole, cut = (project(tmp_path / name) for name in ("whole", "cut"))
    assert process(whole, base, never) == 0
    assert process(cut, base, in_the_second) == KILLED
    with_runs = sorted(path.name for path in (cut / ".luthier" / "runs").iterdir())
    assert len(with_runs) == 2
    assert process(cut, base, never) == 0
    ends = []
    for folder in (whole, cut):
        session = Session.open(folder)
        ends.append(found(session, base, space(trials=3), checkpoint_every=1))
        session.close()
    straight, again = ends
    assert [(t.fields, t.value, t.state) for t in again.trials] == [
        (t.fields, t.value, t.state) for t in straight.trials
    ]
    assert again.recipe == straight.recipe
    assert with_runs == sorted(trial.run for trial in again.trials)[:2]
