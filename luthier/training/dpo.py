"""Direct preference optimisation: make the chosen answer likelier against the rejected one than it was before.

Loss of a pair: -log sigmoid(beta * (log-ratio of chosen - log-ratio of rejected)), a log-ratio being the
log-probability now minus that of the untrained model (Rafailov et al. 2023, arXiv:2305.18290).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from luthier.records.base import Value
from luthier.training.logprobs import remember
from luthier.training.method import Loss, Method, understood
from luthier.training.pairs import against_reference, prepare, summed
from luthier.training.tree import Tree, collate


class Options(Value):
    """What `options` of a recipe may say."""

    beta: float = Field(default=0.1, gt=0)
    """How closely the model is held to what it was: higher is closer."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of the pairs that are thought to stand the wrong way round (Mitchell 2023, conservative DPO)."""


def method(options: Mapping[str, Any]) -> Method:
    """Direct preference optimisation."""
    given = understood(Options, options, "dpo")

    def loss(model: PreTrainedModel, batch: Tree) -> Loss:
        rewards_B2 = given.beta * against_reference(model, batch)
        margin_B = rewards_B2[:, 0] - rewards_B2[:, 1]
        wrong = given.label_smoothing
        loss_B = -(1 - wrong) * logsigmoid(margin_B) - wrong * logsigmoid(-margin_B)
        return summed(loss_B, rewards_B2)

    return Method(prepare, collate, loss, annotate=remember, rate=0.05)
