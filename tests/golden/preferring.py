"""What the tests of preference methods are made from: rows, a model that has moved away from its reference, and the
log-probabilities of answers as separate passes give them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from luthier.lm.chat import Chat
from luthier.lm.load import load_model
from luthier.records.data import Message, Row, Split
from luthier.records.training import Recipe
from luthier.training.method import Item, Method
from tests.training.making import ANSWERS, QUESTIONS, dialogue, make_recipe

BAD = ("No.", "I do not know, and nobody else does either.", "Ask somebody else at the counter.")


def preference(number: int, split: Split = "train") -> Row:
    """A dialogue, some of two turns, with an answer that was liked and one that was not."""
    said = [f"{QUESTIONS[number % 3]} ({number})", ANSWERS[number % 3]]
    if number % 4 == 0:
        said += [f"And on day {number}?", f"{ANSWERS[(number + 1) % 3]} Then {number} more."]
    messages = dialogue(*said, system="You are a bank." if number % 2 else "")
    bad = (Message(role="assistant", content=f"{BAD[number % 3]} {'So.' * (number % 5)}"),)
    return Row(id=f"{split}-{number:03d}", split=split, source="made", line=number + 1, messages=messages, rejected=bad)


def preferences(count: int = 20, validation: int = 0) -> list[Row]:
    made = [preference(number) for number in range(count)]
    return made + [preference(number, "validation") for number in range(count, count + validation)]


def rating(number: int, split: Split = "train") -> Row:
    """An answer that was wanted, or every other time one that was not."""
    row = preference(number, split)
    if number % 2 == 0:
        return row.model_copy(update={"rejected": (), "good": True})
    return row.model_copy(update={"messages": (*row.messages[:-1], *row.rejected), "rejected": (), "good": False})


class Moved(NamedTuple):
    """A model, what it was before, and prepared items that know the latter."""

    model: Any
    before: Any
    chat: Chat
    items: list[Item]
    recipe: Recipe


def moved(base: Path, method: Method, rows: Sequence[Row], *, micro_tokens: int = 256) -> Moved:
    """The tiny model, shifted a little from the one that the items were annotated with."""
    recipe = make_recipe(base, micro_tokens=micro_tokens)
    chat, before = Chat.load(base), load_model(base, "float32", attention="eager")
    items = [method.prepare(row, chat) for row in rows]
    if method.annotate:
        items = list(method.annotate(before, items, recipe, 0))
    model = copy.deepcopy(before)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return Moved(model, before, chat, items, recipe)


class Told(NamedTuple):
    """What a model says of one answer: summed log-probability, number of its tokens, and of the prompt's."""

    total: torch.Tensor
    tokens: int
    prompt: torch.Tensor
    prompt_tokens: int


def told(model: Any, chat: Chat, row: Row, answer: Sequence[Message]) -> Told:
    """One plain pass over one whole dialogue, in the library's own words: no branches, no masks, no hooks."""
    messages = [*row.messages[:-1], *answer]
    ids, learnt = chat.training_ids(messages)
    begin = len(chat.prompt_ids(messages[:-1]))
    assert all(learnt[begin:])
    said = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1], -1)
    each = said.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return Told(each[begin - 1 :].sum(), len(ids) - begin, each[: begin - 1].sum(), begin - 1)


def pair_told(model: Any, chat: Chat, row: Row) -> tuple[Told, Told]:
    """Of the chosen and of the rejected answer."""
    return told(model, chat, row, row.messages[-1:]), told(model, chat, row, row.rejected)


def gradient(model: Any, total: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    total.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def check_same(model: Any, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Equal loss, and equal gradient of every weight."""
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5, abs=1e-6)
    one, other = gradient(model, ours), gradient(model, theirs)
    assert other.abs().max() > 1e-4
    assert float((one - other).abs().max() / other.abs().max()) < 1e-4
