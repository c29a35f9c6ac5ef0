"""Learning from rewards: draw answers, have them marked, make the better ones likelier. What GRPO and RLOO share.

A loop of its own, since its rows are made while it trains: a step draws `samples` answers to each of its prompts with
the weights as they are, grades them, and takes `updates` steps of the optimiser. Steps, checkpoints, metrics and rates
are those of the ordinary loop. With answers drawn in this process a step is a pure function of the checkpoint before
it, and a killed run goes on to the same bytes; with an engine it goes on, but an engine's sums depend on what else is
in its batch. Knows nothing of how marks are made.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from peft import PeftModel
from pydantic import Field

from luthier import plugins
from luthier.errors import BadConfig, RunFailed
from luthier.lm import adapters
from luthier.lm.chat import Chat
from luthier.lm.client import Client
from luthier.lm.pull import folder_digest
from luthier.progress import Progress
from luthier.records.base import Value
from luthier.records.data import Row
from luthier.training import checkpoint, sft
from luthier.training.batches import plan
from luthier.training.graders.grader import Folders, Grade, Grader, Sample, load
from luthier.training.loop import Outcome, Sums, Work, append_metrics, keep, read_metrics, tell
from luthier.training.method import Item, Loss, Method
from luthier.training.optimiser import Optimiser, rate_at
from luthier.training.pieces import Piece, Seen, cut, dealt, divergences, micros, off_policy, said, seen
from luthier.training.rollouts import Answer, Asked, Draw, Engine, Sampler, asked, local, served, stand_in

ADAPTER = "rollout-adapter"
SAME = 1e-6
"""Rewards of a group that differ by less are all equal: nothing can be learnt from them."""


class Options(Value):
    """What the methods that learn from rewards share."""

    grader: dict[str, Any]
    """What marks the answers: `type` names an extension of kind `grader`, the rest is its own."""
    samples: int = Field(default=8, ge=2, le=256)
    """Answers drawn to each prompt."""
    max_tokens: int = Field(default=128, ge=1)
    """Longest answer in tokens."""
    temperature: float = Field(default=1.0, gt=0, le=2)
    """Of the draws; the loss takes the model at the same temperature."""
    beta: float = Field(default=0.04, ge=0)
    """How closely the model is held to what it was: the weight of the KL divergence. 0 lets it go."""
    leash: Literal["auto", "loss", "reward"] = "auto"
    """Where the divergence counts: token by token in the loss (k3), or taken off the reward. `auto`: grpo `loss`,
    rloo `reward`."""
    normalise: Literal["group", "none"] = "group"
    """For grpo: divide advantages by the standard deviation of their group, or leave them in the reward's own unit."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """How far one batch of answers may move a probability, as a share of it."""
    updates: int = Field(default=1, ge=1)
    """Steps of the optimiser on one batch of answers."""
    engine: str = ""
    """Address of an engine of ours (or vLLM) that serves the same base and draws the answers; `$NAME` reads it from
    the environment. Empty: they are drawn in this process."""
    key: str = ""
    """The environment variable that holds the engine's key."""


class Objective(NamedTuple):
    """What makes one method differ from another."""

    advantages: Callable[[torch.Tensor], torch.Tensor]
    """(P, S) rewards → (P, S)."""
    loss: Callable[[Seen, float, float], Loss]
    """Seen, clip, beta → summed loss."""
    leash: Literal["loss", "reward"]


class Marked(NamedTuple):
    """The answers of a step, prompt by prompt, and their marks."""

    asked: list[Asked]
    answers: list[list[Answer]]
    grades: list[list[Grade]]

    def rewards(self) -> torch.Tensor:
        """(P, S) in float32."""
        return torch.tensor([[grade.score for grade in group] for group in self.grades])


class Scene(NamedTuple):
    """Everything that a step needs beside the optimiser."""

    work: Work
    given: Options
    objective: Objective
    asked: Mapping[str, Asked]
    sampler: Sampler
    grader: Grader
    before: Mapping[str, torch.Tensor]
    """The trainable tensors as they were before training."""

    @property
    def most(self) -> int:
        """Tokens that go through the model at once."""
        assert isinstance(self.work.recipe.micro_tokens, int)
        return self.work.recipe.micro_tokens

    @property
    def leash(self) -> str:
        """Where the divergence counts."""
        return self.objective.leash if self.given.leash == "auto" else self.given.leash


def as_method(given: Options, objective: Objective) -> Method:
    """The method that learns `objective`. Graders read words and not ids, so it remembers the rows it prepared."""
    questions: dict[str, Asked] = {}
    chats: list[Chat] = []
    kind = given.grader.get("type")
    if isinstance(kind, str):
        plugins.find("grader", kind)  # a misspelled one is refused before a model is read

    def prepare(row: Row, chat: Chat) -> Item:
        one = asked(row, chat)
        questions[row.id] = one
        chats[:] = [chat]
        return stand_in(row, one, chat)

    def train(work: Work, progress: Progress) -> Outcome:
        return reinforce(scene(work, given, objective, questions, chats[0]), progress)

    return Method(prepare, sft.collate, sft.loss, rate=0.1, train=train)


