"""Looks at the model while it trains: answers questions of the validation rows, marks them, and keeps the best weights.

Every look is a line of `watch.jsonl` and, where it was the best so far, a file of weights; nothing is kept in memory.
So a run that was killed decides as if it had not been: looks behind the checkpoint that it goes on from are made
again, and give the same. Knows nothing of losses and steps; how answers are marked is an extension of kind `scorer`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from luthier import plugins
from luthier.errors import BadConfig, RunFailed
from luthier.lm.chat import Chat
from luthier.records.data import Row
from luthier.records.evaluation import Question
from luthier.records.knowledge import Citation
from luthier.records.serving import Ending
from luthier.records.training import WatchSpec
from luthier.store.files import replacing, sync
from luthier.training.answering import greedy
from luthier.training.checkpoint import file_sha256, writing
from luthier.training.loop import Work, mean_loss
from luthier.training.optimiser import Optimiser
from luthier.training.world import wholes

LOOKS = "watch.jsonl"
SHOWN = 3
"""Answers that a look keeps, to be read by people."""
KEPT = 2
"""Files of weights that stay: the best, and the best before it."""


class Answered(NamedTuple):
    """What the model said, as scorers take it."""

    text: str
    ending: Ending = "answered"
    citations: tuple[Citation, ...] = ()
    milliseconds: float = 0.0
    tokens: int = 0
    trace: str | None = None
    draft: str = ""


class Asked(NamedTuple):
    """A validation row as a question: the prompt's ids, and what a right answer is."""

    prompt: list[int]
    question: Question


class Look(NamedTuple):
    """What was seen behind a step."""

    step: int
    mean: float
    """Of the marks, over the rows that the scorer applies to."""
    n: int
    loss: dict[str, float]
    """Loss over the validation rows, and the method's other figures."""
    weights: str
    """sha256 of the file of weights where this look was the best so far, else empty."""
    samples: list[dict[str, Any]]


class Watch:
    """The `Watcher` of a run whose recipe says `watch`."""

    def __init__(
        self,
        spec: WatchSpec,
        asked: Sequence[Asked],
        chat: Chat,
        work: Work,
        tell: Callable[[Look], None] = lambda look: None,
    ) -> None:
        self.spec, self.asked, self.chat, self.work, self.tell = spec, asked, chat, work, tell
        self.folder = work.folder
        self.scorer = plugins.find("scorer", spec.scorer)

    def after(self, step: int, steps: int, model: PreTrainedModel, optimiser: Optimiser) -> bool:
        """Look at every `every`th step and at the last; True where patience has run out."""
        if step % self.spec.every and step != steps:
            return False
        before = [look for look in self.looks() if look.step < step]
        mean, n, samples = self.mark(model)
        best = max((look.mean for look in before), default=None)
        better = best is None or mean > best
        masters = wholes(optimiser.masters) if better else {}
        loss = mean_loss(self.work, self.work.validation)
        if self.work.world.first:
            look = Look(step, mean, n, loss, self.keep(step, masters) if better else "", samples)
            with writing("the looks", self.folder), replacing(self.folder / LOOKS) as file:
                file.writelines(json.dumps(each._asdict()).encode() + b"\n" for each in (*before, look))
            self.tell(look)
        self.work.world.wait()  # the others read what the first has written
        return self.over(step)

    def over(self, step: int) -> bool:
        """Whether the run has ended behind `step`, as far as the looks until then say."""
        looks = [look for look in self.looks() if look.step <= step]
        since = next((n for n, look in enumerate(reversed(looks)) if look.weights), 0)
        return self.spec.patience is not None and since >= self.spec.patience

    def best(self) -> dict[str, torch.Tensor] | None:
        """The weights of the best look. Raises RunFailed where their file is not what was written."""
        looks = [look for look in self.looks() if look.weights]
        if not looks:
            return None
        path = self.folder / named(looks[-1].step)
        if not path.is_file() or file_sha256(path) != looks[-1].weights:
            raise RunFailed(f"{path} is not what the look at step {looks[-1].step} wrote", "start a new run")
        weights: dict[str, torch.Tensor] = load_file(path)
        return weights

    def looks(self) -> list[Look]:
        """Every look so far, in order."""
        path = self.folder / LOOKS
        if not path.is_file():
            return []
        return [Look(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]

    def mark(self, model: PreTrainedModel) -> tuple[float, int, list[dict[str, Any]]]:
        """Mean mark, how many rows were marked, and a few answers. Raises BadConfig where the scorer marks none."""
        answers = greedy(model, [each.prompt for each in self.asked], self.chat, self.spec.max_tokens)
        marks: list[float] = []
        samples: list[dict[str, Any]] = []
        for (_, question), ids in zip(self.asked, answers, strict=True):
            text = str(self.chat.tokenizer.decode(ids, skip_special_tokens=True)).strip()
            mark = self.scorer(question, Answered(text, tokens=len(ids), draft=text))
            if mark is not None:
                marks.append(float(mark))
            said = {"row": question.id, "question": question.question, "wanted": question.reference}
            samples.append(said | {"answer": text, "mark": mark})
        if not marks:
            raise BadConfig(
                f"the scorer {self.spec.scorer!r} marks none of the {len(self.asked)} validation rows",
                "rows have a reference and no facts: watch with `f1` or `exact`",
            )
        return sum(marks) / len(marks), len(marks), samples[:SHOWN]

    def keep(self, step: int, masters: dict[str, torch.Tensor]) -> str:
        """Write the trained tensors, whole or not at all, and return their sha256."""
        final = self.folder / named(step)
        aside = final.with_name(f".{final.name}.part")
        with writing(f"the best weights, of step {step},", self.folder):
            save_file(masters, aside)
            sync(aside)
            aside.replace(final)
            sync(self.folder)
        for old in sorted(self.folder.glob("best-*.safetensors"))[:-KEPT]:
            old.unlink()
        return file_sha256(final)


def named(step: int) -> str:
    """The file of the weights behind `step`."""
    return f"best-{step:06d}.safetensors"


def as_questions(rows: Sequence[Row], chat: Chat) -> list[Asked]:
    """The last assistant turn of each row as a question whose answer is known; rows without one are left out."""
    asked: list[Asked] = []
    for row in rows:
        turns = [turn for turn, message in enumerate(row.messages) if message.role == "assistant" and message.content]
        if not turns:
            continue
        before, answer = row.messages[: turns[-1]], row.messages[turns[-1]]
        said = next((message.content for message in reversed(before) if message.role == "user"), "")
        question = Question(id=row.id, question=said, reference=answer.content, language=row.language or "en")
        asked.append(Asked(chat.prompt_ids(before, row.tools), question))
    return asked


def watched(work: Work, rows: Sequence[Row], chat: Chat, tell: Callable[[Look], None] = lambda look: None) -> Work:
    """`work` with the watcher that its recipe asks for. Raises BadConfig where no validation row can be answered."""
    spec = work.recipe.watch
    if spec is None:
        return work
    asked = as_questions(rows, chat)[: spec.rows]
    if not asked:
        raise BadConfig("watch answers validation rows, and there are none", "raise data.validation, or take watch out")
    return work._replace(watcher=Watch(spec, asked, chat, work, tell))
