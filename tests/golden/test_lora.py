"""Adapters are PEFT's: nothing at the start, the same logits in plain PEFT, the same when merged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

from luthier.lm import adapters
from luthier.lm.load import load_model
from luthier.progress import silent
from luthier.records.training import LoraSpec
from luthier.training.loop import Outcome, Work, train
from luthier.training.sft import SFT
from tests.training.making import Ready, make_recipe, ready

STAMP = adapters.Stamp("base", "template", "tokenizer")
IDS = torch.tensor([[1, 40, 50, 60, 70, 80, 90, 100, 110, 2]])
SPECS = {
    "rank-stabilised": LoraSpec(rank=4),
    "alpha over rank": LoraSpec(rank=4, alpha=16, rank_stabilised=False),
    "two targets": LoraSpec(rank=2, alpha=4, targets=("q_proj", "down_proj")),
    "dropout": LoraSpec(rank=4, dropout=0.2),
}


class Tuned(NamedTuple):
    """A trained adapter: in memory, and in `folder`/adapter."""

    spec: LoraSpec
    made: Ready
    outcome: Outcome
    folder: Path


@pytest.fixture(scope="module", params=SPECS)
def tuned(request: pytest.FixtureRequest, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    return Tuned(SPECS[request.param], *trained(base, folder, SPECS[request.param]), folder)


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    out: torch.Tensor = model.eval()(input_ids=IDS, use_cache=False).logits
    return out


def plain(base: Path, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
    """The base as anybody would load it."""
    return LlamaForCausalLM.from_pretrained(base, dtype=dtype, attn_implementation="eager")


def trained(base: Path, folder: Path, spec: LoraSpec, dtype: str = "float32") -> tuple[Ready, Outcome]:
    """A few steps, and the adapter written to `folder`/adapter."""
    made = ready(make_recipe(base, lora=spec, dtype=dtype))
    outcome = train(Work(made.model, SFT, made.recipe, made.items, (), 0, folder, {}), silent)
    adapters.write(made.model, outcome.masters, folder / "adapter", STAMP)
    return made, outcome


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", SPECS)
def test_at_the_start_it_is_the_base(base: Path, name: str, dtype: str) -> None:
    made = ready(make_recipe(base, lora=SPECS[name], dtype=dtype))
    assert torch.equal(logits(made.model), logits(load_model(base, dtype, attention="eager")))


def test_plain_peft_says_the_same(base: Path, tuned: Tuned) -> None:
    ours = logits(tuned.made.model)
    theirs = PeftModel.from_pretrained(plain(base), tuned.folder / "adapter")
    assert torch.equal(ours, logits(theirs))
    assert (ours - logits(plain(base))).abs().max() > 0.1  # it has learnt something
    merged = theirs.merge_and_unload()
    assert (ours - logits(merged)).abs().max() < 1e-5


def test_a_bfloat16_run_keeps_its_masters(base: Path, tmp_path: Path) -> None:
    """The file has float32 masters; in a bfloat16 base they say what the trained model said."""
    made, outcome = trained(base, tmp_path, LoraSpec(rank=4), "bfloat16")
    theirs = PeftModel.from_pretrained(plain(base, torch.bfloat16), tmp_path / "adapter", autocast_adapter_dtype=False)
    assert torch.equal(logits(made.model), logits(theirs))
    in_float32 = PeftModel.from_pretrained(plain(base), tmp_path / "adapter")
    weights = dict(in_float32.named_parameters())
    assert all(torch.equal(weights[name], master) for name, master in outcome.masters.items())
    assert any(not torch.equal(master, master.bfloat16().float()) for master in outcome.masters.values())


def test_the_formula(base: Path, tuned: Tuned) -> None:
    """W x + scale · B A x (Hu et al. 2021), put into the weights by hand."""
    by_hand = plain(base)
    masters = tuned.outcome.masters
    down = {name: tensor for name, tensor in masters.items() if "lora_A" in name}
    for name, a_RI in down.items():
        b_OR = masters[name.replace("lora_A", "lora_B")]
        layer = by_hand.get_submodule(name.removeprefix("base_model.model.").partition(".lora_A")[0])
        layer.weight.data += adapters.scale(tuned.spec) * b_OR @ a_RI
    assert len(down) == (4 if tuned.spec.targets != "all-linear" else 14)
    assert (logits(tuned.made.model) - logits(by_hand)).abs().max() < 1e-5


def test_every_tensor_of_the_adapter_has_moved(base: Path, tuned: Tuned) -> None:
    before = dict(ready(make_recipe(base, lora=tuned.spec)).model.named_parameters())
    masters = tuned.outcome.masters
    assert not [name for name, master in masters.items() if torch.equal(master, before[name])]
    assert sum("lora_B" in name for name in masters) == len(masters) // 2


def test_the_base_has_not(base: Path, tuned: Tuned) -> None:
    weights = dict(tuned.made.model.get_base_model().named_parameters())
    for name, weight in plain(base).named_parameters():
        kept = weights.get(name, weights.get(name.replace(".weight", ".base_layer.weight")))
        assert torch.equal(kept, weight)


def test_the_same_run_writes_the_same_bytes(base: Path, tmp_path: Path) -> None:
    def files(folder: Path) -> Sequence[tuple[str, bytes]]:
        trained(base, folder, LoraSpec(rank=4, dropout=0.1))
        return [(path.name, path.read_bytes()) for path in sorted((folder / "adapter").iterdir())]

    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_the_folder_names_no_path_and_no_base(base: Path, tuned: Tuned) -> None:
    text = (tuned.folder / "adapter" / "adapter_config.json").read_text()
    config = json.loads(text)
    assert str(base) not in text
    assert (config["peft_type"], config["r"], config["inference_mode"]) == ("LORA", tuned.spec.rank, True)
    assert config["use_rslora"] == tuned.spec.rank_stabilised
    assert adapters.read_stamp(tuned.folder / "adapter") == STAMP
