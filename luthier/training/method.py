"""What a training method is: a few functions. The loop knows batches and steps; a method knows what is learnt.

An extension of kind `method` is called with the recipe's `options` and returns its `Method`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from pydantic import ValidationError
from transformers import PreTrainedModel

from luthier import plugins
from luthier.errors import BadConfig
from luthier.lm.chat import Chat
from luthier.records.base import Value
from luthier.records.data import Row
from luthier.records.training import Recipe

Options = TypeVar("Options", bound=Value)
Task = Literal["generate", "score"]
"""A model that speaks, or one whose head gives each text a number."""


class Item(NamedTuple):
    """A prepared row: token ids (T,), and which of them are learnt (T,)."""

    row: str
    ids: list[int]
    learnt: list[bool]
    branches: tuple[int, ...] = ()
    """Where each of several answers to one prompt begins: an answer sees the prompt and itself, and no other."""
    known: tuple[float, ...] = ()
    """Numbers that the method keeps with the row, such as what the model said of it before training."""

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
    figures: Mapping[str, float] = {}
    """What else is worth seeing, summed over the same terms: written as means beside the loss."""


class Method(NamedTuple):
    """SFT, DPO and the others: what a row becomes, what a batch is (padded with an id), and what is minimised."""

    prepare: Callable[[Row, Chat], Item]
    collate: Callable[[Sequence[Item], int], Any]
    """A batch; its `rows` are the ids of the rows, in order."""
    loss: Callable[[PreTrainedModel, Any], Loss]
    annotate: Callable[[PreTrainedModel, Sequence[Item], Recipe, int], Sequence[Item]] | None = None
    """What is computed once for the run, with the untrained model: items, resolved recipe, pad → items."""
    each_step: Callable[[PreTrainedModel, Sequence[Item], Recipe, int], Sequence[Item]] | None = None
    """What is computed over all the rows of a step before its first gradient: what is a batch's, not a row's, then does
    not depend on micro-batches or processes. Called as `annotate` is."""
    task: Task = "generate"
    rate: float = 1.0
    """`auto` learning rates are multiplied by it: preferences want smaller steps than answers."""
    packed: Callable[[Sequence[Item], int], Any] | None = None
    """`collate` for `packing`: rows one behind the other. None: the method cannot."""
    train: Callable[..., Any] | None = None
    """A loop of its own, for a method whose rows are made while it trains: as `loop.train`, Work and Progress in,
    Outcome out."""


def chosen(recipe: Recipe) -> Method:
    """The method that the recipe names, with its options and its way to lay rows out.

    Raises UnknownName, or BadConfig for options that it lacks and for packing where it cannot.
    """
    made: Method = plugins.find("method", recipe.method)(recipe.options)
    if not recipe.packing:
        return made
    if made.packed is None:
        raise BadConfig(f"{recipe.method} cannot pack rows", "leave packing out, or use method: sft")
    return made._replace(collate=made.packed)


def understood(kind: type[Options], options: Mapping[str, Any], method: str) -> Options:
    """A method's options as its own record. Raises BadConfig that names the first fault and what there is."""
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "they"
        there = ", ".join(kind.model_fields) or "none"
        raise BadConfig(f"options of {method}: {where}: {first['msg']}", f"its options are: {there}") from error
