"""Preference rows: two answers to one prompt, of which people liked one better. What the methods on them share.

Only the answers are learnt; earlier turns of the assistant are context. Knows nothing of losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from transformers import PreTrainedModel

from luthier.errors import BadData
from luthier.lm.chat import Chat, Ids
from luthier.records.data import Message, Row
from luthier.training.logprobs import logprobs
from luthier.training.method import Item, Loss
from luthier.training.tree import Tree


def prepare(row: Row, chat: Chat) -> Item:
    """Prompt + chosen + rejected. What both dialogues begin with, token for token, is the prompt they share.

    Raises BadData for a row without two answers that differ.
    """
    if not row.rejected:
        raise BadData(
            f"row {row.id} has no rejected answer, and this method learns from two answers to one prompt",
            "give each row its `rejected` answer; sft and kto take rows with one",
        )
    turn = answer_turn(row)
    chosen = rendered(row, row.messages[turn:], turn, chat)
    rejected = rendered(row, row.rejected, turn, chat)
    if chosen.ids == rejected.ids:
        raise BadData(f"the two answers of row {row.id} are the same", "take it out: there is nothing to learn")
    begin = min(shared(chosen.ids, rejected.ids), chosen.learnt.index(True), rejected.learnt.index(True))
    if begin == 0:
        raise BadData(f"the two answers of row {row.id} share no prompt", "give the row at least one user turn")
    ids = chosen.ids + rejected.ids[begin:]
    return Item(row.id, ids, chosen.learnt + rejected.learnt[begin:], (begin, len(chosen.ids)))


def answer_turn(row: Row) -> int:
    """Where the last turn of the assistant stands: the one that was preferred or rated."""
    turns = [number for number, message in enumerate(row.messages) if message.role == "assistant"]
    if not turns:
        raise BadData(f"row {row.id} has no answer", "give it an assistant turn")
    return turns[-1]


def rendered(row: Row, answer: Sequence[Message], turn: int, chat: Chat) -> Ids:
    """The dialogue with `answer` at `turn`, and nothing before it learnt."""
    context = [m.model_copy(update={"weight": 0}) if m.role == "assistant" else m for m in row.messages[:turn]]
    ids = chat.training_ids([*context, *answer], row.tools)
    if True not in ids.learnt:
        raise BadData(f"an answer of row {row.id} is not to be learnt", "give it an assistant turn without weight: 0")
    return ids


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def said(model: PreTrainedModel, tree: Tree, *, mean: bool = False) -> torch.Tensor:
    """Log-probability of chosen and rejected, (B, 2); with `mean`, of an average token."""
    said_A = logprobs(model, tree)[: len(tree.ends_A)]
    return (said_A / tree.lengths_S[: len(said_A)].to(said_A.device) if mean else said_A).view(-1, 2)


def against_reference(model: PreTrainedModel, tree: Tree) -> torch.Tensor:
    """How much more likely than before training chosen and rejected are, as log-ratios, (B, 2)."""
    said_B2 = said(model, tree)
    return said_B2 - torch.tensor([item.known for item in tree.items], device=said_B2.device)


def summed(loss_B: torch.Tensor, rewards_B2: torch.Tensor) -> Loss:
    """The rows' losses as one, and what every method on pairs shows: rewards, their margin, how often it is above 0."""
    chosen_B, rejected_B = rewards_B2.detach().unbind(1)
    margin_B = chosen_B - rejected_B
    figures_4B = torch.stack([chosen_B, rejected_B, margin_B, (margin_B > 0).float()])
    names = ("reward_chosen", "reward_rejected", "margin", "accuracy")
    return Loss(loss_B.sum(), len(loss_B), dict(zip(names, figures_4B.sum(1).tolist(), strict=True)))
