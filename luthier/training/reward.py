"""A reward model: a number for an answer, higher where people would like it better.

Loss of a pair: -log sigmoid(reward of chosen - reward of rejected), the Bradley-Terry likelihood that the chosen one is
liked better (Stiennon et al. 2020, arXiv:2009.01325). The number is read at the answer's last token, from a head of its
own that is trained and saved whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from luthier.lm.scored import scores
from luthier.records.base import Value
from luthier.training.method import Loss, Method, understood
from luthier.training.pairs import prepare, summed
from luthier.training.sharing import view
from luthier.training.tree import Tree, collate


class Options(Value):
    """What `options` of a recipe may say."""

    centre: float = Field(default=0.01, ge=0)
    """Weight of (reward of chosen + reward of rejected)^2: only differences are learnt from pairs, and this keeps
    their mean at 0 (Eisenstein et al. 2023, arXiv:2312.09244). 0 leaves it free."""


def method(options: Mapping[str, Any]) -> Method:
    """A reward model from pairs."""
    given = understood(Options, options, "reward")

    def loss(model: PreTrainedModel, batch: Tree) -> Loss:
        seen, inputs = view(model, batch)
        rewards_B2 = scores(model, inputs).flatten()[seen.ends_A.to(model.device)].view(-1, 2)
        chosen_B, rejected_B = rewards_B2.unbind(1)
        loss_B = -logsigmoid(chosen_B - rejected_B) + given.centre * (chosen_B + rejected_B).square()
        return summed(loss_B, rewards_B2)

    return Method(prepare, collate, loss, task="score", rate=0.1)
