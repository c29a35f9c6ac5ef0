"""Group relative policy optimisation: answers that were marked better than others to the same prompt become likelier.

Advantage of an answer: its reward less the mean of its group, over the group's standard deviation (Shao et al. 2024,
arXiv:2402.03300) or not (`normalise: none`, which does not favour prompts whose answers are nearly alike: Liu et al.
2025, arXiv:2503.20783). Loss of a token: -min(r A, clip(r, 1 ± clip) A) + beta KL, r being its probability now over
that when it was drawn; all tokens of a step count alike, so no answer is favoured for its length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from luthier.training.method import Loss, Method, understood
from luthier.training.pieces import Seen, leash
from luthier.training.reinforce import Objective, Options, as_method

TINY = 1e-4


def advantages(rewards_PS: torch.Tensor, normalise: Literal["group", "none"]) -> torch.Tensor:
    """Of P prompts with S answers each, (P, S)."""
    above_PS = rewards_PS - rewards_PS.mean(1, keepdim=True)
    return above_PS / (rewards_PS.std(1, keepdim=True) + TINY) if normalise == "group" else above_PS


def loss(seen: Seen, clip: float, beta: float) -> Loss:
    """Summed over tokens."""
    ratio_N = (seen.now_N - seen.then_N).exp()
    better_N = seen.advantages_A[seen.answer_N]
    gain_N = torch.minimum(ratio_N * better_N, ratio_N.clamp(1 - clip, 1 + clip) * better_N)
    off_N, shown_N = leash(seen)
    total = (beta * off_N - gain_N).sum()
    clipped = ((ratio_N < 1 - clip) & (better_N < 0)) | ((ratio_N > 1 + clip) & (better_N > 0))
    return Loss(total, len(ratio_N), {"kl": float(shown_N.sum()), "clipped": float(clipped.sum())})


def method(options: Mapping[str, Any]) -> Method:
    """Group relative policy optimisation."""
    given = understood(Options, options, "grpo")
    return as_method(given, Objective(lambda rewards_PS: advantages(rewards_PS, given.normalise), loss, "loss"))
