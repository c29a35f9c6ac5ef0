"""REINFORCE with the mean reward of the other answers as baseline (RLOO: Ahmadian et al. 2024, arXiv:2402.14740).

Advantage of an answer: its reward less the mean of the others to the same prompt. An answer is one action: the loss is
-min(r A, clip(r, 1 ± clip) A) with r the probability of the whole answer now over that when it was drawn. The leash is
part of the reward by default: beta times the answer's log-ratio to the model before training is taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from luthier.training.method import Loss, Method, understood
from luthier.training.pieces import Seen, leash
from luthier.training.reinforce import Objective, Options, as_method


def advantages(rewards_PS: torch.Tensor) -> torch.Tensor:
    """Of P prompts with S answers each, (P, S): reward less the mean of the S - 1 others."""
    others = rewards_PS.shape[1] - 1
    return rewards_PS - (rewards_PS.sum(1, keepdim=True) - rewards_PS) / others


def loss(seen: Seen, clip: float, beta: float) -> Loss:
    """Summed over answers; so its `kl` is that of a whole answer."""

    def summed(each_N: torch.Tensor) -> torch.Tensor:
        return each_N.new_zeros(len(seen.advantages_A)).index_add(0, seen.answer_N, each_N)

    ratio_A = summed(seen.now_N - seen.then_N).exp()
    better_A = seen.advantages_A
    gain_A = torch.minimum(ratio_A * better_A, ratio_A.clamp(1 - clip, 1 + clip) * better_A)
    off_N, shown_N = leash(seen)
    clipped = ((ratio_A < 1 - clip) & (better_A < 0)) | ((ratio_A > 1 + clip) & (better_A > 0))
    figures = {"kl": float(shown_N.sum()), "clipped": float(clipped.sum())}
    return Loss(beta * off_N.sum() - gain_A.sum(), len(better_A), figures)


def method(options: Mapping[str, Any]) -> Method:
    """REINFORCE leave-one-out."""
    return as_method(understood(Options, options, "rloo"), Objective(advantages, loss, "reward"))
