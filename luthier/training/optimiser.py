"""AdamW over float32 master copies, with the learning-rate schedule (Loshchilov & Hutter 2017, arXiv:1711.05101).

The model may run in bfloat16: rounding would swallow small updates, so they are added to a float32 copy of each
trainable tensor, and the copy is rounded into the model after each step. The masters are what is saved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from luthier.records.training import Recipe
from luthier.training.world import part_like, whole


def rate_at(step: int, steps: int, recipe: Recipe) -> float:
    """Learning rate of step `step` (from 0) of `steps`: climbs over the warm-up, then falls by the schedule."""
    assert isinstance(recipe.learning_rate, float)
    warm = max(1, round(steps * recipe.warmup)) if recipe.warmup else 0
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    left = (steps - step) / max(steps - warm, 1)
    shape = {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "constant": 1.0}[recipe.schedule]
    return recipe.learning_rate * shape


MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def groups(masters: Mapping[str, torch.Tensor], recipe: Recipe) -> list[dict[str, Any]]:
    """AdamW's groups and how many times the rate each takes: LoRA+ (arXiv:2402.12354) lets B learn faster than A."""
    ratio = recipe.lora.rate_ratio if recipe.lora else 1.0
    fast = {name for name in masters if ".lora_B." in name} if ratio != 1 else set()
    slow = [master for name, master in masters.items() if name not in fast]
    split = [
        {"params": slow, "ratio": 1.0},
        {"params": [masters[name] for name in masters if name in fast], "ratio": ratio},
    ]
    return [group for group in split if group["params"]]


class Optimiser:
    """Moves the trainable tensors of `model`; its whole state is named tensors, so it is saved as safetensors."""

    def __init__(self, model: torch.nn.Module, recipe: Recipe) -> None:
        self.recipe = recipe
        self.params = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.masters = {name: p.detach().float().clone() for name, p in self.params.items()}
        self.adam = torch.optim.AdamW(groups(self.masters, recipe), lr=0.0, weight_decay=recipe.weight_decay)

    def gather(self) -> None:
        """Add the model's gradients to the masters' and clear them: micro-batches are summed in float32."""
        for name, p in self.params.items():
            if p.grad is not None:
                master = self.masters[name]
                master.grad = p.grad.float() if master.grad is None else master.grad.add_(p.grad)
                p.grad = None

    def gradients(self) -> list[torch.Tensor]:
        """What is gathered so far, in one order for every process."""
        return [master.grad for master in self.masters.values() if master.grad is not None]

    def step(self, terms: int, rate: float) -> float:
        """One update from the gathered gradients of a step with `terms` loss terms. Returns the gradient's norm.

        A norm that is not finite leaves the weights as they were.
        """
        for master in self.masters.values():
            if master.grad is not None:
                master.grad.div_(terms)
        norm = float(whole(torch.nn.utils.clip_grad_norm_(self.masters.values(), self.recipe.clip)))
        if math.isfinite(norm):
            for group in self.adam.param_groups:
                group["lr"] = rate * group["ratio"]
            self.adam.step()
            self.round_into_model()
        self.adam.zero_grad()
        return norm

    @torch.no_grad()
    def round_into_model(self) -> None:
        """Give the model the masters in its own precision."""
        for name, p in self.params.items():
            p.copy_(self.masters[name])

    def replace(self, masters: dict[str, torch.Tensor]) -> None:
        """Give masters and model these tensors."""
        for name, master in self.masters.items():
            master.data.copy_(part_like(masters[name], master))
        self.round_into_model()

    def state(self) -> dict[str, torch.Tensor]:
        """Masters and moments by name; all float32."""
        tensors = {f"master/{name}": master for name, master in self.masters.items()}
        for name, master in self.masters.items():
            for key, value in self.adam.state.get(master, {}).items():
                tensors[f"{key}/{name}"] = value
        return tensors

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` returned."""
        for name, master in self.masters.items():
            master.data.copy_(part_like(tensors[f"master/{name}"], master))
            kept = {key: tensors.get(f"{key}/{name}") for key in MOMENTS}
            self.adam.state[master] = {
                # AdamW counts on the CPU.
                key: value.to("cpu", copy=True)
                if key == "step"
                else part_like(value.to(master.device, copy=True), master)
                for key, value in kept.items()
                if value is not None
            }
        self.round_into_model()
