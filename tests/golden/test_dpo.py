"""DPO: ln 2 before the first step, and its formula on separate forward passes afterwards."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import logsigmoid

from luthier.training.dpo import method
from luthier.training.logprobs import said_before
from luthier.training.pairs import said
from tests.golden.preferring import check_same, moved, pair_told, preferences


def test_before_the_first_step_the_loss_is_ln_2(base: Path) -> None:
    made = moved(base, method({}), preferences(6))
    loss = method({}).loss(made.before, method({}).collate(made.items, 0))
    assert loss.terms == 6
    assert loss.total.item() == pytest.approx(6 * math.log(2), rel=1e-6)
    assert loss.figures["margin"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"beta": 0.5, "label_smoothing": 0.2}])
def test_as_the_paper_writes_it(base: Path, options: dict[str, float]) -> None:
    rows, dpo = preferences(5), method(options)
    made = moved(base, dpo, rows)
    ours = dpo.loss(made.model, dpo.collate(made.items, 0))
    beta, wrong = options.get("beta", 0.1), options.get("label_smoothing", 0.0)
    theirs, margins = torch.tensor(0.0), []
    for row in rows:
        chosen, rejected = pair_told(made.model, made.chat, row)
        with torch.no_grad():
            good, bad = pair_told(made.before, made.chat, row)
        margin = beta * ((chosen.total - good.total) - (rejected.total - bad.total))
        theirs = theirs - (1 - wrong) * logsigmoid(margin) - wrong * logsigmoid(-margin)
        margins.append(margin.item())
    check_same(made.model, ours.total, theirs)
    assert ours.figures["margin"] == pytest.approx(sum(margins), abs=1e-3)
    assert ours.figures["accuracy"] == sum(margin > 0 for margin in margins)
    assert ours.figures["reward_chosen"] - ours.figures["reward_rejected"] == pytest.approx(sum(margins), abs=1e-3)


def test_the_reference_is_the_same_however_it_is_batched(base: Path) -> None:
    rows = preferences(7)
    one, other = (moved(base, method({}), rows, micro_tokens=tokens) for tokens in (16, 4096))
    for first, second in zip(one.items, other.items, strict=True):
        assert first.known == pytest.approx(second.known, rel=1e-5)
    assert said_before(one.before, one.items, one.recipe, 5) == [item.known for item in one.items]


def test_the_reference_is_told_without_dropout(base: Path) -> None:
    made = moved(base, method({}), preferences(2))
    made.before.config.attention_dropout = 0.5
    for layer in made.before.model.layers:
        layer.self_attn.attention_dropout = 0.5
    made.before.train()
    again = said_before(made.before, made.items, made.recipe, 0)
    assert again == [item.known for item in made.items]
    assert made.before.training
    assert said(made.before, method({}).collate(made.items, 0))[0, 0].item() != pytest.approx(again[0][0], abs=1e-3)
