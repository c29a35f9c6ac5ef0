"""LoRA and its relatives in PEFT's format: putting one on a base, reading and writing the folder of any adapter.

An adapter folder carries `luthier.json` beside PEFT's two files: the digests of the base, the chat template and the
tokenizer that it was trained with, so that an engine which would render otherwise can refuse it. Knows nothing of how
other kinds of adapter are put on (`bottleneck`, `vectors`), nor of training.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from luthier.errors import BadConfig
from luthier.lm import bottleneck, levels
from luthier.records.training import LoraSpec

STAMP, CONFIG, WEIGHTS = "luthier.json", "adapter_config.json", "adapter_model.safetensors"


class Stamp(NamedTuple):
    """What an adapter was trained with."""

    base_digest: str
    template_digest: str
    tokenizer_digest: str


def put_on(
    model: PreTrainedModel,
    spec: LoraSpec,
    seed: int,
    *,
    task: Literal["generate", "score"] = "generate",
    lower: levels.Levels | None = None,
) -> PeftModel:
    """`model` with a fresh adapter that changes nothing yet. Adapter weights take the model's precision.

    `lower` are adapters that it was trained with before: they go below, frozen. With the task `score` the head that
    gives a text its number is trained as well. Raises BadConfig where one of the target names is no linear layer's.
    """
    if lower and spec.variant == "dora":
        raise BadConfig(
            "DoRA cannot be trained on top of another adapter: what comes out is no sum of low-rank updates",
            "use variant: plain or pissa, or make a base of the lower one: merge it",
        )
    torch.manual_seed(seed)
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha or spec.rank,
        use_rslora=spec.rank_stabilised,
        use_dora=spec.variant == "dora",
        lora_dropout=spec.dropout,
        target_modules=spec.targets if isinstance(spec.targets, str) else list(spec.targets),
        task_type="SEQ_CLS" if task == "score" else "CAUSAL_LM",
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
    frozen = lower or {}
    if spec.variant == "pissa":
        frozen = levels.begin_with_largest(tuned, frozen)
    if frozen:
        levels.put_below(tuned, frozen)
    return tuned


def scale(spec: LoraSpec) -> float:
    """What B A x is multiplied with: alpha / sqrt(rank) where rank-stabilised, else alpha / rank."""
    alpha = spec.alpha or spec.rank
    return alpha / math.sqrt(spec.rank) if spec.rank_stabilised else alpha / spec.rank


def write(model: PreTrainedModel | PeftModel, tensors: dict[str, torch.Tensor], folder: Path, stamp: Stamp) -> None:
    """The folder for the adapter of `model`, with `tensors` (its parameters by name, float32) as its weights.

    PEFT's format, but for bottleneck adapters, which PEFT has not. A LoRA on top of others is written as one LoRA.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, PeftModel):
        fields, state = in_pefts_format(model, tensors)
    else:
        fields, state = bottleneck.fields(model), tensors
    (folder / CONFIG).write_text(json.dumps(fields, indent=2, sort_keys=True, default=str), encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / WEIGHTS)
    (folder / STAMP).write_text(json.dumps(stamp._asdict(), indent=2), encoding="utf-8")


def in_pefts_format(
    model: PeftModel, tensors: dict[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What PEFT writes into adapter_config.json and adapter_model.safetensors."""
    config = model.peft_config["default"]
    fields = config.to_dict() | {"inference_mode": True, "base_model_name_or_path": ""}
    if config.is_prompt_learning:
        fields |= {"tokenizer_name_or_path": None} if "tokenizer_name_or_path" in fields else {}
        (prompt,) = tensors.values()
        return fields, {"prompt_embeddings": prompt}
    for name in ("target_modules", "feedforward_modules"):  # sets, in an order of their own each time
        if fields.get(name) is not None:
            fields[name] = sorted(fields[name])
    state = get_peft_model_state_dict(model, state_dict=tensors, save_embedding_layers=False)
    if levels.of(model):
        joined = levels.joined(model, tensors)
        heads = {name: tensor for name, tensor in state.items() if ".lora_" not in name}
        return fields | joined.fields, heads | joined.tensors
    return fields, state


def is_adapter(folder: Path) -> bool:
    """Whether `folder` holds an adapter and not a whole model."""
    return (folder / CONFIG).is_file()


def rank(folder: Path) -> int | None:
    """The rank that an engine has to make room for; None where the adapter in `folder` is no LoRA."""
    found = json.loads((folder / CONFIG).read_text(encoding="utf-8")) if is_adapter(folder) else {}
    return int(found["r"]) if found.get("peft_type") == "LORA" else None


def read_stamp(folder: Path) -> Stamp | None:
    """What the adapter in `folder` was trained with, or None where it was not made by Luthier."""
    path = folder / STAMP
    return Stamp(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def read_into(model: PeftModel, folder: Path) -> None:
    """Give `model` the adapter weights of `folder`."""
    set_peft_model_state_dict(model, load_file(folder / WEIGHTS))


def read_onto(model: PreTrainedModel, folder: Path) -> PreTrainedModel | PeftModel:
    """`model`, a bare base, with the adapter of `folder`, as PEFT alone reads it."""
    if bottleneck.is_one(folder):
        return bottleneck.read_onto(model, folder)
    return PeftModel.from_pretrained(model, folder, autocast_adapter_dtype=False)


def merged(model: PeftModel) -> PreTrainedModel:
    """The base of `model` with the adapter's changes in its own weights. `model` is used up.

    Raises BadConfig for a kind of adapter that is no change of weights.
    """
    if not hasattr(model.base_model, "merge_and_unload"):
        kind = model.peft_config["default"].peft_type.value
        raise BadConfig(f"a {kind} adapter is no change of weights and cannot be merged", "serve it as an adapter")
    whole: PreTrainedModel = model.merge_and_unload()
    return whole
