"""ORPO: its formula on separate forward passes, with and without the prompts learnt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import logsigmoid

from luthier.training import sharing
from luthier.training.orpo import log_rest, method
from tests.golden.preferring import check_same, moved, pair_told, preferences


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("options", [{}, {"strength": 0.4, "prompts": True}])
def test_as_the_paper_writes_it(
    base: Path, options: dict[str, float], apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, orpo = preferences(5), method(options)
    made = moved(base, orpo, rows)
    if apart:  # a model that cannot share the prompt
        monkeypatch.setattr(sharing, "shares", lambda model: False)
    ours = orpo.loss(made.model, orpo.collate(made.items, 0))
    theirs = torch.tensor(0.0)
    for row in rows:
        chosen, rejected = pair_told(made.model, made.chat, row)
        odds = [(log_p := one.total / one.tokens) - torch.log(1 - torch.exp(log_p)) for one in (chosen, rejected)]
        learnt, tokens = chosen.total, chosen.tokens
        if options.get("prompts"):
            learnt, tokens = learnt + chosen.prompt, tokens + chosen.prompt_tokens
        theirs = theirs - learnt / tokens - options.get("strength", 0.1) * logsigmoid(odds[0] - odds[1])
    check_same(made.model, ours.total, theirs)


def test_the_rest_is_exact_at_both_ends() -> None:
    log_p = torch.tensor([-50.0, -5.0, -0.6932, -0.6930, -1e-3, -1e-6], dtype=torch.float32, requires_grad=True)
    exact = torch.log1p(-torch.exp(log_p.detach().double()))
    rest = log_rest(log_p)
    assert torch.allclose(rest.double(), exact, rtol=1e-5)
    rest.sum().backward()
    assert bool(log_p.grad is not None and log_p.grad.isfinite().all())
    assert bool(log_rest(torch.tensor([0.0])).isfinite())  # an answer that is certain
