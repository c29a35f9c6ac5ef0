"""The one training loop: batches, accumulation, clipping, schedule, checkpoints, progress; not what is learnt.

A run is a pure function of (recipe, rows, base, seed): which rows go into which step follows from the seed, dropout
is seeded by the step, so a run that was killed goes on from its newest checkpoint to the same bytes.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from transformers import PreTrainedModel

from luthier.errors import RunFailed
from luthier.progress import Progress
from luthier.records.training import Recipe
from luthier.store.files import replacing, sync
from luthier.training import checkpoint, machine
from luthier.training.batches import Step, micro_batches, plan
from luthier.training.method import Item, Loss, Method
from luthier.training.optimiser import Optimiser, rate_at
from luthier.training.world import ALONE, World, wholes

METRICS = "metrics.jsonl"


class Watcher(Protocol):
    """Looks at the model while it trains."""

    def after(self, step: int, steps: int, model: PreTrainedModel, optimiser: Optimiser) -> bool:
        """Look behind step `step` (from 1) of `steps`; True ends the run here."""

    def over(self, step: int) -> bool:
        """Whether it has ended the run behind `step`, where a checkpoint was taken up."""

    def best(self) -> dict[str, torch.Tensor] | None:
        """The trained tensors, float32, that did best; None: the last ones."""


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
    watcher: Watcher | None = None
    tidy_above: int = 0
    """Bytes of this process from which on it gives freed memory back behind a step; 0: never."""
    world: World = ALONE


class Outcome(NamedTuple):
    """What a finished run measured."""

    steps: int
    loss: float
    """Mean over the last tenth of the steps."""
    validation: Mapping[str, float]
    """`loss` and the method's other figures over the validation rows; empty where there are none."""
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
    world = work.world
    kept = world.first_before_others(lambda: checkpoint.newest(work.folder, work.fingerprint))
    if kept:
        optimiser.load(kept.tensors)
    metrics = world.first_before_others(lambda: read_metrics(work.folder, kept.step if kept else 0))
    began = time.perf_counter()
    behind = kept.step if kept else 0
    ended = work.watcher is not None and behind > 0 and work.watcher.over(behind)
    for number in range(len(steps) if ended else behind, len(steps)):
        metrics.append(one_step(work, optimiser, steps, number))
        done = number + 1
        if world.first:
            with checkpoint.writing("the metrics", work.folder):
                append_metrics(work.folder, metrics[-1])
            tell(progress, metrics, done, len(steps))
        over = work.watcher is not None and work.watcher.after(done, len(steps), work.model, optimiser)
        if over or done % work.recipe.checkpoint_every == 0 or done == len(steps):
            keep(work, done, optimiser)  # behind the look: a run that is cut off between them looks again
        if over:
            break
        if work.tidy_above and machine.resident() > work.tidy_above:
            machine.give_back()
    best = work.watcher.best() if work.watcher else None
    if best is not None:
        optimiser.replace(best)
    seconds = time.perf_counter() - began
    last = [m["loss"] for m in metrics[-max(1, len(metrics) // 10) :]]
    return Outcome(
        steps=len(metrics),
        loss=sum(last) / len(last),
        validation=mean_loss(work, work.validation),
        tokens=int(sum(m["tokens"] for m in metrics)),
        seconds=seconds,
        masters=wholes(optimiser.masters),
    )


def keep(work: Work, done: int, optimiser: Optimiser) -> None:
    """A checkpoint behind step `done`."""
    state = wholes(optimiser.state())
    if work.world.first:
        sync(work.folder / METRICS)  # a checkpoint never outlives the figures of its steps
        checkpoint.save(work.folder, done, state, work.fingerprint)


def one_step(work: Work, optimiser: Optimiser, steps: Sequence[Step], number: int) -> dict[str, float]:
    """Forward and backward over the micro-batches of step `number`, one update, and its figures."""
    began = time.perf_counter()
    torch.manual_seed(work.recipe.seed * 1_000_003 + number)
    work.model.train()
    sums = Sums()
    order = [i for micro in steps[number] for i in micro]
    known = dict(zip(order, prepared(work, [work.items[i] for i in order]), strict=True))
    for micro, counts in work.world.shares(steps[number]):
        items = [known[i] for i in micro]
        batch = work.method.collate(items, work.pad)
        loss = work.method.loss(work.model, batch)
        torch.autograd.backward(loss.total if counts else loss.total * 0)
        optimiser.gather()
        sums.add(loss, sum(len(item.ids) for item in items), counts=counts)
    means, terms, tokens = sums.over(work.world)
    total = means["loss"]
    work.world.reduce(optimiser.gradients())
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
    figures = {"loss": total, "rate": rate, "norm": norm, "tokens": tokens, "seconds": spent}
    return {"step": number + 1, "of": len(steps)} | figures | {n: mean for n, mean in means.items() if n != "loss"}


def prepared(work: Work, items: Sequence[Item]) -> Sequence[Item]:
    """The items of a step with what the method wants to know of all of them together: every process sees them all."""
    each_step = work.method.each_step
    return each_step(work.model, items, work.recipe, work.pad) if each_step else items


class Sums:
    """Loss and figures of some micro-batches, until they are divided by their terms."""

    def __init__(self) -> None:
        self.figures: Counter[str] = Counter()
        self.terms = 0
        self.tokens = 0

    def add(self, loss: Loss, tokens: int = 0, *, counts: bool = True) -> None:
        """Add one micro-batch; one that does not count only says which figures there are."""
        share = float(counts)
        figures = {"loss": float(loss.total.detach()), **loss.figures}
        self.figures.update({name: value * share for name, value in figures.items()})
        self.terms += loss.terms if counts else 0
        self.tokens += tokens if counts else 0

    def over(self, world: World) -> tuple[dict[str, float], int, int]:
        """Means over every process's terms, the terms, and the tokens."""
        sums = world.totals({**self.figures, " terms": self.terms, " tokens": self.tokens})
        terms, tokens = int(sums.pop(" terms")), int(sums.pop(" tokens"))
        return {name: value / terms for name, value in sums.items()}, terms, tokens


@torch.no_grad()
def mean_loss(work: Work, items: Sequence[Item]) -> dict[str, float]:
    """Loss and the method's other figures over `items`, a term's mean; empty where there are none."""
    if not items:
        return {}
    work.model.eval()
    sums = Sums()
    assert isinstance(work.recipe.micro_tokens, int)
    items = prepared(work, items)
    lengths = [len(item.ids) for item in items]
    for micro, counts in work.world.shares(micro_batches(range(len(items)), lengths, work.recipe.micro_tokens)):
        sums.add(work.method.loss(work.model, work.method.collate([items[i] for i in micro], work.pad)), counts=counts)
    return sums.over(work.world)[0]


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
