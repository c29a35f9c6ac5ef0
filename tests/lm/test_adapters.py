"""Adapters on a base and in a folder; what the golden tests say of their numbers is not said again."""

from __future__ import annotations

import json
import math
from pathlib import Path

import peft.utils.save_and_load
import pytest
import torch

from luthier.errors import BadConfig
from luthier.lm import adapters
from luthier.lm.load import load_model
from luthier.records.training import LoraSpec
from tests.tiny import LINEAR, tiny_adapter, tiny_model

STAMP = adapters.Stamp("a", "b", "c")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


def put_on(base: Path, **fields: object) -> peft.PeftModel:
    return adapters.put_on(load_model(base, "float32"), LoraSpec(**{"rank": 2} | fields), seed=3)


def trainable(model: peft.PeftModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("targets", [("nonsense",), ("q_proj", "nonsense"), ("proj",), ("model.layers.7.mlp.up_proj",)])
def test_a_target_that_no_layer_is_called_is_refused_by_name(base: Path, targets: tuple[str, ...]) -> None:
    with pytest.raises(BadConfig, match=targets[-1].replace(".", r"\.")) as refused:
        put_on(base, targets=targets)
    assert refused.value.mend == "use targets: all-linear"


@pytest.mark.parametrize("targets", [("mlp",), ("self_attn",), ("norm",)])
def test_a_target_that_is_no_linear_layer_is_refused(base: Path, targets: tuple[str, ...]) -> None:
    with pytest.raises(BadConfig, match="takes no adapter at"):
        put_on(base, targets=targets)


@pytest.mark.parametrize(
    ("targets", "layers"),
    [
        ("all-linear", {f"{layer}.{name}" for layer in (0, 1) for name in LINEAR}),
        (("q_proj",), {"0.q_proj", "1.q_proj"}),
        (("self_attn.q_proj", "layers.1.mlp.up_proj"), {"0.q_proj", "1.q_proj", "1.up_proj"}),
    ],
)
def test_the_layers_that_are_asked_for(base: Path, targets: object, layers: set[str]) -> None:
    found = trainable(put_on(base, targets=targets))
    assert all(".lora_A." in name or ".lora_B." in name for name in found)
    assert {f"{name.split('.')[4]}.{name.split('.')[6]}" for name in found} == layers


def test_the_seed_decides_the_start(base: Path) -> None:
    model = load_model(base, "float32")
    one, same = trainable(put_on(base)), trainable(put_on(base))
    other = trainable(adapters.put_on(model, LoraSpec(rank=2), seed=4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert all(torch.equal(one[name], other[name]) != ("lora_A" in name) for name in one)
    assert all(not tensor.any() for name, tensor in one.items() if "lora_B" in name)


@pytest.mark.parametrize(
    ("spec", "scale"),
    [
        (LoraSpec(rank=16), 4.0),
        (LoraSpec(rank=16, rank_stabilised=False), 1.0),
        (LoraSpec(rank=4, alpha=16), 8.0),
        (LoraSpec(rank=8, alpha=16, rank_stabilised=False), 2.0),
        (LoraSpec(rank=2, alpha=1), 1 / math.sqrt(2)),
    ],
)
def test_the_scale_is_pefts(base: Path, spec: LoraSpec, scale: float) -> None:
    assert adapters.scale(spec) == pytest.approx(scale)
    model = adapters.put_on(load_model(base, "float32"), spec, seed=0)
    layer = model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    assert layer.scaling["default"] == pytest.approx(scale)


def test_written_and_read_back(base: Path, tmp_path: Path) -> None:
    model = put_on(base)
    tensors = {name: torch.randn_like(tensor) for name, tensor in trainable(model).items()}
    adapters.write(model, tensors, tmp_path / "made" / "here", STAMP)
    adapters.read_into(model, tmp_path / "made" / "here")
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in trainable(model).items())
    assert adapters.read_stamp(tmp_path / "made" / "here") == STAMP


def test_nobody_is_asked_over_the_network(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object) -> None:
        raise AssertionError("PEFT asks the hub whether the vocabulary was resized")

    monkeypatch.setattr(peft.utils.save_and_load, "check_file_exists_on_hf_hub", ask)
    model = put_on(base)
    model.peft_config["default"].base_model_name_or_path = "somebody/something"
    adapters.write(model, trainable(model), tmp_path, STAMP)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == ""


def test_an_adapter_of_others_has_no_stamp(base: Path, tmp_path: Path) -> None:
    assert adapters.read_stamp(tiny_adapter(tmp_path / "theirs", base)) is None
