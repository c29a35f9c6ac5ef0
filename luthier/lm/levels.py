"""Adapters on top of adapters: frozen low-rank updates below the one that is trained, and all of them as one LoRA.

Each level is a sum, W x + B1 A1 x + B2 A2 x + …, so levels stand side by side in one LoRA of their summed rank:
[B1 B2] [A1; A2] is the same sum. PiSSA (Meng et al. 2024, arXiv:2404.02948) is told in the same terms: it begins with
the weights' largest part and takes that part away again below, so what is written needs no other base.

Knows nothing of rows and steps.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from peft import LoraConfig, PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

from luthier.errors import BadConfig

BELOW, KEPT = "below", "luthier_levels"
PREFIX = "base_model.model."


class Pair(NamedTuple):
    """A low-rank update of one layer, float32, its scale in `up`: up · down."""

    down_RI: torch.Tensor
    up_OR: torch.Tensor


Levels = Mapping[str, Pair]
"""By the name of the layer in the base; several levels of one layer stand side by side in its pair."""


class Joined(NamedTuple):
    """One LoRA in PEFT's format: fields of its config, and its tensors."""

    fields: dict[str, Any]
    tensors: dict[str, torch.Tensor]


def read(folder: Path) -> dict[str, Pair]:
    """The LoRA in `folder`. Raises BadConfig where it is another kind of adapter or cannot be written as a sum."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    extra = [field for field in ("use_dora", "modules_to_save", "lora_bias", "fan_in_fan_out") if config.get(field)]
    if config.get("peft_type") != "LORA" or extra:
        kind = config.get("peft_type") if config.get("peft_type") != "LORA" else f"LoRA with {extra[0]}"
        raise BadConfig(
            f"the lower adapter is {kind}, and only a plain LoRA can lie below another adapter",
            "train on the untouched base, or with lora of variant plain or pissa below",
        )
    sides: dict[str, dict[str, torch.Tensor]] = defaultdict(dict)
    for key, tensor in load_file(folder / "adapter_model.safetensors").items():
        name, _, side = key.removeprefix(PREFIX).removesuffix(".weight").rpartition(".lora_")
        sides[name][side] = tensor.float()
    wrapped = LoraConfig(**{field: config[field] for field in ("r", "lora_alpha", "rank_pattern", "alpha_pattern")})
    pairs = {}
    for name, pair in sides.items():
        rank = pair["A"].shape[0]
        alpha = by_pattern(wrapped.alpha_pattern, name, wrapped.lora_alpha)
        scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
        pairs[name] = Pair(pair["A"], pair["B"] * scale)
    return pairs


def by_pattern(patterns: Mapping[str, Any], name: str, otherwise: float) -> float:
    """PEFT's exceptions for single layers: the value for the layer called `name`."""
    from peft.utils.other import get_pattern_key

    return float(patterns.get(get_pattern_key(patterns.keys(), name), otherwise))


def side_by_side(lower: Levels, upper: Levels) -> dict[str, Pair]:
    """Both as one: where a layer has both, their ranks add up."""
    joined = dict(lower)
    for name, pair in upper.items():
        below = lower.get(name)
        joined[name] = (
            Pair(torch.cat([below.down_RI, pair.down_RI]), torch.cat([below.up_OR, pair.up_OR], dim=1))
            if below
            else pair
        )
    return joined


def layers(model: PeftModel) -> dict[str, LoraLayer]:
    """The layers that some adapter changes, by their name in the base."""
    return {
        name.removeprefix(PREFIX): module for name, module in model.named_modules() if isinstance(module, LoraLayer)
    }


def of(model: PeftModel) -> Levels:
    """What lies below the trained adapter of `model`."""
    return cast("Levels", vars(model).get(KEPT, {}))


