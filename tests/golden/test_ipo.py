"""IPO: equation 17 of the paper, each answer averaged over its tokens, on separate forward passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from luthier.training.ipo import method
from tests.golden.preferring import check_same, moved, pair_told, preferences


@pytest.mark.parametrize("tau", [0.1, 0.7])
def test_as_the_paper_writes_it(base: Path, tau: float) -> None:
    rows, ipo = preferences(5), method({"tau": tau})
    made = moved(base, ipo, rows)
    ours = ipo.loss(made.model, ipo.collate(made.items, 0))
    theirs, margins = torch.tensor(0.0), []
    for row in rows:
        chosen, rejected = pair_told(made.model, made.chat, row)
        with torch.no_grad():
            good, bad = pair_told(made.before, made.chat, row)
        margin = (chosen.total - good.total) / chosen.tokens - (rejected.total - bad.total) / rejected.tokens
        theirs = theirs + (margin - 1 / (2 * tau)) ** 2
        margins.append(tau * margin.item())
    check_same(made.model, ours.total, theirs)
    assert ours.figures["margin"] == pytest.approx(sum(margins), abs=1e-4)


def test_before_the_first_step_nothing_but_the_aim_counts(base: Path) -> None:
    made = moved(base, method({}), preferences(3))
    loss = method({}).loss(made.before, method({}).collate(made.items, 0))
    assert loss.total.item() / loss.terms == pytest.approx(25.0, rel=1e-5)
