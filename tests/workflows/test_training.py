"""A run followed by the files that it writes: what is told, shown, tracked and halted; a recipe's file; an estimate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthier.errors import BadConfig, LuthierError, Missing, UnknownName
from luthier.records.training import LoraSpec, ModelVersion, Recipe, WatchSpec
from luthier.workflows import estimate, training
from luthier.workflows.estimate import Prices
from luthier.workflows.session import Session
from tests.tiny import tiny_model
from tests.training.making import make_recipe, put_dataset, some_rows

RUN = "run-0123456789abcdefghjkmnpqrs"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


class Told:
    """Collects what a run's followers are told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[tuple[int, int, dict[str, float]]] = []
        self.tracked: list[dict[str, float]] = []
        self.closed = 0

    def progress(self, task: str, done: int, total: int, /, **figures: float) -> None:
        if task == "train" and total:
            self.shown.append((done, total, figures))

    def __call__(self, lines: Any, /) -> None:
        self.tracked += lines

    def close(self) -> None:
        self.closed += 1


def test_a_run_in_a_process_of_its_own_is_told_shown_and_tracked(session: Session, base: Path) -> None:
    told = Told()
    opened = Session(session.project, session.root, session.workspace, told.progress)
    dataset = put_dataset(session.workspace, some_rows(12, 3))
    asked = make_recipe(base, epochs=1, watch=WatchSpec(every=2, rows=2, max_tokens=4), learning_rate="auto")
    number = training.new_run_id()
    trackers = [*training.trackers(opened, number, ()), told]
    model = training.train(opened, number, dataset, asked, training.Live(told.said.append, trackers))
    assert isinstance(model, ModelVersion)
    assert [line["step"] for line in told.tracked] == [1, 2, 3]
    assert told.closed == 1
    assert told.shown[-1][:2] == (3, 3)
    assert 0 < told.shown[-1][2]["utilisation"] < 1
    assert told.said[0] == "learning_rate 0.001: an adapter takes about ten times the rate of full training"
    assert any(" tokens read = " in sentence and "12 rows" in sentence for sentence in told.said)
    looks = [sentence for sentence in told.said if sentence.startswith("step ")]
    assert [look.partition(":")[0] for look in looks] == ["step 2", "step 3"]
    assert "over 2 validation rows, loss " in looks[0]
    assert "\n  asked   And on day 12?\n  answers " in looks[0]
    assert "\n  wanted  It costs 8 EUR and arrives within five working days." in looks[0]
    folder = session.workspace.folder / "runs" / number
    assert len((folder / "metrics.csv").read_text().splitlines()) == 4


def teller(session: Session, told: Told, **live: Any) -> training.Teller:
    opened = Session(session.project, session.root, session.workspace, told.progress)
    (session.workspace.folder / "runs" / RUN).mkdir(parents=True, exist_ok=True)
    return training.Teller(opened.workspace, RUN, opened.progress, training.Live(told.said.append, (told,), **live))


def write(session: Session, *steps: int, tail: str = "") -> None:
    path = session.workspace.folder / "runs" / RUN / training.METRICS
    lines = [{"step": step, "of": 9, "loss": 10.0 - step, "tokens": 50, "seconds": 0.5} for step in steps]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)


def test_only_what_is_new_is_told_and_a_half_line_waits(session: Session) -> None:
    told = Told()
    reads = teller(session, told)
    assert not reads.tell()
    write(session, 1, 2, tail='{"step": 3')
    reads.tell()
    reads.tell()
    write(session, 1, 2, 3)
    reads.tell()
    assert [line["step"] for line in told.tracked] == [1, 2, 3]
    assert [done for done, _, _ in told.shown] == [2, 3]
    assert told.shown[-1][2] == {"loss": 8.0, "tokens_s": 100.0}


def test_a_run_that_is_taken_up_again_tells_its_steps_again(session: Session) -> None:
    told = Told()
    reads = teller(session, told)
    write(session, 1, 2, 3)
    reads.tell()
    write(session, 1, 2)
    reads.tell()
    assert [done for done, _, _ in told.shown] == [3, 2]


def test_utilisation_is_of_what_the_machine_was_measured_at(session: Session) -> None:
    told = Told()
    reads = teller(session, told)
    session.workspace.ledger.tell(RUN, "checked", {"pace": {"rate": 4000, "operations": 10}, "said": ["a", "b"]})
    write(session, 1)
    reads.tell()
    assert told.said == ["a", "b"]
    assert told.shown[-1][2]["utilisation"] == 0.25


def test_whoever_follows_may_end_the_run(session: Session) -> None:
    told = Told()
    reads = teller(session, told, halt=lambda lines, looks: len(lines) > 1)
    write(session, 1)
    assert not reads.tell()
    write(session, 1, 2)
    assert reads.tell()


def test_a_child_that_fails_is_its_error(session: Session, base: Path) -> None:
    dataset = put_dataset(session.workspace, some_rows(4, 0))
    told = Told()
    asked = make_recipe(base / "nowhere")
    with pytest.raises(LuthierError, match="nowhere"):
        training.train(session, training.new_run_id(), dataset, asked, training.Live(trackers=(told,)))
    assert told.closed == 1


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("learning_rat: 1", UnknownName, "'learning_rat': there is: learning_rate"),
        ("lora: {rank: 0}", BadConfig, "lora.rank"),
        ("[]", BadConfig, "holds no settings"),
        ("{", BadConfig, "no recipe that can be read"),
    ],
)
def test_a_file_that_is_no_recipe(
    session: Session, tmp_path: Path, text: str, error: type[Exception], said: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(error, match=said):
        training.read_recipe(tmp_path / "mine.yaml", session.project)


def test_a_recipe_without_a_base_is_for_the_projects(session: Session, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("lora: {rank: 2}\nepochs: 3\n")
    found = training.read_recipe(tmp_path / "mine.yaml", session.project)
    assert found == Recipe(name="mine", base=session.project.base, lora=LoraSpec(rank=2), epochs=3)


def test_an_estimate_with_its_price(session: Session, base: Path) -> None:
    dataset = put_dataset(session.workspace, some_rows(12, 3))
    asked = make_recipe(base, epochs=1)
    here = estimate.quote(session, asked, dataset, None, Prices(watts=100, kilowatt_hour=0.5, hour=2))
    assert here.kilowatt_hours == pytest.approx(0.1 * here.found.pace.seconds / 3600)
    assert here.cost == pytest.approx(here.kilowatt_hours * 0.5 + 2 * here.found.pace.seconds / 3600)
    assert here.recipe.recompute is False
    text = estimate.spelled(here)
    assert "3 steps" in text
    assert "100 W" in text
    assert "does not fit" not in text
    assert "recompute False: the run needs" in text
    there = estimate.quote(session, asked, None, "l4", Prices())
    assert (there.found.device, there.watts) == ("l4", 72 + estimate.IDLE_WATTS)


def test_without_a_dataset_there_is_nothing_to_estimate(session: Session) -> None:
    with pytest.raises(Missing, match="no dataset"):
        estimate.newest(session, None)


@pytest.mark.parametrize(("seconds", "said"), [(5, "5 s"), (600, "10 min"), (36000, "10.0 h")])
def test_durations(seconds: float, said: str) -> None:
    assert estimate.spelled_time(seconds) == said
