"""GRPO and RLOO are the papers' formulas, token by token; a killed run leaves the bytes of an unbroken one."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.records.training import LoraSpec, Recipe
from luthier.training import grpo, reinforce, rloo
from luthier.training.method import Item
from luthier.training.optimiser import Optimiser
from luthier.training.pieces import Piece, Seen, cut, dealt, seen
from luthier.training.rollouts import Answer, Asked
from tests.training import children
from tests.training.children import KILLED, train
from tests.training.making import Bench, bench, make_recipe, ready

CLIP, BETA = 0.2, 0.1
SIZES = (3, 1, 4, 2)


@pytest.fixture
def drawn() -> Seen:
    """Ten tokens of four answers; some ratios lie outside the clip on either side."""
    torch.manual_seed(0)
    then, first = -torch.rand(10) - 0.1, -torch.rand(10) - 0.1
    now = (then + 0.4 * torch.randn(10)).requires_grad_()
    answer = torch.repeat_interleave(torch.arange(4), torch.tensor(SIZES))
    return Seen(now, then, first, answer, torch.tensor([1.2, -0.7, 0.4, -0.9]))


def test_grpo_is_the_papers(drawn: Seen) -> None:
    ours = grpo.loss(drawn, CLIP, BETA)
    total = kls = 0.0
    clipped = 0
    for n in range(10):
        better = float(drawn.advantages_A[drawn.answer_N[n]])
        ratio = math.exp(float((drawn.now_N - drawn.then_N)[n]))
        bounded = min(max(ratio, 1 - CLIP), 1 + CLIP)
        off = float(drawn.first_N[n] - drawn.now_N[n])
        kl = math.exp(off) - off - 1
        total += BETA * ratio * kl - min(ratio * better, bounded * better)
        kls += kl
        clipped += bounded * better < ratio * better
    assert clipped > 0
    assert float(ours.total) == pytest.approx(total, rel=1e-5)
    assert ours.terms == 10
    assert ours.figures == {"kl": pytest.approx(kls, rel=1e-5), "clipped": clipped}


def test_rloo_is_the_papers(drawn: Seen) -> None:
    ours = rloo.loss(drawn, CLIP, 0.0)
    total, at = 0.0, 0
    for a, size in enumerate(SIZES):
        ratio = math.exp(sum(float((drawn.now_N - drawn.then_N)[n]) for n in range(at, at + size)))
        better = float(drawn.advantages_A[a])
        total -= min(ratio * better, min(max(ratio, 1 - CLIP), 1 + CLIP) * better)
        at += size
    assert float(ours.total) == pytest.approx(total, rel=1e-5)
    assert ours.terms == 4


@pytest.mark.parametrize("loss", [grpo.loss, rloo.loss])
def test_the_first_update_is_the_policy_gradient(loss: Any, drawn: Seen) -> None:
    """Where the model is the one that drew: the gradient of -A log p, whatever the clip."""
    now = drawn.then_N.clone().requires_grad_()
    loss(drawn._replace(now_N=now), CLIP, 0.0).total.backward()
    assert now.grad is not None
    assert torch.allclose(now.grad, -drawn.advantages_A[drawn.answer_N])


def test_advantages() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 3.0], [2.0, 2.0, 2.0, 2.0]])
    assert grpo.advantages(rewards, "none").tolist() == [[0, -1, -1, 2], [0, 0, 0, 0]]
    scaled = grpo.advantages(rewards, "group")
    assert scaled[0].tolist() == pytest.approx([x / (math.sqrt(2) + 1e-4) for x in (0, -1, -1, 2)], rel=1e-5)
    assert scaled[1].tolist() == [0, 0, 0, 0]
    left_out = rloo.advantages(rewards)
    assert left_out[0].tolist() == pytest.approx([1 - 3 / 3, 0 - 4 / 3, 0 - 4 / 3, 3 - 1 / 3])
    assert left_out[1].tolist() == [0, 0, 0, 0]


def test_tokens_are_read_as_each_answer_alone(base: Path) -> None:
    """However prompts, answers and micro-batches are cut, a token's log-probability is that of its own text."""
    made = ready(make_recipe(base))
    asked = [Asked("a", (), [1, 40, 41, 42], "", {}), Asked("b", (), [1, 50], "", {})]
    answers = [[Answer([60 + k, 61, 2][: 1 + k], "", True) for k in range(3)], [Answer([70, 71, 72], "", False)]]
    alone = []
    for one, group in zip(asked, answers, strict=True):
        for each in group:
            logits = made.model(input_ids=torch.tensor([one.ids + each.ids])).logits[0].float().log_softmax(-1)
            alone += [float(logits[len(one.ids) + t - 1, token]) for t, token in enumerate(each.ids)]
    for most in (16, 64, 5):
        pieces = dealt(cut(asked, answers, most), [1.0, 2.0, 3.0, 4.0])
        assert [size for piece in pieces for size in piece.sizes] == [1, 2, 3, 3]
        got = [seen(made.model, [piece], 1.0, 0) for piece in pieces]
        assert [x for each in got for x in each.now_N.tolist()] == pytest.approx(alone, abs=1e-5)
        assert [x for each in got for x in each.advantages_A.tolist()] == [1, 2, 3, 4]
    whole = seen(made.model, pieces, 1.0, 0)
    assert whole.now_N.tolist() == pytest.approx(alone, abs=1e-5)
    assert whole.answer_N.tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 3]
    assert torch.equal(whole.then_N, whole.now_N)


