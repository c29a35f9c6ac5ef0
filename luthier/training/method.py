"""What a training method is: three functions. The loop knows batches and steps; a method knows what is learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from luthier.lm.chat import Chat
from luthier.records.data import Row


class Item(NamedTuple):
    """A prepared row: token ids (T,), and which of them are learnt (T,)."""

    row: str
    ids: list[int]
    learnt: list[bool]

    @property
    def targets(self) -> int:
        """How many tokens are learnt."""
        return sum(self.learnt)


class Batch(NamedTuple):
    """Rows side by side, padded on the right. `predicting_N` are the flat positions (b * T + t) whose next token,
    `targets_N`, is learnt; no padding is among them."""

    rows: tuple[str, ...]
    ids_BT: torch.Tensor
    predicting_N: torch.Tensor
    targets_N: torch.Tensor


class Loss(NamedTuple):
    """The summed loss of a batch and how many terms were summed: the loop divides by the terms of a whole step."""

    total: torch.Tensor
    terms: int


class Method(NamedTuple):
    """SFT, DPO and the others: what a row becomes, what a batch is (padded with an id), and what is minimised."""

    prepare: Callable[[Row, Chat], Item]
    collate: Callable[[Sequence[Item], int], Batch]
    loss: Callable[[PreTrainedModel, Batch], Loss]
