"""Bottleneck adapters: small networks behind attention and feed-forward part of each layer.

h + up(gelu(down(h))) with a narrow middle, put behind each part before its result is added to the stream (Houlsby et
al. 2019, arXiv:1902.00751), or behind the second alone (Pfeiffer et al. 2020, arXiv:2005.00247). PEFT has none, so
their folder is our own: adapter_config.json with peft_type BOTTLENECK beside adapter_model.safetensors.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import gelu
from transformers import PreTrainedModel

from luthier.errors import BadConfig
from luthier.records.training import BottleneckSpec

KIND = "BOTTLENECK"
PARTS = {"attention": ("self_attn", "attn", "attention"), "feed_forward": ("mlp", "feed_forward", "block_sparse_moe")}
"""What the two parts of a layer are called in transformers' models."""


class Bottleneck(nn.Module):
    """h (…, D) → h + up(gelu(down(h))); at first nothing is added."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = h + self.up(gelu(self.down(h)))
        return out


def put_on(model: PreTrainedModel, spec: BottleneckSpec, seed: int) -> PreTrainedModel:
    """`model`, frozen, with fresh adapters that change nothing yet, in its precision.

    Raises BadConfig where its layers have no parts that are known by name.
    """
    torch.manual_seed(seed)
    model.requires_grad_(False)
    parts = ["attention", "feed_forward"] if spec.where == "both" else ["feed_forward"]
    width: int = model.config.get_text_config().hidden_size
    for number, layer in enumerate(getattr(model.get_decoder(), "layers", ())):
        for part in parts:
            behind = next((child for name, child in layer.named_children() if name in PARTS[part]), None)
            if behind is None:
                raise BadConfig(
                    f"layer {number} of {model.config.model_type} has no part called {' or '.join(PARTS[part])}",
                    "use lora, which changes any linear layer",
                )
            adapter = Bottleneck(width, spec.width).to(model.device, model.dtype)
            layer.add_module(f"bottleneck_{part}", adapter)
            behind.register_forward_hook(partial(through, adapter))
    if not any(isinstance(module, Bottleneck) for module in model.modules()):
        raise BadConfig(f"{model.config.model_type} has no list of layers", "use lora, which changes any linear layer")
    return model


def through(adapter: Bottleneck, part: nn.Module, inputs: Any, out: Any) -> Any:
    """What `part` gives, sent through its adapter; attention gives its weights beside it."""
    return (adapter(out[0]), *out[1:]) if isinstance(out, tuple) else adapter(out)


def fields(model: PreTrainedModel) -> dict[str, Any]:
    """What adapter_config.json says of the adapters on `model`."""
    found = {name: module for name, module in model.named_modules() if isinstance(module, Bottleneck)}
    where = "both" if any(name.endswith("bottleneck_attention") for name in found) else "feed-forward"
    width = next(iter(found.values())).down.out_features
    return {"peft_type": KIND, "width": width, "where": where, "activation": "gelu"}


def is_on(model: nn.Module) -> bool:
    """Whether `model` has bottleneck adapters."""
    return any(isinstance(module, Bottleneck) for module in model.modules())


def is_one(folder: Path) -> bool:
    """Whether the adapter in `folder` is of this kind."""
    found: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return found.get("peft_type") == KIND


def read_onto(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """`model`, a bare base, with the adapters of `folder`. Raises BadConfig where they do not fit it."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    put_on(model, BottleneckSpec(kind="bottleneck", width=config["width"], where=config["where"]), seed=0)
    tensors = load_file(folder / "adapter_model.safetensors")
    wanted = {name: tensor for name, tensor in model.state_dict().items() if ".bottleneck_" in name}
    if {n: t.shape for n, t in wanted.items()} != {n: t.shape for n, t in tensors.items()}:
        raise BadConfig(f"the adapters in {folder} do not fit this base", "use the base that they were trained on")
    model.load_state_dict(tensors, strict=False)
    return model