@torch.no_grad()
def put_below(model: PeftModel, lower: Levels) -> None:
    """Have `lower` computed and frozen below the trained adapter. Raises BadConfig where a layer does not fit."""
    linear = {name: module for name, module in model.get_base_model().named_modules() if hasattr(module, "in_features")}
    for name, pair in lower.items():
        there = linear.get(name)
        shape = there and (there.out_features, there.in_features)
        if shape != (pair.up_OR.shape[0], pair.down_RI.shape[1]):
            raise BadConfig(
                f"the lower adapter changes {name}, which this base cannot take",
                "train on the base that it was made for",
            )
    ranks = {name: pair.down_RI.shape[0] for name, pair in lower.items()}
    exact = {name.replace(".", r"\."): rank for name, rank in ranks.items()}
    config = LoraConfig(
        r=max(ranks.values()),
        lora_alpha=max(ranks.values()),
        rank_pattern=exact,
        alpha_pattern=exact,
        target_modules=sorted(lower),
    )
    # PEFT's own class for models that score would give the frozen adapter a head as well.
    PeftModel.add_adapter(model, BELOW, config, autocast_adapter_dtype=False)
    for name, layer in layers(model).items():
        if (kept := lower.get(name)) is not None:
            layer.lora_A[BELOW].weight.copy_(kept.down_RI)
            layer.lora_B[BELOW].weight.copy_(kept.up_OR)
    model.base_model.set_adapter(["default", BELOW])
    model.set_requires_grad(BELOW, requires_grad=False)
    vars(model)[KEPT] = dict(lower)  # in float32: the model's own copy may be rounded


@torch.no_grad()
def begin_with_largest(model: PeftModel, lower: Levels) -> dict[str, Pair]:
    """Give the trained adapter the largest singular vectors of its weights; `lower` with their opposite beside it.

    Randomised (Halko et al. 2011, arXiv:0909.4061), over twice the rank and with 16 rounds: on the layers of a
    trained model its product holds more than 99.9 % of the squared length of the full decomposition's.
    """
    start: dict[str, Pair] = {}
    for name, layer in layers(model).items():
        weight_OI = layer.get_base_layer().weight.float()
        if (below := lower.get(name)) is not None:
            weight_OI = weight_OI + below.up_OR.to(weight_OI.device) @ below.down_RI.to(weight_OI.device)
        down, up, scale = layer.lora_A["default"].weight, layer.lora_B["default"].weight, layer.scaling["default"]
        rank = min(down.shape[0], *weight_OI.shape)
        u_OR, s_R, v_IR = torch.svd_lowrank(weight_OI, q=min(2 * rank + 8, *weight_OI.shape), niter=16)
        half_R = (s_R[:rank] / scale).sqrt()
        down[:rank] = (v_IR[:, :rank] * half_R).t()
        up[:, :rank] = u_OR[:, :rank] * half_R
        start[name] = Pair(down.float().clone(), -scale * up.float())
    return side_by_side(lower, start)


def joined(model: PeftModel, tensors: Mapping[str, torch.Tensor]) -> Joined:
    """The trained adapter (`tensors`: its parameters by name, float32) and all below it as one LoRA, scales folded in.

    alpha equals the rank everywhere, so an engine that overlooks exceptions for single layers scales rightly too.
    """
    own = {
        name: Pair(
            tensors[f"{PREFIX}{name}.lora_A.default.weight"].cpu(),
            tensors[f"{PREFIX}{name}.lora_B.default.weight"].cpu() * layer.scaling["default"],
        )
        for name, layer in layers(model).items()
        if "default" in layer.lora_A
    }
    pairs = side_by_side({name: Pair(*(t.cpu() for t in pair)) for name, pair in of(model).items()}, own)
    ranks = {name: pair.down_RI.shape[0] for name, pair in pairs.items()}
    most = max(ranks.values())
    others = {name.replace(".", r"\."): rank for name, rank in ranks.items() if rank != most}
    fields = {"r": most, "lora_alpha": most, "use_rslora": False, "rank_pattern": others, "alpha_pattern": others}
    named = {
        f"{PREFIX}{name}.lora_{side}.weight": t for name, p in pairs.items() for side, t in zip("AB", p, strict=True)
    }
    return Joined(fields | {"target_modules": targets(model, ranks)}, named)


def targets(model: PeftModel, names: Mapping[str, Any]) -> list[str]:
    """The layers to adapt: by their last names where all of that name are among `names`, else in full."""
    last = {name.rpartition(".")[2] for name in names}
    everywhere = {
        name.removeprefix(PREFIX)
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in last and hasattr(module, "in_features") and ".lora_" not in name
    }
    return sorted(last) if everywhere == set(names) else sorted(names)
