"""Figures for other programs: written whole, and read back by those programs themselves where they are installed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from luthier.errors import Missing
from luthier.training.trackers import Csv, MLflow, TensorBoard, WandB, figures

RUN = "run-0123456789abcdefghjkmnpqrs"


def line(step: int, loss: float, **more: float) -> dict[str, float]:
    return {"step": step, "of": 3, "loss": loss, "tokens": 100, "seconds": 0.5, **more}


LINES = [line(1, 3.0), line(2, 2.0, margin=0.1), line(3, 1.0, margin=0.2)]


def test_csv_has_every_figure(tmp_path: Path) -> None:
    tracker = Csv(tmp_path, RUN)
    tracker(LINES[:1])
    tracker(LINES[1:])
    tracker([line(2, 2.5)])  # taken up again: the later one counts
    tracker.close()
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert [row["loss"] for row in rows] == ["3.0", "2.5", "1.0"]
    assert [row["margin"] for row in rows] == ["", "", "0.2"]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_what_is_drawn() -> None:
    assert figures(LINES[1]) == {"loss": 2.0, "tokens": 100, "seconds": 0.5, "margin": 0.1, "tokens_s": 200}


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = TensorBoard(tmp_path, RUN)
    tracker(LINES)
    tracker.close()
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(each.step, each.value) for each in read.Scalars("loss")] == [(1, 3.0), (2, 2.0), (3, 1.0)]


def test_mlflow_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    tracker = MLflow(tmp_path, RUN)
    tracker(LINES)
    tracker.close()
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert [(each.step, each.value) for each in client.get_metric_history(tracker.run, "loss")] == [
        (1, 3),
        (2, 2),
        (3, 1),
    ]
    assert client.get_run(tracker.run).info.run_name == RUN


def test_wandb_stays_on_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    tracker = WandB(tmp_path, RUN)
    tracker(LINES)
    tracker.close()
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))


@pytest.mark.parametrize(("module", "tracker"), [("tensorboard", TensorBoard), ("mlflow", MLflow), ("wandb", WandB)])
def test_what_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, module: str, tracker: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == module] or [module]:
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    with pytest.raises(Missing, match=rf"{module} is not installed: .*luthier\[{module}\]"):
        tracker(tmp_path, RUN)