def scene(work: Work, given: Options, objective: Objective, questions: Mapping[str, Asked], chat: Chat) -> Scene:
    """The sampler and the grader, made ready. Raises BadConfig where an engine cannot serve what is trained."""
    if work.world.size > 1:
        raise BadConfig(
            f"{work.recipe.method} trains in one process, and there are {work.world.size}",
            "start it without torchrun; let an `engine` on other devices draw the answers",
        )
    draw = Draw(given.samples, given.max_tokens, given.temperature, work.recipe.seed)
    workspace = work.folder.parent.parent
    folders = Folders(work.folder / "graders", workspace if (workspace / "ledger.db").is_file() else None)
    before = {name: p.detach().clone() for name, p in work.model.named_parameters() if p.requires_grad}
    pinned = work.fingerprint | {f"grader {path}": folder_digest(Path(path)) for path in folders_in(given.grader)}
    work = work._replace(fingerprint=pinned)
    sampler = served(engine(work, given), chat, draw) if given.engine else local(work.model, chat, draw)
    return Scene(work, given, objective, questions, sampler, load(given.grader, folders), before)


def folders_in(spec: Mapping[str, Any]) -> list[str]:
    """The folders of models that a grader names: a checkpoint is taken up only with the same files in them."""
    own = [value for value in (spec.get("model"),) if isinstance(value, str) and Path(value).is_dir()]
    return own + [path for each in (spec.get("graders") or {}).values() for path in folders_in(each)]


def engine(work: Work, given: Options) -> Engine:
    """The engine at the recipe's address, to be fed this run's adapter."""
    model = work.model
    if not isinstance(model, PeftModel):
        raise BadConfig("an engine takes an adapter, and every weight is trained", "use lora, or leave `engine` out")
    url = os.environ.get(given.engine[1:], "") if given.engine.startswith("$") else given.engine
    stamp = adapters.Stamp(*(work.fingerprint.get(name, "") for name in ("base", "template", "tokenizer")))
    tensors = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def write(folder: Path) -> None:
        with checkpoint.writing("the adapter for the engine", folder):
            adapters.write(model, {name: p.detach().float() for name, p in tensors.items()}, folder, stamp)

    client = Client(url, os.environ.get(given.key, "") if given.key else "", timeout=600.0)
    return Engine(client, f"rollouts-{work.folder.name}", work.folder / ADAPTER, write)


