"""AdamW over float32 masters: as torch's own in float32, and no update lost in bfloat16."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from luthier.records.training import Recipe
from luthier.training.optimiser import Optimiser, rate_at
from tests.training.making import make_recipe


def recipe(**fields: object) -> Recipe:
    return make_recipe(Path("base"), **{"learning_rate": 1e-2} | fields)


def model(dtype: torch.dtype = torch.float32) -> torch.nn.Linear:
    torch.manual_seed(0)
    return torch.nn.Linear(4, 3).to(dtype)


def push(linear: torch.nn.Linear, seed: int) -> None:
    """A gradient into the model."""
    torch.manual_seed(seed)
    x = torch.randn(5, 4, dtype=linear.weight.dtype)
    linear(x).square().sum().backward()


def test_as_torchs_adamw() -> None:
    ours, theirs = model(), model()
    optimiser = Optimiser(ours, recipe(weight_decay=0.1, clip=0.5))
    adam = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.1)
    for step in range(5):
        push(ours, step)
        optimiser.gather()
        norm = optimiser.step(1, 1e-2)
        adam.zero_grad()
        push(theirs, step)
        assert norm == pytest.approx(float(torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)))
        adam.step()
    assert torch.equal(ours.weight, theirs.weight)


def test_micro_batches_are_summed_and_divided_once() -> None:
    ours = model()
    optimiser = Optimiser(ours, recipe(clip=1e9))
    gradients = []
    for seed in (1, 2):
        push(ours, seed)
        gradients.append(ours.weight.grad.clone())
        optimiser.gather()
        assert ours.weight.grad is None
    assert torch.allclose(optimiser.masters["weight"].grad, sum(gradients))
    norm = optimiser.step(7, 0.0)
    push(ours, 1)
    push(ours, 2)
    whole = torch.cat([p.grad.flatten() for p in ours.parameters()]) / 7
    assert norm == pytest.approx(float(whole.norm()), rel=1e-6)


def test_small_updates_add_up_in_bfloat16() -> None:
    """Each one is far below the precision of a bfloat16 weight of size 1."""
    ours = model(torch.bfloat16)
    ours.weight.data.fill_(1.0)
    optimiser = Optimiser(ours, recipe())
    for _ in range(200):
        ours.weight.grad = torch.ones_like(ours.weight)
        optimiser.gather()
        optimiser.step(1, 1e-4)
    assert optimiser.masters["weight"].mean() == pytest.approx(0.98, abs=1e-4)
    assert torch.equal(ours.weight, optimiser.masters["weight"].bfloat16())


def test_a_norm_that_is_not_finite_moves_nothing() -> None:
    ours = model()
    optimiser = Optimiser(ours, recipe())
    before = ours.weight.detach().clone()
    push(ours, 0)
    ours.weight.grad[0, 0] = torch.nan
    optimiser.gather()
    assert math.isnan(optimiser.step(1, 1e-2))
    assert torch.equal(ours.weight, before)
    assert optimiser.masters["weight"].grad is None


def test_it_goes_on_where_it_stood() -> None:
    one, other = model(), model()
    first, second = Optimiser(one, recipe(weight_decay=0.1)), Optimiser(other, recipe(weight_decay=0.1))
    for step in range(6):
        if step == 3:
            second.load({name: tensor.clone() for name, tensor in first.state().items()})
        for linear, optimiser in ((one, first), (other, second)):
            if optimiser is first or step >= 3:
                push(linear, step)
                optimiser.gather()
                optimiser.step(1, 1e-2)
    assert torch.equal(one.weight, other.weight)
    assert all(torch.equal(tensor, second.state()[name]) for name, tensor in first.state().items())


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_rate_climbs_and_falls(schedule: str) -> None:
    asked = recipe(schedule=schedule, warmup=0.2)
    rates = [rate_at(step, 50, asked) for step in range(50)]
    assert rates[:10] == pytest.approx([1e-2 * (step + 1) / 10 for step in range(10)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[10] == pytest.approx(1e-2)
    assert (rates[-1] == 1e-2) == (schedule == "constant")
    assert rates[-1] > 0


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 1.0])
def test_short_runs_learn_something_in_each_step(steps: int, warmup: float) -> None:
    assert all(0 < rate_at(step, steps, recipe(warmup=warmup)) <= 1e-2 for step in range(steps))