def test_temperature_is_that_of_the_draws(base: Path) -> None:
    made = ready(make_recipe(base))
    piece = Piece(Item("a", [1, 40, 41, 60], [False] * 3 + [True], (3,)), (0.0,), advantages=(1.0,))
    logits = made.model(input_ids=torch.tensor([[1, 40, 41]])).logits[0, -1].float()
    for temperature in (0.7, 1.0, 1.5):
        wanted = (logits / temperature).log_softmax(-1)[60]
        assert float(seen(made.model, [piece], temperature, 0).now_N) == pytest.approx(float(wanted), abs=1e-5)


# Killed and resumed

GRADER = {"type": "string_check", "operation": "like", "reference": "a"}


@pytest.fixture(scope="module")
def recipe(base: Path) -> Recipe:
    """With everything that could be forgotten: two updates, a leash, dropout, warm-up, moments."""
    options = {"grader": GRADER, "samples": 4, "max_tokens": 6, "updates": 2, "beta": 0.05}
    lora = LoraSpec(rank=4, dropout=0.1)
    return make_recipe(base, method="grpo", options=options, lora=lora, warmup=0.3, max_steps=6, micro_tokens=512)


def left(bench: Bench) -> tuple[str, list[dict[str, float]]]:
    lines = [json.loads(line) for line in (bench.run / "metrics.jsonl").read_text().splitlines()]
    timed = {"seconds", "rollout_seconds"}
    return bench.sha(), [{name: x for name, x in line.items() if name not in timed} for line in lines]


def dies_updating(step: int, update: int) -> None:
    """kill -9 when the step's answers are drawn and marked, and `update` updates are made."""
    made = reinforce.one_update
    count = 0

    def one_update(scene: Any, optimiser: Optimiser, pieces: Any, rate: float, number: int) -> Any:
        nonlocal count
        if number == step - 1:
            if count == update:
                children.die()
            count += 1
        return made(scene, optimiser, pieces, rate, number)

    reinforce.one_update = one_update


def test_killed_anywhere_it_leaves_the_same_bytes(recipe: Recipe, tmp_path: Path) -> None:
    whole, broken = bench(tmp_path / "whole", recipe), bench(tmp_path / "broken", recipe)
    assert train(whole).code == 0
    kills = [
        partial(dies_updating, 2, 0),
        partial(children.dies_with_half_a_state, 3),
        partial(dies_updating, 5, 1),
        partial(children.dies_after_the_rename, 6),
    ]
    for kill in kills:
        assert train(broken, kill).code == KILLED, kill
    assert train(broken).code == 0
    assert left(broken) == left(whole)
    assert [line["step"] for line in left(whole)[1]] == [1, 2, 3, 4, 5, 6]


def test_the_reference_is_the_model_before_training(base: Path, tmp_path: Path) -> None:
    """Also where the adapter does not begin as nothing: the leash holds to what was, and hands the weights back."""
    made = ready(make_recipe(base))
    optimiser = Optimiser(made.model, made.recipe)
    before = {name: p.detach().clone() for name, p in optimiser.params.items()}
    ids = torch.tensor([made.items[0].ids])
    first = made.model(input_ids=ids).logits
    with torch.no_grad():
        for master in optimiser.masters.values():
            master.add_(0.1)
    optimiser.round_into_model()
    moved = made.model(input_ids=ids).logits
    with reinforce.untrained(optimiser, before):
        assert torch.equal(made.model(input_ids=ids).logits, first)
    assert torch.equal(made.model(input_ids=ids).logits, moved)
    assert not torch.equal(first, moved)
