"""One LoRA adapter read from PEFT's folder, checked against the base that it is to run on.

An adapter that would silently answer wrongly is refused here: another base, template or tokenizer, a shape that does
not fit, a variant of LoRA that the engine does not compute, numbers that are none.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from luthier.errors import BadConfig, UnknownName
from luthier.lm.adapters import STAMP, Stamp, read_stamp

WEIGHT = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
NOT_COMPUTED = (
    "use_dora",
    "fan_in_fan_out",
    "lora_bias",
    "modules_to_save",
    "trainable_token_indices",
    "alora_invocation_tokens",
)


class Factors(NamedTuple):
    """What one linear layer gains: x · down · up, the scale already in `up`. (in, rank) and (rank, out)."""

    down_IR: torch.Tensor
    up_RO: torch.Tensor


@dataclass(frozen=True, eq=False)
class Adapter:
    """A loaded adapter. Answers hold it by itself, not by its name: one unloaded meanwhile runs on to the end."""

    name: str
    folder: Path
    rank: int
    factors: dict[str, Factors]
    """By the name of the layer in the model."""
    stamped: bool
    """It says which base, template and tokenizer it was trained with, and they are ours."""


class Base(NamedTuple):
    """What an adapter has to fit: the digests of the base, and its linear layers as (out, in) by name."""

    stamp: Stamp
    shapes: dict[str, tuple[int, int]]
    dtype: torch.dtype
    device: torch.device


def read(name: str, folder: Path, base: Base) -> Adapter:
    """The adapter in `folder`. Raises UnknownName where there is none, BadConfig where it cannot run on `base`."""
    config = read_config(folder)
    stamped = check_stamp(folder, base.stamp)
    tensors = read_tensors(folder)
    sides: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        if key.endswith(".base_layer.weight"):  # PEFT repeats the frozen head where it is a target
            continue
        if (match := WEIGHT.fullmatch(key)) is None:
            raise BadConfig(f"{folder} holds {key}, which is no LoRA factor", "train with plain LoRA on linear layers")
        sides.setdefault(match["module"], {})[match["side"]] = tensor
    if not sides:
        raise BadConfig(f"{folder} holds no LoRA factors", "give the folder that PEFT's save_pretrained wrote")
    factors = {module: fit(module, pair, config, base) for module, pair in sides.items()}
    rank = max(pair.up_RO.shape[0] for pair in factors.values())
    return Adapter(name, folder, rank, factors, stamped)


def read_config(folder: Path) -> dict[str, Any]:
    """PEFT's adapter_config.json, refused where it asks for what is not computed here."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise UnknownName(f"{folder} holds no adapter (no adapter_config.json)", "give a folder in PEFT's format")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadConfig(f"{path} is not JSON ({error})", "save the adapter again") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise BadConfig(f"{folder} is a {kind} adapter, and only LORA is served", "train a LoRA adapter")
    if config.get("bias", "none") != "none":
        raise BadConfig(f"{folder} also trains biases, which is not served", "train with bias: none")
    for field in NOT_COMPUTED:
        if config.get(field):
            raise BadConfig(f"{folder} uses {field}, which is not served", "merge it into its base and serve that")
    return config


def check_stamp(folder: Path, ours: Stamp) -> bool:
    """True where the adapter says what it was trained with and that is ours; False where it says nothing."""
    try:
        theirs = read_stamp(folder)
    except (ValueError, TypeError) as error:
        raise BadConfig(f"{folder / STAMP} cannot be read ({error})", "write the adapter again") from error
    if theirs is None:
        return False
    for what, wanted, given in zip(Stamp._fields, ours, theirs, strict=True):
        if wanted != given:
            label = what.removesuffix("_digest")
            raise BadConfig(
                f"{folder} was trained with {label} {given}, and this engine runs {label} {wanted}",
                "serve it on the base that it was trained on",
            )
    return True


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """The weights; safetensors alone, since pickles run code."""
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise BadConfig(f"{folder} holds no adapter_model.safetensors", "save the adapter as safetensors")
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadConfig(f"{path} cannot be read ({error})", "copy the adapter again from where it was made") from error
    return tensors


def fit(module: str, pair: dict[str, torch.Tensor], config: dict[str, Any], base: Base) -> Factors:
    """The factors of one layer in the base's precision, scale included (as PEFT: alpha / r, or alpha / √r)."""
    shape = base.shapes.get(module)
    down_RI, up_OR = pair.get("A"), pair.get("B")
    if shape is None or down_RI is None or up_OR is None or down_RI.dim() != 2 or up_OR.dim() != 2:
        raise BadConfig(f"the adapter changes {module}, which this base cannot take", "serve it on its own base")
    rank = down_RI.shape[0]
    if tuple(down_RI.shape) != (rank, shape[1]) or tuple(up_OR.shape) != (shape[0], rank):
        raise BadConfig(
            f"the adapter's factors for {module} are {tuple(down_RI.shape)} and {tuple(up_OR.shape)}, "
            f"and the base's layer is {shape}",
            "serve it on the base that it was trained on",
        )
    if rank != by_pattern(config.get("rank_pattern"), module, config.get("r")):
        raise BadConfig(f"{module} has rank {rank}, and adapter_config.json says otherwise", "save the adapter again")
    if not (down_RI.isfinite().all() and up_OR.isfinite().all()):
        # In a mixed batch 0 x inf would reach the other answers.
        raise BadConfig(f"the adapter's weights for {module} are not finite", "train again, with a lower learning rate")
    alpha = by_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha"))
    if not isinstance(alpha, int | float):
        raise BadConfig(f"lora_alpha is {alpha!r}, which is no number", "save the adapter again")
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    down_IR, up_RO = down_RI.t().contiguous(), (up_OR.float() * scale).t().contiguous()
    return Factors(down_IR.to(base.device, base.dtype), up_RO.to(base.device, base.dtype))


def by_pattern(patterns: dict[str, Any] | None, module: str, otherwise: Any) -> Any:
    """PEFT's per-layer exceptions: the value of the first pattern that the layer's name ends in."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return otherwise
