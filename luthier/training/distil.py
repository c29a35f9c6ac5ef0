"""Distillation: a small model learns to speak like a large one, the teacher.

From a model on this machine, token by token: mix * cross-entropy of the row's answer + (1 - mix) * T^2 *
KL(teacher || student), the distributions at temperature T (Hinton et al. 2015, arXiv:1503.02531). Of the teacher's the
`top` likeliest tokens are kept, and all others count as one: never more than the whole divergence, and equal to it with
all kept. From a server: its answers take the place of the rows' (Kim and Rush 2016, arXiv:1606.07947), learnt as
supervised fine-tuning does; with `top`, token by token as well.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from pydantic import Field, model_validator
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from luthier.errors import BadConfig, BadData
from luthier.lm.chat import Chat
from luthier.lm.client import Client
from luthier.lm.load import load_model
from luthier.lm.pull import folder_digest, local
from luthier.progress import Progress
from luthier.records.base import Value
from luthier.records.data import Message, Row
from luthier.training import loop, sft, teacher
from luthier.training.loop import Outcome, Work
from luthier.training.method import Batch, Item, Loss, Method, understood
from luthier.training.rollouts import Asked, asked, stand_in

TOP = 32
SMALLEST = 1e-6
"""Least probability of all tokens that were not kept: its logarithm has to stay a number."""
log = logging.getLogger(__name__)


class Options(Value):
    """What `options` of a recipe may say."""

    teacher: str = ""
    """A name in the catalogue of base models, or a folder: with the student's tokenizer."""
    url: str = ""
    """In place of it, the address of an OpenAI-shaped server that answers the prompts."""
    model: str = ""
    """The teacher's name at that address."""
    key: str = ""
    """The environment variable that holds the server's key."""
    temperature: float = Field(default=1.0, gt=0)
    """Above 1 the teacher's lesser choices weigh more."""
    mix: float = Field(default=0.5, ge=0, le=1)
    """Share of the ordinary loss on the answer itself; the rest is the divergence from the teacher."""
    top: int | None = Field(default=None, ge=0)
    """Likeliest tokens of the teacher that are kept at each place. Left out: 32 of a model, 0 (its text alone) of a
    server."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest answer of a server in tokens; rows whose answer is cut there are left out."""

    @model_validator(mode="after")
    def one_teacher(self) -> Options:
        """Either a model or a server, and what goes with it."""
        if bool(self.teacher) == bool(self.url):
            raise ValueError("give `teacher` (a model or folder) or `url` and `model`, and not both")
        if self.url and not self.model:
            raise ValueError("`url` needs `model`: the teacher's name there")
        if self.url and self.temperature != 1:
            raise ValueError("a server tells its choices at temperature 1 alone")
        if self.teacher and self.top == 0:
            raise ValueError("a teacher of which nothing is kept teaches nothing: raise `top`")
        return self

    @property
    def kept(self) -> int:
        """How many of the likeliest tokens are kept."""
        return (TOP if self.teacher else 0) if self.top is None else self.top


class Taught(NamedTuple):
    """A batch with what the teacher says at each of its N learnt tokens."""

    rows: tuple[str, ...]
    batch: Batch
    ids_NK: torch.Tensor
    said_NK: torch.Tensor


def divergence(logits_NV: torch.Tensor, ids_NK: torch.Tensor, said_NK: torch.Tensor) -> torch.Tensor:
    """KL(teacher || student) at N places, (N,), from the student's logits and what was kept of the teacher's
    log-probabilities. What was not kept counts as one outcome.
    """
    ours_NK = logits_NV.log_softmax(-1).gather(1, ids_NK)
    likely_NK = said_NK.exp()
    kept_N = (likely_NK * (said_NK - ours_NK)).sum(1)
    if ids_NK.shape[1] == logits_NV.shape[1]:
        return kept_N
    theirs_N = (1 - likely_NK.sum(1)).clamp(min=0)
    rest_N = (1 - torch.where(likely_NK > 0, ours_NK.exp(), 0).sum(1)).clamp(min=SMALLEST)
    return kept_N + theirs_N * (theirs_N.clamp(min=SMALLEST).log() - rest_N.log())


def loss(model: PreTrainedModel, batch: Batch | Taught, given: Options) -> Loss:
    """Summed over learnt tokens. Before the teacher has spoken, in the pre-flight, the ordinary loss alone."""
    if isinstance(batch, Batch):
        return sft.loss(model, batch)
    targets_N, ids_NK, said_NK = (t.to(model.device) for t in (batch.batch.targets_N, batch.ids_NK, batch.said_NK))
    logits_NV = teacher.logits(model, batch.batch.ids_BT, batch.batch.predicting_N)
    hard = cross_entropy(logits_NV, targets_N, reduction="sum")
    soft = divergence(logits_NV / given.temperature, ids_NK, said_NK).sum()
    total = given.mix * hard + (1 - given.mix) * given.temperature**2 * soft
    return Loss(total, len(targets_N), {"hard": float(hard.detach()), "kl": float(soft.detach())})


