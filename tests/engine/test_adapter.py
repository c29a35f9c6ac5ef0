"""An adapter that would answer wrongly is refused, with what is wrong; the engine lives on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from luthier.engine.engine import Engine
from luthier.errors import BadConfig, LuthierError, UnknownName
from tests.engine.conftest import Folders
from tests.tiny import tiny_adapter, tiny_model


@pytest.fixture
def copied(folders: Folders, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders.adapters["plain"], tmp_path / "copied"))


def configured(folder: Path, **fields: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def weighed(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")


def stamp(folder: Path, engine: Engine, **fields: str) -> None:
    (folder / "luthier.json").write_text(json.dumps(engine.base.stamp._asdict() | fields))


def test_a_matching_stamp_is_taken(engine: Engine, copied: Path) -> None:
    stamp(copied, engine)
    assert engine.load_adapter("new", copied).stamped


@pytest.mark.parametrize("digest", ["base_digest", "template_digest", "tokenizer_digest"])
def test_another_base_is_refused_with_both_digests(engine: Engine, copied: Path, digest: str) -> None:
    stamp(copied, engine, **{digest: "f" * 64})
    with pytest.raises(BadConfig) as refused:
        engine.load_adapter("new", copied)
    assert "f" * 64 in str(refused.value)
    assert getattr(engine.base.stamp, digest) in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"base_digest": "x"}', "\x00"])
def test_a_broken_stamp_is_refused(engine: Engine, copied: Path, text: str) -> None:
    (copied / "luthier.json").write_text(text)
    with pytest.raises(BadConfig):
        engine.load_adapter("new", copied)


@pytest.mark.parametrize(
    "fields",
    [
        {"peft_type": "IA3"},
        {"use_dora": True},
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"r": 5},
        {"lora_alpha": "many"},
        {"lora_alpha": None},
        {"rank_pattern": {"q_proj": 2}},
    ],
)
def test_what_is_not_computed_is_refused(engine: Engine, copied: Path, fields: dict[str, object]) -> None:
    configured(copied, **fields)
    with pytest.raises(BadConfig):
        engine.load_adapter("new", copied)


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop(FIRST),
        lambda tensors: tensors[FIRST].fill_(torch.nan),
        lambda tensors: tensors[FIRST].fill_(torch.inf),
        lambda tensors: tensors.update({FIRST: tensors[FIRST][:, :8].contiguous()}),
        lambda tensors: tensors.update({FIRST: tensors[FIRST][0].clone()}),
        lambda tensors: tensors.update({FIRST.replace("layers.0", "layers.9"): tensors.pop(FIRST)}),
        lambda tensors: tensors.update({"model.embed_tokens.weight": torch.zeros(2, 2)}),
        lambda tensors: tensors.clear(),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    engine: Engine, copied: Path, change: Callable[[dict[str, torch.Tensor]], object]
) -> None:
    weighed(copied, change)
    with pytest.raises(BadConfig):
        engine.load_adapter("new", copied)
    assert "new" not in engine.adapters


@pytest.mark.parametrize("size", [0, 7, 100, 5000])
def test_a_cut_file_is_refused(engine: Engine, copied: Path, size: int) -> None:
    path = copied / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BadConfig):
        engine.load_adapter("new", copied)


def test_a_pickle_is_not_read(engine: Engine, copied: Path) -> None:
    (copied / "adapter_model.safetensors").rename(copied / "adapter_model.bin")
    with pytest.raises(BadConfig, match="safetensors"):
        engine.load_adapter("new", copied)


def test_no_folder(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(UnknownName):
        engine.load_adapter("new", tmp_path / "nothing")


def test_an_adapter_of_a_wider_model_is_refused(engine: Engine, folders: Folders, tmp_path: Path) -> None:
    wide = tiny_model(tmp_path / "wide", width=96)
    with pytest.raises(BadConfig, match="base's layer"):
        engine.load_adapter("new", tiny_adapter(tmp_path / "adapter", wide))


def test_a_name_is_taken_once(engine: Engine, copied: Path) -> None:
    for name in ("plain", engine.name):
        with pytest.raises(LuthierError, match="loaded already"):
            engine.load_adapter(name, copied)
    old = engine.adapters["plain"]
    assert engine.load_adapter("plain", copied, replace=True) is not old
    engine.unload_adapter("plain")
    with pytest.raises(UnknownName):
        engine.unload_adapter("plain")


def test_patterns_set_rank_and_alpha_of_single_layers(engine: Engine, copied: Path) -> None:
    before = engine.adapters["plain"].factors
    configured(copied, alpha_pattern={"self_attn.q_proj": 16})
    after = engine.load_adapter("new", copied).factors
    for name in before:
        ratio = 2 if name.endswith("q_proj") else 1
        torch.testing.assert_close(after[name].up_RO, before[name].up_RO * ratio)
