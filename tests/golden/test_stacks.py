"""A domain, a language, a product: each trained on top of the one before, and served as one LoRA."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from luthier.engine import adapter as engine_adapter
from luthier.engine.model import LanguageModel, Part
from luthier.engine.model import load as load_engine
from luthier.errors import BadConfig
from luthier.lm import adapters, levels
from luthier.lm.chat import Chat
from luthier.lm.load import load_model
from luthier.lm.pull import folder_digest
from luthier.progress import silent
from luthier.records.training import Ia3Spec, LoraSpec, Recipe
from luthier.training import base as bases
from luthier.training import finish
from luthier.training.loop import Work, train
from luthier.training.sft import SFT
from tests.tiny import tiny_model
from tests.training.making import make_recipe, ready

IDS = [1, 40, 50, 60, 70, 80, 90, 100, 110, 2]
LEVELS = (
    LoraSpec(rank=3, targets=("q_proj", "v_proj"), alpha=8),
    LoraSpec(rank=2, targets=("layers.1.mlp.up_proj", "v_proj"), rank_stabilised=False, alpha=6),
    LoraSpec(rank=4),
)


def stamp(base: Path) -> adapters.Stamp:
    chat = Chat.load(base)
    return adapters.Stamp(folder_digest(base), chat.template_digest, chat.tokenizer_digest)


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    out: torch.Tensor = model.eval()(input_ids=torch.tensor([IDS]), use_cache=False).logits[0]
    return out


def off(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max())


def trained(recipe: Recipe, folder: Path, under: Path | None = None) -> tuple[Any, Path]:
    """A few steps on top of `under`: the model in memory, and the folder that it was written to."""
    made = ready(recipe.model_copy(update={"lora": None}))
    model = bases.load(recipe, "generate", under)
    work = Work(model, SFT, recipe, made.items, (), 0, folder, {})
    masters = train(work, silent).masters
    finish.require_moved(recipe, "generate", under, masters, 3)
    finish.write(model, masters, folder / "result", made.chat, stamp(Path(recipe.base)))
    return model, folder / "result"


def recipe_of(base: Path, spec: LoraSpec | None, **fields: Any) -> Recipe:
    return make_recipe(base, lora=spec, max_steps=3, **{"learning_rate": 2e-3} | fields)


def stack(base: Path, folder: Path, specs: Sequence[LoraSpec]) -> list[tuple[Any, Path]]:
    made: list[tuple[Any, Path]] = []
    for number, spec in enumerate(specs):
        under = made[-1][1] if made else None
        made.append(trained(recipe_of(base, spec), folder / str(number), under))
    return made


@pytest.fixture(scope="module")
def three(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, Path]]:
    return stack(base, tmp_path_factory.mktemp("three"), LEVELS)


@torch.no_grad()
def served(base: Path, folder: Path) -> torch.Tensor:
    """What our engine says with the adapter of `folder`."""
    model: LanguageModel = load_engine(base, "float32", 2, None)
    shapes = {name: (layer.out_features, layer.in_features) for name, layer in model.bank.linear.items()}
    read = engine_adapter.read("one", folder, engine_adapter.Base(stamp(base), shapes, model.dtype, model.device))
    assert read.stamped
    model.bank.make_room(read)
    return model.logits(model.hidden([Part(IDS, 0, 0, read)]), [read] * len(IDS))


@pytest.mark.parametrize("level", range(3))
def test_one_lora_says_what_the_stack_said(base: Path, three: list[tuple[Any, Path]], level: int) -> None:
    model, folder = three[level]
    said = logits(model)
    alone = PeftModel.from_pretrained(load_model(base, "float32", attention="eager"), folder)
    assert off(said, logits(alone)) < 1e-5
    assert off(said, served(base, folder)) < 1e-5
    assert off(said, logits(alone.merge_and_unload())) < 1e-5
    if level:
        assert off(said, logits(three[level - 1][0])) > 1e-3


def test_ranks_add_up_layer_by_layer(three: list[tuple[Any, Path]]) -> None:
    pairs = levels.read(three[2][1])
    ranks = {name.removeprefix("model.layers."): pair.down_RI.shape[0] for name, pair in pairs.items()}
    assert (ranks["0.self_attn.q_proj"], ranks["0.self_attn.v_proj"]) == (7, 9)
    assert (ranks["0.mlp.up_proj"], ranks["1.mlp.up_proj"], ranks["1.mlp.gate_proj"]) == (4, 6, 4)
    config = json.loads((three[2][1] / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (9, 9, False)
    assert adapters.rank(three[2][1]) == 9
    assert config["rank_pattern"] == config["alpha_pattern"]
    assert config["target_modules"] == sorted(name.rpartition(".")[2] for name in ranks if name.startswith("0."))


def test_what_lies_below_stays_as_it_was(three: list[tuple[Any, Path]]) -> None:
    below, above = levels.read(three[0][1]), levels.read(three[1][1])
    for name, pair in below.items():
        rank = pair.down_RI.shape[0]
        assert torch.equal(above[name].down_RI[:rank], pair.down_RI)
        assert torch.allclose(above[name].up_OR[:, :rank], pair.up_OR, atol=0, rtol=1e-6)


def test_a_fresh_level_changes_nothing(base: Path, three: list[tuple[Any, Path]]) -> None:
    for spec in (LoraSpec(rank=2), LoraSpec(rank=2, variant="pissa")):
        model = bases.load(recipe_of(base, spec), "generate", three[1][1])
        assert off(logits(three[1][0]), logits(model)) < 1e-5


def test_pissa_and_a_small_base_on_top(base: Path, three: list[tuple[Any, Path]], tmp_path: Path) -> None:
    model, folder = trained(recipe_of(base, LoraSpec(rank=2, variant="pissa")), tmp_path / "pissa", three[1][1])
    assert off(logits(model), served(base, folder)) < 1e-5
    small = recipe_of(base, LoraSpec(rank=2), quantised="int8")
    model, folder = trained(small, tmp_path / "small", three[1][1])
    made = ready(small.model_copy(update={"lora": None}))
    checks = finish.check(model, folder, made.items, made.chat)
    assert checks.reload_difference < 1e-4 < (checks.unquantised_difference or 0)


def test_every_weight_on_top_of_an_adapter(base: Path, three: list[tuple[Any, Path]], tmp_path: Path) -> None:
    start = bases.load(recipe_of(base, None), "generate", three[2][1])
    assert all(weight.requires_grad for weight in start.parameters())
    assert off(logits(three[2][0]), logits(start)) < 1e-5
    model, folder = trained(recipe_of(base, None, learning_rate=1e-4), tmp_path, three[2][1])
    assert off(logits(model), logits(load_model(folder, "float32", attention="eager"))) == 0


def test_an_adapter_on_top_of_a_whole_model(base: Path, tmp_path: Path) -> None:
    whole, lower = trained(recipe_of(base, None, learning_rate=1e-3), tmp_path / "whole")
    recipe = recipe_of(base, LoraSpec(rank=2))
    assert bases.ground(recipe, lower) == lower
    assert bases.ground(recipe) == base
    assert torch.equal(logits(whole), logits(bases.load(recipe, "generate", lower)))
    model, folder = trained(recipe, tmp_path / "upper", lower)
    alone = PeftModel.from_pretrained(load_model(lower, "float32", attention="eager"), folder)
    assert torch.equal(logits(model), logits(alone))


def test_in_bfloat16_the_lower_levels_keep_their_precision(base: Path, three: list[tuple[Any, Path]]) -> None:
    recipe = recipe_of(base, LoraSpec(rank=2), dtype="bfloat16")
    model = bases.load(recipe, "generate", three[0][1])
    own = {name: p.detach().float() for name, p in model.named_parameters() if p.requires_grad}
    written = levels.joined(model, own).tensors
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    assert torch.equal(written[name][:3], levels.read(three[0][1])["model.layers.0.self_attn.q_proj"].down_RI)


def test_another_base_is_refused(base: Path, three: list[tuple[Any, Path]], tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other", seed=5)
    with pytest.raises(BadConfig, match="has another base than"):
        bases.load(recipe_of(other, LoraSpec(rank=2)), "generate", three[0][1])
    nameless = tmp_path / "nameless"
    nameless.mkdir()
    for path in three[0][1].iterdir():
        if path.name != adapters.STAMP:
            (nameless / path.name).write_bytes(path.read_bytes())
    with pytest.raises(BadConfig, match="does not say which base"):
        bases.load(recipe_of(base, LoraSpec(rank=2)), "generate", nameless)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"lora": LoraSpec(rank=2, variant="dora")}, "DoRA cannot be trained on top of another adapter"),
        ({"lora": None, "adapter": Ia3Spec(kind="ia3")}, "a ia3 adapter cannot be trained on top of another"),
    ],
)
def test_what_does_not_add_up_is_refused(
    base: Path, three: list[tuple[Any, Path]], fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadConfig, match=says):
        bases.load(make_recipe(base, **fields), "generate", three[0][1])


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"lora": LoraSpec(rank=2, variant="dora")}, "the lower adapter is LoRA with use_dora"),
        ({"lora": None, "adapter": Ia3Spec(kind="ia3")}, "the lower adapter is IA3"),
    ],
)
def test_what_cannot_lie_below_is_refused(base: Path, tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    recipe = make_recipe(base, max_steps=2, **fields)
    model = bases.load(recipe, "generate")
    own = {name: p.detach().float() for name, p in model.named_parameters() if p.requires_grad}
    adapters.write(model, own, tmp_path / "lower", stamp(base))
    with pytest.raises(BadConfig, match=says):
        bases.load(recipe_of(base, LoraSpec(rank=2)), "generate", tmp_path / "lower")
