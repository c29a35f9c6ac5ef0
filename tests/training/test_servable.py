"""What an engine cannot serve is said before it is trained, and it is true: the engine refuses what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from luthier.engine import adapter as engine_adapter
from luthier.errors import BadConfig
from luthier.lm import adapters
from luthier.records.training import LoraSpec, Recipe
from luthier.training import base as bases
from luthier.training.servable import served_by, warnings
from tests.golden.kinds import ALL
from tests.training.making import make_recipe

STAMP = adapters.Stamp("a", "b", "c")


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind != "full"])
def test_our_engine_takes_what_it_is_said_to_take(base: Path, tmp_path: Path, kind: str) -> None:
    recipe = make_recipe(base, **ALL[kind])
    model = bases.load(recipe, "generate")
    own = {name: p.detach().float() for name, p in model.named_parameters() if p.requires_grad}
    adapters.write(model, own, tmp_path, STAMP)
    plain = bases.bare(recipe, "generate")
    shapes = {
        name: (layer.out_features, layer.in_features)
        for name, layer in plain.named_modules()
        if isinstance(layer, torch.nn.Linear)
    }
    there = engine_adapter.Base(STAMP, shapes, torch.float32, torch.device("cpu"))
    if served_by(recipe)["luthier"]:
        with pytest.raises(BadConfig):
            engine_adapter.read("one", tmp_path, there)
    else:
        assert engine_adapter.read("one", tmp_path, there).rank == adapters.rank(tmp_path)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (ALL["prefix"], "prefix tuning adapters are not served"),
        (ALL["prompt"], "prompt tuning adapters are not served"),
        (ALL["ia3"], "(IA)³ adapters are not served, only LoRA is: use lora, or merge it"),
        (ALL["bottleneck"], "bottleneck adapters are not served"),
        (ALL["dora"], "DoRA is not served as an adapter"),
        ({"lora": LoraSpec(targets=("q_proj", "lm_head"))}, "does not serve an adapter at lm_head"),
        ({"lora": LoraSpec(rank=256)}, ""),
        ({"lora": None}, ""),
    ],
)
def test_what_vllm_takes(fields: dict[str, Any], says: str) -> None:
    found = served_by(Recipe(base="b", **fields))["vllm"]
    assert says in found
    assert bool(found) == bool(says)


def test_ranks_add_up() -> None:
    pissa = Recipe(base="b", lora=LoraSpec(rank=250, variant="pissa"))
    assert not warnings(pissa)
    assert "its rank is 516, and --max-lora-rank goes up to 512" in served_by(pissa, lower_rank=16)["vllm"]
    assert served_by(pissa, lower_rank=16)["luthier"] == ""


def test_a_model_that_scores_is_for_training() -> None:
    assert warnings(Recipe(base="b"), "score") == tuple(
        f"{engine} will not serve the result: a model that scores gives no answers: graders and training read it"
        for engine in ("luthier", "vllm")
    )
