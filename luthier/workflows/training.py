"""Dataset + recipe → model version, in a child process whose progress is read from the metrics that it writes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from subprocess import Popen

from luthier.progress import Progress
from luthier.records.base import happening_id
from luthier.records.project import Project
from luthier.records.training import ModelVersion, Recipe, Run
from luthier.workflows import child
from luthier.workflows.session import Session

METRICS = "metrics.jsonl"
EVERY = 0.3
"""Seconds between two looks at the metrics."""
RECENT = 5
"""Steps that the shown loss and speed are averaged over."""


def recipe(project: Project) -> Recipe:
    """The recipe that the project file asks for."""
    part = project.training.model_dump(exclude={"most_rows", "questions_per_row", "unanswerable"})
    return Recipe(name=project.name, base=project.base, **part)


def new_run_id() -> str:
    """The id of a run that is about to begin."""
    return happening_id("run", time.time_ns() // 1_000_000, os.urandom(10))


def train(session: Session, run: str, dataset: str, asked: Recipe) -> ModelVersion:
    """Train in a child process. With the id of a run that was cut off, it goes on from its newest checkpoint."""
    ledger = session.workspace.ledger
    folder = session.workspace.folder / "runs" / run
    log = folder / "output.log"
    arguments = ["--workspace", str(session.workspace.folder), "--run", run]
    arguments += ["--recipe", ledger.put(asked, session.by), "--dataset", dataset, "--name", session.project.name]
    session.progress("train", 0, 0)
    with child.running("luthier.training", arguments, log) as process:
        follow(process, folder / METRICS, session.progress)
        child.require_success(process, log, f"training run {run}")
    finished = ledger.events(subject=run, verb="finished")[-1]
    return ledger.get(finished.body["model"], ModelVersion)


def follow(process: Popen[bytes], metrics: Path, progress: Progress) -> None:
    """Tell the progress of the run until the process ends."""
    while process.poll() is None:
        time.sleep(EVERY)
        lines = tail(metrics)
        if lines:
            spent = sum(line["seconds"] for line in lines)
            loss = sum(line["loss"] for line in lines) / len(lines)
            tokens_s = sum(line["tokens"] for line in lines) / max(spent, 1e-9)
            progress("train", int(lines[-1]["step"]), int(lines[-1]["of"]), loss=loss, tokens_s=tokens_s)


def tail(metrics: Path) -> list[dict[str, float]]:
    """The last few whole lines of the metrics."""
    if not metrics.is_file():
        return []
    whole = metrics.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()[-RECENT:] if line]


def dataset_of(session: Session, run: str) -> str:
    """The dataset that a run was started on."""
    return session.workspace.ledger.get(run, Run).dataset
