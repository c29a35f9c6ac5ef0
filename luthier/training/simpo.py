"""SimPO: the chosen answer's average token has to be likelier than the rejected one's, by a margin, with no reference.

Loss of a pair: -log sigmoid(beta * (mean log-probability of chosen - of rejected) - gamma)
(Meng et al. 2024, arXiv:2405.14734).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from luthier.records.base import Value
from luthier.training.method import Loss, Method, understood
from luthier.training.pairs import prepare, said, summed
from luthier.training.tree import Tree, collate


class Options(Value):
    """What `options` of a recipe may say."""

    beta: float = Field(default=2.0, gt=0)
    """How hard the average log-probabilities pull."""
    gamma: float = Field(default=1.0, ge=0)
    """The margin between the two rewards that is aimed at."""


def method(options: Mapping[str, Any]) -> Method:
    """Simple preference optimisation."""
    given = understood(Options, options, "simpo")

    def loss(model: PreTrainedModel, batch: Tree) -> Loss:
        rewards_B2 = given.beta * said(model, batch, mean=True)
        return summed(-logsigmoid(rewards_B2[:, 0] - rewards_B2[:, 1] - given.gamma), rewards_B2)

    return Method(prepare, collate, loss, rate=0.02)
