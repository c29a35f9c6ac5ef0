"""KTO: its formula on separate forward passes, its z over the whole step, rows of ratings and of preferences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.errors import BadData
from luthier.lm.chat import Chat
from luthier.records.data import Row
from luthier.training.kto import each_step, method, prepare
from tests.golden.preferring import check_same, moved, pair_told, preference, preferences, rating, told


def mixed() -> list[Row]:
    """Ratings of both kinds, and a preference."""
    return [rating(1), rating(2), rating(3), preference(4), rating(5)]


@torch.no_grad()
def flatten(model: Any) -> None:
    """Make any text likelier than it was: smaller weights are less sure of what comes next."""
    for weight in model.parameters():
        weight.mul_(0.5)


@pytest.mark.parametrize("options", [{}, {"beta": 0.5, "wanted": 1.3, "unwanted": 0.7}])
def test_as_the_paper_writes_it(base: Path, options: dict[str, float]) -> None:
    rows, kto = mixed(), method(options)
    made = moved(base, kto, rows)
    flatten(made.model)
    items = each_step(made.model, made.items, made.recipe, 0)
    ours = kto.loss(made.model, kto.collate(items, 0))
    beta, drift = options.get("beta", 0.1), []
    for number, row in enumerate(rows):
        other = rows[number - 1]
        for answer in (other.messages[-1:], other.rejected):
            if answer:
                with torch.no_grad():
                    now, then = (told(model, made.chat, row, answer).total for model in (made.model, made.before))
                drift.append(float(now - then))
    assert len(drift) == 6
    z, theirs = max(0.0, sum(drift) / 6), torch.tensor(0.0)
    for row in rows:
        for answer, good in ((row.messages[-1:], row.good is not False), (row.rejected, False)):
            if answer:
                with torch.no_grad():
                    before = told(made.before, made.chat, row, answer).total
                far = beta * (told(made.model, made.chat, row, answer).total - before - z)
                weight = options.get("wanted" if good else "unwanted", 1.0)
                theirs = theirs + weight * (1 - torch.sigmoid(far if good else -far))
    assert z > 0
    assert ours.terms == 6
    assert ours.figures["z"] / 6 == pytest.approx(z, abs=1e-4)
    check_same(made.model, ours.total, theirs)


def test_z_is_the_same_however_a_step_is_cut(base: Path) -> None:
    made, kto = moved(base, method({}), mixed()), method({})
    flatten(made.model)
    wholes = [
        each_step(made.model, made.items, made.recipe.model_copy(update={"micro_tokens": n}), 0) for n in (16, 9999)
    ]
    zs = [{item.known[0] for item in items} for items in wholes]
    assert [len(z) for z in zs] == [1, 1]
    assert zs[0].pop() == pytest.approx(zs[1].pop(), rel=1e-4)
    together = kto.loss(made.model, kto.collate(wholes[0], 0))
    alone = [kto.loss(made.model, kto.collate([item], 0)) for item in wholes[0]]
    assert together.total.item() == pytest.approx(sum(one.total.item() for one in alone), rel=1e-5)
    assert together.figures["z"] > 0


def test_before_the_first_step_it_is_a_half(base: Path) -> None:
    made, kto = moved(base, method({}), mixed()), method({})
    loss = kto.loss(made.before, kto.collate(each_step(made.before, made.items, made.recipe, 0), 0))
    assert loss.total.item() == pytest.approx(3.0, rel=1e-4)


def test_a_preference_is_one_wanted_and_one_unwanted_answer(base: Path) -> None:
    kto = method({})
    paired = moved(base, kto, preferences(1))
    chosen, rejected = pair_told(paired.model, paired.chat, preference(0))
    with torch.no_grad():
        good, bad = pair_told(paired.before, paired.chat, preference(0))
    ours = kto.loss(paired.model, kto.collate(paired.items, 0))
    wanted, unwanted = 0.1 * (chosen.total - good.total), 0.1 * (rejected.total - bad.total)
    theirs = 2 - torch.sigmoid(wanted) - torch.sigmoid(-unwanted)
    assert ours.terms == 2
    assert each_step(paired.model, paired.items, paired.recipe, 0)[0].known[0] == 0  # no other prompt to pair it with
    check_same(paired.model, ours.total, theirs)


def test_a_row_that_nobody_rated_is_refused(base: Path) -> None:
    row = rating(0).model_copy(update={"good": None})
    with pytest.raises(BadData, match="row train-000 is not rated") as refused:
        prepare(row, Chat.load(base))
    assert "good: true" in refused.value.mend
