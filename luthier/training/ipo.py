"""Identity preference optimisation: bring the margin between chosen and rejected to a set size, and no further.

Loss of a pair: (margin - 1 / (2 tau))^2, the margin being the difference of the answers' log-ratios, each averaged over
its tokens (Azar et al. 2023, arXiv:2310.12036, equation 17). DPO pushes pairs apart for ever where all people agree;
this does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from transformers import PreTrainedModel

from luthier.records.base import Value
from luthier.training.logprobs import remember
from luthier.training.method import Loss, Method, understood
from luthier.training.pairs import against_reference, prepare, summed
from luthier.training.tree import Tree, collate


class Options(Value):
    """What `options` of a recipe may say."""

    tau: float = Field(default=0.1, gt=0)
    """How closely the model is held to what it was: the margin aimed at is 1 / (2 tau) a token. TRL calls it beta."""


def method(options: Mapping[str, Any]) -> Method:
    """Identity preference optimisation."""
    given = understood(Options, options, "ipo")

    def loss(model: PreTrainedModel, batch: Tree) -> Loss:
        ratios_B2 = against_reference(model, batch)
        # Averaged, because a margin of sums would grow with the length of the answers.
        means_B2 = ratios_B2 / batch.lengths_S.to(ratios_B2.device).view(-1, 2)
        loss_B = (means_B2[:, 0] - means_B2[:, 1] - 1 / (2 * given.tau)).square()
        return summed(loss_B, given.tau * means_B2)

    return Method(prepare, collate, loss, annotate=remember, rate=0.05)
