"""ORPO: supervised fine-tuning on the chosen answer, and a push on the odds against the rejected one; no reference.

Loss of a pair: mean negative log-probability of the chosen answer's tokens - lambda * log sigmoid(log odds ratio), the
odds of an answer being p / (1 - p) of its average token (Hong et al. 2024, arXiv:2403.07691).

Each pair counts alike, however long it is, so that micro-batches change nothing. TRL averages the first part over the
tokens of whatever goes through the model at once: with one pair at a time both are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import Field
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from luthier.records.base import Value
from luthier.training.logprobs import logprobs
from luthier.training.method import Item, Loss, Method, understood
from luthier.training.pairs import prepare, summed
from luthier.training.tree import Tree, lay_out


class Options(Value):
    """What `options` of a recipe may say."""

    strength: float = Field(default=0.1, gt=0)
    """Weight of the odds ratio: the paper's lambda, TRL's beta."""
    prompts: bool = False
    """Learn the prompts' tokens as well as the chosen answers': what TRL and the authors' code do, not the paper."""


def method(options: Mapping[str, Any]) -> Method:
    """Odds ratio preference optimisation."""
    given = understood(Options, options, "orpo")

    def collate(items: Sequence[Item], pad: int) -> Tree:
        return lay_out(items, pad, {b: b for b in range(len(items))} if given.prompts else {})

    def loss(model: PreTrainedModel, batch: Tree) -> Loss:
        said_S, lengths_S = logprobs(model, batch), batch.lengths_S.to(model.device)
        answers = len(batch.ends_A)
        sums_B2, lengths_B2 = said_S[:answers].view(-1, 2), lengths_S[:answers].view(-1, 2)
        learnt_B, tokens_B = sums_B2[:, 0], lengths_B2[:, 0]
        if given.prompts:
            learnt_B, tokens_B = learnt_B + said_S[answers:], tokens_B + lengths_S[answers:]
        means_B2 = sums_B2 / lengths_B2
        odds_B2 = means_B2 - log_rest(means_B2)
        push_B = given.strength * logsigmoid(odds_B2[:, 0] - odds_B2[:, 1])
        return summed(-learnt_B / tokens_B - push_B, given.strength * means_B2)

    return Method(prepare, collate, loss, rate=0.1)


def log_rest(log_p: torch.Tensor) -> torch.Tensor:
    """log(1 - p) from log p, exact at both ends: near 0 and near 1 another form of it loses no digits."""
    certain = log_p > -0.6931  # p > 1/2
    near_one = torch.log(-torch.expm1(torch.where(certain, log_p, -1.0).clamp(max=-1e-7)))
    near_zero = torch.log1p(-torch.exp(torch.where(certain, -1.0, log_p)))
    return torch.where(certain, near_one, near_zero)
