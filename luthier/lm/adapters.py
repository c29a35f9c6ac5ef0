"""LoRA adapters in PEFT's format: putting one on a base, reading and writing its folder.

An adapter folder carries `luthier.json` beside PEFT's two files: the digests of the base, the chat template and the
tokenizer that it was trained with, so that an engine which would render otherwise can refuse it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from luthier.errors import BadConfig
from luthier.records.training import LoraSpec

STAMP = "luthier.json"


class Stamp(NamedTuple):
    """What an adapter was trained with."""

    base_digest: str
    template_digest: str
    tokenizer_digest: str


def put_on(model: PreTrainedModel, spec: LoraSpec, seed: int) -> PeftModel:
    """`model` with a fresh adapter that changes nothing yet (B = 0). Adapter weights take the model's precision.

    Raises BadConfig where one of the target names is no linear layer's.
    """
    torch.manual_seed(seed)
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha or spec.rank,
        use_rslora=spec.rank_stabilised,
        lora_dropout=spec.dropout,
        target_modules=spec.targets if isinstance(spec.targets, str) else list(spec.targets),
        task_type="CAUSAL_LM",
    )
    try:
        tuned = get_peft_model(model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise BadConfig(f"the model takes no adapter at {spec.targets} ({error})", "use targets: all-linear") from error
    reached = [f".{name}" for name in tuned.base_model.targeted_module_names]
    asked = () if spec.targets == "all-linear" else spec.targets
    unknown = [target for target in asked if not any(name.endswith(f".{target}") for name in reached)]
    if unknown:  # PEFT is content where one of several matches
        raise BadConfig(f"no layer of the model is called {', '.join(unknown)}", "use targets: all-linear")
    return tuned


def scale(spec: LoraSpec) -> float:
    """What B A x is multiplied with: alpha / sqrt(rank) where rank-stabilised, else alpha / rank."""
    alpha = spec.alpha or spec.rank
    return alpha / math.sqrt(spec.rank) if spec.rank_stabilised else alpha / spec.rank


def write(model: PeftModel, tensors: dict[str, torch.Tensor], folder: Path, stamp: Stamp) -> None:
    """PEFT's folder for the adapter of `model`, with `tensors` (its parameters by name, float32) as its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.peft_config["default"]
    fields = config.to_dict() | {"inference_mode": True, "base_model_name_or_path": ""}
    fields["target_modules"] = sorted(fields["target_modules"])
    (folder / "adapter_config.json").write_text(
        json.dumps(fields, indent=2, sort_keys=True, default=str), encoding="utf-8"
    )
    state = get_peft_model_state_dict(model, state_dict=tensors, save_embedding_layers=False)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "adapter_model.safetensors")
    (folder / STAMP).write_text(json.dumps(stamp._asdict(), indent=2), encoding="utf-8")


def read_stamp(folder: Path) -> Stamp | None:
    """What the adapter in `folder` was trained with, or None where it was not made by Luthier."""
    path = folder / STAMP
    return Stamp(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def read_into(model: PeftModel, folder: Path) -> None:
    """Give `model` the adapter weights of `folder`."""
    set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
