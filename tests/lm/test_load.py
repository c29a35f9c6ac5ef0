"""Weights are loaded whole, from safetensors, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from luthier.errors import BadConfig, Missing
from luthier.lm import load
from tests.tiny import tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "tiny")


@pytest.mark.parametrize(("name", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_in_the_precision_asked_for_ready_to_answer(folder: Path, name: load.DType, dtype: torch.dtype) -> None:
    model = load.load_model(folder, name)
    assert {weight.dtype for weight in model.parameters()} == {dtype}
    assert not model.training


@pytest.mark.parametrize("fast", [False, True])
def test_auto_follows_the_machine(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "has_fast_bfloat16", lambda: fast)
    assert load.resolve_dtype("auto") == (torch.bfloat16 if fast else torch.float32)


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="holds no model"):
        load.load_model(tmp_path)


def test_pickles_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BadConfig, match="pickled weights run code"):
        load.load_model(folder)


def test_weights_that_lack_a_layer_are_refused(folder: Path) -> None:
    """transformers would draw it at random and go on."""
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"], weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadConfig, match=r"lack 2 tensors, the first is model\.layers\.1\.mlp\.up_proj\.weight"):
        load.load_model(folder)
