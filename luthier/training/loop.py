"""The one training loop: batches, accumulation, clipping, schedule, checkpoints, progress; not what is learnt.

A run is a pure function of (recipe, rows, base, seed): which rows go into which step follows from the seed, dropout
is seeded by the step, so a run that was killed goes on from its newest checkpoint to the same bytes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from luthier.errors import RunFailed
from luthier.progress import Progress
from luthier.records.training import Recipe
from luthier.store.files import replacing, sync
from luthier.training import checkpoint
from luthier.training.batches import Step, micro_batches, plan
from luthier.training.method import Item, Method
from luthier.training.optimiser import Optimiser, rate_at

METRICS = "metrics.jsonl"


class Work(NamedTuple):
    """Everything that a run works on."""

    model: PreTrainedModel
    method: Method
    recipe: Recipe
    """Resolved: without `auto`."""
    items: Sequence[Item]
    validation: Sequence[Item]
    pad: int
    folder: Path
    """Where checkpoints and metrics go."""
    fingerprint: dict[str, str]
    """What has to be the same for a checkpoint to be taken up."""


class Outcome(NamedTuple):
    """What a finished run measured."""

    steps: int
    loss: float
    """Mean over the last tenth of the steps."""
    validation_loss: float | None
    tokens: int
    seconds: float
    """This process alone: a resumed run does not know how long the killed one took."""
    masters: dict[str, torch.Tensor]
    """The trained tensors by name, float32."""


def train(work: Work, progress: Progress) -> Outcome:
    """Run every step that is not behind us. Raises RunFailed at the first loss or gradient that is not finite."""
    steps = plan([len(item.ids) for item in work.items], work.recipe)
    optimiser = Optimiser(work.model, work.recipe)
    work.folder.mkdir(parents=True, exist_ok=True)
    kept = checkpoint.newest(work.folder, work.fingerprint)
    if kept:
        optimiser.load(kept.tensors)
    metrics = read_metrics(work.folder, kept.step if kept else 0)
    began = time.perf_counter()
    for number in range(kept.step if kept else 0, len(steps)):
        metrics.append(one_step(work, optimiser, steps, number))
        with checkpoint.writing("the metrics", work.folder):
            append_metrics(work.folder, metrics[-1])
        done = number + 1
        tell(progress, metrics, done, len(steps))
        if done % work.recipe.checkpoint_every == 0 or done == len(steps):
            sync(work.folder / METRICS)  # a checkpoint never outlives the figures of its steps
            checkpoint.save(work.folder, done, optimiser.state(), work.fingerprint)
    seconds = time.perf_counter() - began
    last = [m["loss"] for m in metrics[-max(1, len(metrics) // 10) :]]
    return Outcome(
        steps=len(steps),
        loss=sum(last) / len(last),
        validation_loss=mean_loss(work, work.validation),
        tokens=int(sum(m["tokens"] for m in metrics)),
        seconds=seconds,
        masters=optimiser.masters,
    )


def one_step(work: Work, optimiser: Optimiser, steps: Sequence[Step], number: int) -> dict[str, float]:
    """Forward and backward over the micro-batches of step `number`, one update, and its figures."""
    began = time.perf_counter()
    torch.manual_seed(work.recipe.seed * 1_000_003 + number)
    work.model.train()
    total, terms, tokens = 0.0, 0, 0
    for micro in steps[number]:
        items = [work.items[i] for i in micro]
        batch = work.method.collate(items, work.pad)
        loss = work.method.loss(work.model, batch)
        torch.autograd.backward(loss.total)
        optimiser.gather()
        total += float(loss.total.detach())
        terms += loss.terms
        tokens += sum(len(item.ids) for item in items)
    rate = rate_at(number, len(steps), work.recipe)
    norm = optimiser.step(terms, rate) if math.isfinite(total) else math.nan
    if not math.isfinite(norm):
        rows = ", ".join(work.items[i].row for micro in steps[number] for i in micro)
        what = "gradient" if math.isfinite(total) else "loss"
        raise RunFailed(
            f"the {what} of step {number + 1} is not finite; its rows are {rows}",
            "look at these rows, or lower learning_rate; the newest checkpoint is still good",
        )
    spent = time.perf_counter() - began
    figures = {"loss": total / terms, "rate": rate, "norm": norm, "tokens": tokens, "seconds": spent}
    return {"step": number + 1, "of": len(steps)} | figures


@torch.no_grad()
def mean_loss(work: Work, items: Sequence[Item]) -> float | None:
    """Loss per learnt token over `items`, or None where there are none."""
    work.model.eval()
    total, terms = 0.0, 0
    assert isinstance(work.recipe.micro_tokens, int)
    lengths = [len(item.ids) for item in items]
    for micro in micro_batches(range(len(items)), lengths, work.recipe.micro_tokens):
        loss = work.method.loss(work.model, work.method.collate([items[i] for i in micro], work.pad))
        total, terms = total + float(loss.total), terms + loss.terms
    return total / terms if terms else None


def tell(progress: Progress, metrics: Sequence[dict[str, float]], done: int, total: int) -> None:
    """Say how far the run is, with the loss and the rate over the last few steps."""
    recent = metrics[-5:]
    speed = sum(m["tokens"] for m in recent) / max(sum(m["seconds"] for m in recent), 1e-9)
    progress("train", done, total, loss=sum(m["loss"] for m in recent) / len(recent), tokens_s=speed)


def read_metrics(folder: Path, upto: int) -> list[dict[str, float]]:
    """The figures of the steps that the checkpoint holds; those of steps that were lost are cut off the file."""
    path = folder / METRICS
    if not path.is_file():
        return []
    kept: list[dict[str, float]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            figures = json.loads(line)
        except ValueError:  # the line that was being written when the process died
            break
        if figures["step"] <= upto:
            kept.append(figures)
    with replacing(path) as file:
        file.writelines(json.dumps(figures).encode() + b"\n" for figures in kept)
    return kept


def append_metrics(folder: Path, figures: dict[str, float]) -> None:
    """Add one line to the file that every reader of progress follows."""
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(figures) + "\n")