def method(options: Mapping[str, Any]) -> Method:
    """Distillation."""
    given = understood(Options, options, "distil")
    rows: dict[str, Asked] = {}
    chats: list[Chat] = []
    said: list[teacher.Likeliest] = []

    def prepare(row: Row, chat: Chat) -> Item:
        chats[:] = [chat]
        if not given.url:
            return sft.prepare(row, chat)
        rows[row.id] = asked(row, chat)
        return stand_in(row, rows[row.id], chat)

    def collate(items: Sequence[Item], pad: int) -> Batch | Taught:
        batch = sft.collate(items, pad)
        if not (said and all(item.known for item in items)):
            return batch
        counts = [sum(item.learnt[1:]) for item in items]
        places = [
            n
            for item, count in zip(items, counts, strict=True)
            for n in range(int(item.known[0]), int(item.known[0]) + count)
        ]
        ids_NK, said_NK = (torch.from_numpy(array[places]) for array in said[0])
        return Taught(batch.rows, batch, ids_NK.long(), said_NK)

    def train(work: Work, progress: Progress) -> Outcome:
        items = [*work.items, *work.validation]
        if given.url:
            asking = [rows[item.row] for item in items]
            answered = work.world.first_before_others(
                lambda: teacher.answers(server(given), asking, chats[0], work.folder)
            )
            items, told = learnt(items, [answered[item.row] for item in items], rows, chats[0], work)
            if given.kept:
                said[:] = [teacher.as_arrays(told, given.kept)]
        else:
            work = pinned(work, given, chats[0])
            spoken = items
            said[:] = [work.world.first_before_others(lambda: from_model(work, spoken, given))]
        if said:
            items = teacher.pointed(items)
        ours = {item.row for item in work.items}
        apart = [item for item in items if item.row in ours], [item for item in items if item.row not in ours]
        return loop.train(work._replace(items=apart[0], validation=apart[1]), progress)

    return Method(prepare, collate, lambda model, batch: loss(model, batch, given), train=train)


def pinned(work: Work, given: Options, chat: Chat) -> Work:
    """`work` with the teacher among what a checkpoint is held against. Raises BadConfig for another tokenizer."""
    folder = local(given.teacher)
    theirs = Chat.load(folder).tokenizer_digest
    if theirs != chat.tokenizer_digest:
        raise BadConfig(
            f"the teacher {given.teacher} has another tokenizer than the student {work.recipe.base}: "
            "their tokens cannot be compared",
            "take a teacher of the student's family, or serve it and give its address as `url`, to learn from its text",
        )
    return work._replace(fingerprint=work.fingerprint | {"teacher": folder_digest(folder)})


def from_model(work: Work, items: Sequence[Item], given: Options) -> teacher.Likeliest:
    """What the teacher says of all rows; it is in memory no longer than it speaks."""
    folder = work.folder / f"teacher-{work.fingerprint['teacher'][:12]}"
    if kept := teacher.read(folder):
        return kept
    assert isinstance(work.recipe.micro_tokens, int)
    vocabulary = int(work.model.get_input_embeddings().weight.shape[0])
    asking = teacher.Asking(given.kept, given.temperature, vocabulary, work.recipe.micro_tokens)
    model = load_model(local(given.teacher), work.recipe.dtype, attention=work.model.config._attn_implementation)
    return teacher.likeliest(model, items, asking, folder)


def server(given: Options) -> teacher.Server:
    """The teacher at the recipe's address."""
    client = Client(given.url, os.environ.get(given.key, "") if given.key else "", timeout=600.0)
    return teacher.Server(client, given.model, given.max_tokens, given.kept)


def learnt(
    items: Sequence[Item], told: Sequence[teacher.Answered], rows: Mapping[str, Asked], chat: Chat, work: Work
) -> tuple[list[Item], list[teacher.Answered]]:
    """The rows with the teacher's answers in place of their own. Answers that are cut, empty or too long are left out
    and counted. Raises BadData where none is left to train on."""
    made: list[tuple[Item, teacher.Answered]] = []
    for item, each in zip(items, told, strict=True):
        one = rows[item.row]
        if each.finish != "stop" or not each.text.strip():
            continue
        if each.ids:
            ids = one.ids + each.ids
        else:
            ids = chat.training_ids((*one.messages, Message(role="assistant", content=each.text.strip()))).ids
        if len(ids) <= work.recipe.max_length:
            begin = len(one.ids)
            made.append((Item(item.row, ids, [False] * begin + [True] * (len(ids) - begin)), each))
    out = len(items) - len(made)
    if not {item.row for item, _ in made} & {item.row for item in work.items}:
        raise BadData(
            "the teacher gave no answer that can be learnt", "raise max_tokens or max_length, or look at its answers"
        )
    if out:
        log.warning("%d of %d answers of the teacher are cut, empty or too long, and left out", out, len(items))
    return [item for item, _ in made], [each for _, each in made]
