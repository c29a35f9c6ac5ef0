"""KTO: learn from answers that are each marked wanted or unwanted; nothing has to be compared with anything.

Loss of a wanted answer: 1 - sigmoid(beta * (log-ratio - z)); of an unwanted one: 1 - sigmoid(beta * (z - log-ratio)),
each by its weight. z is how far the model has moved at large: the mean log-ratio of answers under prompts that they do
not belong to, at least 0, and no gradient goes through it (Ethayarajh et al. 2024, arXiv:2402.01306).

z is measured once a step, over all of its rows and before its first gradient, so that micro-batches change nothing.
Each prompt is paired once for the run with the answers of the row before it (of the last other prompt), so what the
untrained model said of them is computed once as well. A preference row counts as a wanted and an unwanted answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field
from transformers import PreTrainedModel

from luthier.errors import BadData
from luthier.lm.chat import Chat
from luthier.records.base import Value
from luthier.records.data import Row
from luthier.records.training import Recipe
from luthier.training import pairs
from luthier.training.logprobs import logprobs, said_before
from luthier.training.method import Item, Loss, Method, understood
from luthier.training.tree import Tree, lay_out, only

WANTED, UNWANTED, FOREIGN = 1.0, -1.0, 0.0
"""What an answer is to its row. `known` holds z, then for each answer this and its log-probability before training."""


class Options(Value):
    """What `options` of a recipe may say."""

    beta: float = Field(default=0.1, gt=0)
    """How closely the model is held to what it was: higher is closer."""
    wanted: float = Field(default=1.0, gt=0)
    """Weight of a wanted answer. Where one kind is rarer, weigh it up so that wanted : unwanted is 1 to 1.33 : 1."""
    unwanted: float = Field(default=1.0, gt=0)
    """Weight of an unwanted answer."""


def prepare(row: Row, chat: Chat) -> Item:
    """Prompt and answer, or prompt and both answers of a preference. Raises BadData for a row that nobody rated."""
    if row.rejected:
        item = pairs.prepare(row, chat)
        return item._replace(known=known((WANTED, UNWANTED), (0.0, 0.0)))
    if row.good is None:
        raise BadData(
            f"row {row.id} is not rated, and this method learns from ratings",
            "give each row `good: true` or `good: false`, or a `rejected` answer",
        )
    turn = pairs.answer_turn(row)
    ids, learnt = pairs.rendered(row, row.messages[turn : turn + 1], turn, chat)
    return Item(row.id, ids, learnt, (learnt.index(True),), known((WANTED if row.good else UNWANTED,), (0.0,)))


def known(roles: Sequence[float], before: Sequence[float], z: float = 0.0) -> tuple[float, ...]:
    """z, then what each answer is and what the untrained model said of it."""
    return (z, *(number for pair in zip(roles, before, strict=True) for number in pair))


def with_foreign(item: Item, other: Item | None) -> Item:
    """`item` with the answers of `other` behind its own, under a prompt that is not theirs."""
    if other is None:
        return item._replace(known=known(item.known[1::2], [0.0] * len(item.branches)))
    ids, learnt, branches = list(item.ids), list(item.learnt), list(item.branches)
    for start, end in zip(other.branches, (*other.branches[1:], len(other.ids)), strict=True):
        first = other.learnt.index(True, start)
        branches.append(len(ids))
        ids += other.ids[first:end]
        learnt += other.learnt[first:end]
    roles = (*item.known[1::2], *[FOREIGN] * len(other.branches))
    return item._replace(ids=ids, learnt=learnt, branches=tuple(branches), known=known(roles, [0.0] * len(roles)))


def annotate(model: PreTrainedModel, items: Sequence[Item], recipe: Recipe, pad: int) -> list[Item]:
    """Each item with the answers of the one before it, and what the untrained model says of all of them."""
    prompts = [item.ids[: item.branches[0]] for item in items]
    paired: list[Item] = []
    for i, item in enumerate(items):
        others = (items[i - back] for back in range(1, len(items)) if prompts[i - back] != prompts[i])
        paired.append(with_foreign(item, next(others, None)))
    before = said_before(model, paired, recipe, pad)
    return [item._replace(known=known(item.known[1::2], said)) for item, said in zip(paired, before, strict=True)]


def some(item: Item, *, foreign: bool) -> Item:
    """The item with its own answers, or with the foreign ones."""
    roles, before = item.known[1::2], item.known[2::2]
    kept = [k for k, role in enumerate(roles) if (role == FOREIGN) is foreign]
    return only(item, kept)._replace(known=known([roles[k] for k in kept], [before[k] for k in kept], item.known[0]))


@torch.no_grad()
def each_step(model: PreTrainedModel, items: Sequence[Item], recipe: Recipe, pad: int) -> list[Item]:
    """The items of a step, each knowing the z of the step."""
    strangers = [each for item in items if (each := some(item, foreign=True)).branches]
    now = [said for each in said_before(model, strangers, recipe, pad) for said in each]
    then = [said for item in strangers for said in item.known[2::2]]
    z = max(0.0, sum(now) - sum(then)) / max(1, len(now))
    return [item._replace(known=(z, *item.known[1:])) for item in items]


def collate(items: Sequence[Item], pad: int) -> Tree:
    """The rows with their own answers: foreign ones are for z alone."""
    return lay_out([some(item, foreign=False) for item in items], pad)


def method(options: Mapping[str, Any]) -> Method:
    """Kahneman-Tversky optimisation."""
    given = understood(Options, options, "kto")

    def loss(model: PreTrainedModel, batch: Tree) -> Loss:
        said_A = logprobs(model, batch)
        each = [(item.known[0], *item.known[i : i + 2]) for item in batch.items for i in range(1, len(item.known), 2)]
        z_A, role_A, before_A = torch.tensor(each, device=said_A.device).unbind(1)
        ratio_A = said_A - before_A
        weight_A = torch.where(role_A > 0, given.wanted, given.unwanted)
        loss_A = weight_A * (1 - torch.sigmoid(given.beta * role_A * (ratio_A - z_A)))
        right_A = (role_A * (ratio_A - z_A)).detach() > 0
        reward_A = (given.beta * role_A * ratio_A).detach()
        figures_3A = torch.stack([reward_A, right_A.float(), z_A])
        figures = dict(zip(("reward", "accuracy", "z"), figures_3A.sum(1).tolist(), strict=True))
        return Loss(loss_A.sum(), len(each), figures)

    return Method(prepare, collate, loss, annotate=annotate, each_step=each_step, rate=0.05)
