"""How a step is cut into micro-batches changes nothing: eight rows at once are eight rows one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from luthier.progress import silent
from luthier.records.training import LoraSpec
from luthier.training.batches import plan
from luthier.training.loop import Work, read_metrics, train
from luthier.training.sft import SFT
from tests.training.making import make_recipe, ready


@pytest.mark.parametrize("lora", [LoraSpec(rank=4), None], ids=["adapter", "full"])
def test_eight_at_once_are_eight_times_one(base: Path, tmp_path: Path, lora: LoraSpec | None) -> None:
    left = []
    for folder, tokens, micros in ((tmp_path / "together", 10_000, 1), (tmp_path / "alone", 16, 8)):
        rate = 1e-3 if lora else 1e-4
        recipe = make_recipe(base, lora=lora, batch_rows=8, micro_tokens=tokens, learning_rate=rate, weight_decay=0.01)
        made = ready(recipe)
        steps = plan([len(item.ids) for item in made.items], made.recipe)
        assert len(steps[0]) == micros
        outcome = train(Work(made.model, SFT, made.recipe, made.items, (), 0, folder, {}), silent)
        left.append((read_metrics(folder, len(steps)), outcome.masters))
    (together, weights), (alone, others) = left
    for one, other in zip(together, alone, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["norm"] == pytest.approx(other["norm"], rel=1e-4)
        assert one["tokens"] == other["tokens"]
    # Adam divides by the root of the gradient's square: where that is next to nothing, rounding is magnified.
    difference = max(float((weights[name] - others[name]).abs().max()) for name in weights)
    assert difference < 5e-5
    assert together[-1]["loss"] < together[0]["loss"]


def test_unequal_answers_weigh_by_their_tokens(base: Path) -> None:
    """A step's loss is the sum over its learnt tokens divided by their number, however they are cut."""
    made = ready(make_recipe(base))
    with torch.no_grad():
        parts = [SFT.loss(made.model, SFT.collate([item], 0)) for item in made.items[:6]]
        whole = SFT.loss(made.model, SFT.collate(made.items[:6], 0))
    assert len({part.terms for part in parts}) > 1
    assert sum(part.terms for part in parts) == whole.terms
    assert float(sum(part.total for part in parts)) == pytest.approx(float(whole.total), rel=1e-6)