def reinforce(scene: Scene, progress: Progress) -> Outcome:
    """Run every step that is not behind us. Raises RunFailed where a loss or gradient is not finite, or where not one
    answer of the first step could be marked."""
    work = scene.work
    steps = [[i for micro in step for i in micro] for step in plan([len(i.ids) for i in work.items], work.recipe)]
    optimiser = Optimiser(work.model, work.recipe)
    work.folder.mkdir(parents=True, exist_ok=True)
    kept = checkpoint.newest(work.folder, work.fingerprint)
    if kept:
        optimiser.load(kept.tensors)
    done = kept.step if kept else 0
    metrics = read_metrics(work.folder, done)
    began = time.perf_counter()
    for number in range(done, len(steps)):
        rows = [work.items[i].row for i in steps[number]]
        metrics.append({"step": number + 1, "of": len(steps)} | one_step(scene, optimiser, rows, number, len(steps)))
        with checkpoint.writing("the metrics", work.folder):
            append_metrics(work.folder, metrics[-1])
        done = number + 1
        tell(progress, metrics, done, len(steps))
        if done % work.recipe.checkpoint_every == 0 or done == len(steps):
            keep(work, done, optimiser)
        if work.watcher and work.watcher.after(done, len(steps), work.model, optimiser):
            break
    best = work.watcher.best() if work.watcher else None
    if best is not None:
        optimiser.replace(best)
    last = [m["loss"] for m in metrics[-max(1, len(metrics) // 10) :]]
    held_out = mark(scene, [item.row for item in work.validation], len(steps)) if work.validation else None
    return Outcome(
        steps=len(metrics),
        loss=sum(last) / len(last),
        validation=told(held_out) if held_out else {},
        tokens=int(sum(m["tokens"] for m in metrics)),
        seconds=time.perf_counter() - began,
        masters=optimiser.masters,
    )


def one_step(scene: Scene, optimiser: Optimiser, rows: Sequence[str], number: int, of: int) -> dict[str, float]:
    """Draw, mark, and update; the step's figures."""
    work, given = scene.work, scene.given
    began = time.perf_counter()
    marked = mark(scene, rows, number)
    drawn = time.perf_counter() - began
    faults = [grade.fault for group in marked.grades for grade in group if grade.fault]
    if number == 0 and len(faults) == len(rows) * given.samples:
        raise RunFailed(f"no answer of the first step could be marked: {faults[0]}", "mend the grader of the recipe")
    pieces, off = known(scene, optimiser, cut(marked.asked, marked.answers, scene.most))
    rewards_PS = marked.rewards()
    if scene.leash == "reward" and given.beta:
        rewards_PS -= given.beta * torch.tensor(divergences(pieces)).view_as(rewards_PS)
    pieces = dealt(pieces, scene.objective.advantages(rewards_PS).flatten().tolist())
    figures: Counter[str] = Counter()
    torch.manual_seed(work.recipe.seed * 1_000_003 + number)
    for update in range(given.updates):
        rate = rate_at(number * given.updates + update, of * given.updates, work.recipe)
        figures.update(one_update(scene, optimiser, pieces, rate, number))
    means = {name: value / given.updates for name, value in figures.items()}
    tokens = sum(len(piece.item.ids) for piece in pieces) * given.updates
    spent = {"tokens": tokens, "seconds": time.perf_counter() - began, "rollout_seconds": drawn}
    return means | told(marked) | off | spent


def mark(scene: Scene, rows: Sequence[str], step: int) -> Marked:
    """Answers to the prompts of `rows`, with their marks."""
    questions = [scene.asked[row] for row in rows]
    answers = scene.sampler(questions, step)
    samples = [
        Sample(one.messages, answer.text.strip(), one.reference, one.metadata, one.row)
        for one, group in zip(questions, answers, strict=True)
        for answer in group
    ]
    grades = iter(scene.grader(samples))
    return Marked(questions, answers, [[next(grades) for _ in group] for group in answers])


def told(marked: Marked) -> dict[str, float]:
    """What a step's answers were like. `reward` is what the graders gave, without the leash."""
    rewards_PS = marked.rewards()
    answers = [answer for group in marked.answers for answer in group]
    grades = [grade for group in marked.grades for grade in group]
    names = sorted({name for grade in grades for name in grade.parts})
    parts = {f"reward_{name}": sum(g.parts.get(name, 0.0) for g in grades) / len(grades) for name in names}
    lengths = [len(answer.ids) for answer in answers]
    return parts | {
        "reward": float(rewards_PS.mean()),
        "reward_std": float(rewards_PS.std(1).mean()),
        "degenerate": float((rewards_PS.amax(1) - rewards_PS.amin(1) < SAME).sum()) / len(rewards_PS),
        "length": sum(lengths) / len(lengths),
        "drawn": float(sum(lengths)),
        "stopped": sum(answer.stopped for answer in answers) / len(answers),
        "faults": float(sum(bool(grade.fault) for grade in grades)),
    }


def known(scene: Scene, optimiser: Optimiser, pieces: list[Piece]) -> tuple[list[Piece], dict[str, float]]:
    """The pieces with their log-probabilities as they were drawn and before training, as far as a loss needs them,
    and how far off an engine was."""
    work, given = scene.work, scene.given
    figures: dict[str, float] = {}

    def ask(temperature: float) -> list[tuple[float, ...]]:
        return said(work.model, pieces, temperature, scene.most, work.pad)

    if given.engine or given.updates > 1 or (given.beta and scene.leash == "reward"):
        then = ask(given.temperature)
        if given.engine:
            figures = off_policy(pieces, then if given.temperature == 1 else ask(1.0))
        pieces = [piece._replace(then=each) for piece, each in zip(pieces, then, strict=True)]
    if given.beta:
        with untrained(optimiser, scene.before):
            first = ask(given.temperature)
        pieces = [piece._replace(first=each) for piece, each in zip(pieces, first, strict=True)]
    return pieces, figures


@contextlib.contextmanager
def untrained(optimiser: Optimiser, before: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """The model as it was before training, inside the block: the reference costs no second model."""
    with torch.no_grad():
        for name, p in optimiser.params.items():
            p.copy_(before[name])
    try:
        yield
    finally:
        optimiser.round_into_model()


def one_update(
    scene: Scene, optimiser: Optimiser, pieces: Sequence[Piece], rate: float, number: int
) -> dict[str, float]:
    """Forward and backward over all pieces, and one step of the optimiser; the update's figures."""
    work, given = scene.work, scene.given
    work.model.train()
    sums = Sums()
    for micro in micros(pieces, scene.most):
        some = seen(work.model, [pieces[i] for i in micro], given.temperature, work.pad)
        loss = scene.objective.loss(some, given.clip, given.beta if scene.leash == "loss" else 0.0)
        torch.autograd.backward(loss.total)
        optimiser.gather()
        sums.add(loss)
    means, terms, _ = sums.over(work.world)
    norm = optimiser.step(terms, rate) if math.isfinite(means["loss"]) else math.nan
    if not math.isfinite(norm):
        what = "gradient" if math.isfinite(means["loss"]) else "loss"
        rows = ", ".join(sorted({piece.item.row for piece in pieces}))
        raise RunFailed(
            f"the {what} of step {number + 1} is not finite; its rows are {rows}",
            "look at these rows, or lower learning_rate; the newest checkpoint is still good",
        )
    if not given.beta:
        del means["kl"]
    return means | {"rate": rate, "norm": norm}
