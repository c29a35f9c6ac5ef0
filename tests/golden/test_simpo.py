"""SimPO: its formula on separate forward passes; no reference takes part."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.functional import logsigmoid

from luthier.training.simpo import method
from tests.golden.preferring import check_same, moved, pair_told, preferences


@pytest.mark.parametrize("options", [{}, {"beta": 1.5, "gamma": 0.2}])
def test_as_the_paper_writes_it(base: Path, options: dict[str, float]) -> None:
    rows, simpo = preferences(5), method(options)
    made = moved(base, simpo, rows)
    beta, gamma = options.get("beta", 2.0), options.get("gamma", 1.0)
    ours = simpo.loss(made.model, simpo.collate(made.items, 0))
    theirs, margins = torch.tensor(0.0), []
    for row in rows:
        chosen, rejected = pair_told(made.model, made.chat, row)
        margin = beta * (chosen.total / chosen.tokens - rejected.total / rejected.tokens)
        theirs = theirs - logsigmoid(margin - gamma)
        margins.append(margin.item())
    check_same(made.model, ours.total, theirs)
    assert ours.figures["margin"] == pytest.approx(sum(margins), abs=1e-4)
    assert simpo.annotate is None
