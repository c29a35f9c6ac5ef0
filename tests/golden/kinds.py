"""Every kind of thing that can be trained, as fields of a recipe: what the tests of all of them run through."""

from __future__ import annotations

from typing import Any

from luthier.records.training import BottleneckSpec, Ia3Spec, LoraSpec, PrefixSpec, PromptSpec

LORA: dict[str, dict[str, Any]] = {
    "lora": {"lora": LoraSpec(rank=4, rank_stabilised=False, alpha=8)},
    "rslora": {"lora": LoraSpec(rank=4, dropout=0.1)},
    "dora": {"lora": LoraSpec(rank=4, variant="dora")},
    "pissa": {"lora": LoraSpec(rank=3, variant="pissa"), "learning_rate": 1e-3},
    "loraplus": {"lora": LoraSpec(rank=4, rate_ratio=8)},
    "int8": {"lora": LoraSpec(rank=4), "quantised": "int8"},
    "nf4": {"lora": LoraSpec(rank=4), "quantised": "nf4"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "full": {"lora": None, "learning_rate": 1e-3},
    "bottleneck": {"lora": None, "adapter": BottleneckSpec(kind="bottleneck", width=8)},
    "pfeiffer": {"lora": None, "adapter": BottleneckSpec(kind="bottleneck", width=8, where="feed-forward")},
    "ia3": {"lora": None, "adapter": Ia3Spec(kind="ia3")},
    "prefix": {"lora": None, "adapter": PrefixSpec(kind="prefix", tokens=4)},
    "prompt": {"lora": None, "adapter": PromptSpec(kind="prompt", tokens=4, text="You are a bank.")},
}
ALL = LORA | OTHERS
