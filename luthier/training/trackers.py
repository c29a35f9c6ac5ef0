"""Figures of a run for other programs' eyes: CSV, TensorBoard, MLflow, Weights & Biases.

A tracker is given the lines of `metrics.jsonl` by whoever follows a run; training knows of none, so none can stop it.
An extension of kind `tracker` is a callable `tracker(folder, run) -> Tracker`. Nothing leaves the machine: MLflow
writes to the folder unless MLFLOW_TRACKING_URI says otherwise, and W&B stays offline unless WANDB_MODE does.
Knows nothing of torch.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from luthier.errors import Missing
from luthier.store.files import replacing

Line = Mapping[str, float]
"""One step: `step`, `of`, `loss`, `rate`, `tokens`, `seconds` and the method's own figures."""
BOOKED = ("step", "of")
"""What places a line and is no figure."""


class Tracker(Protocol):
    """Shows a run's figures somewhere."""

    def __call__(self, lines: Sequence[Line], /) -> None:
        """Take the newest lines. After a run was taken up again, steps may come a second time: the last one counts."""

    def close(self) -> None:
        """The run is over."""


class Csv:
    """`metrics.csv` beside `metrics.jsonl`: one row a step, rewritten whole, so that it is never torn."""

    def __init__(self, folder: Path, run: str) -> None:
        self.path = folder / "metrics.csv"
        self.rows: dict[float, Line] = {}

    def __call__(self, lines: Sequence[Line], /) -> None:
        self.rows |= {line["step"]: line for line in lines}
        columns = list(dict.fromkeys(name for line in self.rows.values() for name in line))
        with replacing(self.path) as file:
            texts: list[str] = []
            writer = csv.DictWriter(Lines(texts), columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(line for _, line in sorted(self.rows.items()))
            file.write("".join(texts).encode())

    def close(self) -> None:
        """Every line is on the disk already."""


class Lines:
    """Collects what a csv writer writes."""

    def __init__(self, texts: list[str]) -> None:
        self.write = texts.append


class TensorBoard:
    """Event files in `tensorboard/`. Needs the extra `tensorboard`."""

    def __init__(self, folder: Path, run: str) -> None:
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise lacking("tensorboard") from error
        self.event, self.summary = Event, Summary
        self.writer = EventFileWriter(str(folder / "tensorboard"))

    def __call__(self, lines: Sequence[Line], /) -> None:
        for line in lines:
            values = [self.summary.Value(tag=name, simple_value=value) for name, value in figures(line).items()]
            self.writer.add_event(self.event(step=int(line["step"]), summary=self.summary(value=values)))
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class MLflow:
    """A run of MLflow's, in `mlflow/` below the run's folder. Needs the extra `mlflow`."""

    def __init__(self, folder: Path, run: str) -> None:
        try:
            from mlflow.entities import Metric
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise lacking("mlflow") from error
        self.metric: Any = Metric
        where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
        self.client = MlflowClient(tracking_uri=where)
        experiment = self.client.get_experiment_by_name("luthier")
        number = experiment.experiment_id if experiment else self.client.create_experiment("luthier")
        self.run = self.client.create_run(number, run_name=run).info.run_id

    def __call__(self, lines: Sequence[Line], /) -> None:
        values = [
            self.metric(name, value, 0, int(line["step"])) for line in lines for name, value in figures(line).items()
        ]
        self.client.log_batch(self.run, metrics=values)

    def close(self) -> None:
        self.client.set_terminated(self.run)


class WandB:
    """A run of Weights & Biases', offline in `wandb/` below the run's folder. Needs the extra `wandb`."""

    def __init__(self, folder: Path, run: str) -> None:
        try:
            import wandb
        except ImportError as error:
            raise lacking("wandb") from error
        mode: Any = os.environ.get("WANDB_MODE") or "offline"
        self.run = wandb.init(project="luthier", name=run, id=run, dir=str(folder), mode=mode)

    def __call__(self, lines: Sequence[Line], /) -> None:
        for line in lines:
            self.run.log(figures(line), step=int(line["step"]))

    def close(self) -> None:
        self.run.finish()


def figures(line: Line) -> dict[str, float]:
    """What is to be drawn of a line, with the rate of tokens."""
    drawn = {name: value for name, value in line.items() if name not in BOOKED}
    if line.get("seconds"):
        drawn["tokens_s"] = line["tokens"] / line["seconds"]
    return drawn


def lacking(extra: str) -> Missing:
    """The error for a program that is not installed."""
    return Missing(f"{extra} is not installed", f"install it with: pip install 'luthier[{extra}]'")
