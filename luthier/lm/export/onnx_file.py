"""A whole model as ONNX with its cache as inputs and outputs, named as Optimum and transformers.js expect them.

Inputs: input_ids (B, T), attention_mask (B, P + T), position_ids (B, T), past_key_values.L.key and .value
(B, heads, P, width), P may be 0. Outputs: logits (B, T, V), present.L.key and .value. Batch, past and length are free.
Written by torch's own exporter, in float32; it holds the weights twice while it works. Needs the extra `onnx`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from luthier.errors import BadConfig, Missing
from luthier.lm.chat import Ids
from luthier.lm.export.compared import Said, by_logits, predicting
from luthier.lm.load import load_model

SIZES = (2, 5, 3)
"""Texts, past and new tokens that the graph is traced with: none of 0 or 1, which would be taken for fixed."""


class Stepping(torch.nn.Module):
    """A model as a function of tensors alone."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, ids_BT: torch.Tensor, mask_BS: torch.Tensor, positions_BT: torch.Tensor, past: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """Logits, then keys and values of each layer."""
        cache = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        given = {"input_ids": ids_BT, "attention_mask": mask_BS, "position_ids": positions_BT}
        out = self.model(**given, past_key_values=cache, use_cache=True)
        return [out.logits, *(side for layer in cache.layers for side in (layer.keys, layer.values))]


def write(folder: Path, file: Path) -> None:
    """The model in `folder` as `file` (and `file.data` beside it where it is large). Raises Missing or BadConfig."""
    require_packages()
    model = load_model(folder, "float32", attention="eager").cpu()
    kinds = set(getattr(model.config, "layer_types", None) or ()) - {"full_attention"}
    if kinds:
        raise BadConfig(
            f"layers of kind {', '.join(sorted(kinds))} are not written as ONNX here", "export it as merged"
        )
    texts, before, new = SIZES
    heads, width = shape(model.config)
    layers = model.config.num_hidden_layers
    past = [torch.zeros(texts, heads, before, width) for _ in range(2 * layers)]
    free: Any = torch.export.Dim.DYNAMIC
    grid = {0: free, 1: free}
    sizes = {"ids_BT": grid, "mask_BS": grid, "positions_BT": grid, "past": [{0: free, 2: free}] * len(past)}
    sides = [f"{number}.{side}" for number in range(layers) for side in ("key", "value")]
    whole = torch.onnx.export(
        Stepping(model).eval(),
        (torch.ones(texts, new, dtype=torch.long), torch.ones(texts, before + new, dtype=torch.long),
         torch.arange(before, before + new).repeat(texts, 1), past),
        dynamo=True,
        dynamic_shapes=sizes,
        input_names=["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{side}" for side in sides)],
        output_names=["logits", *(f"present.{side}" for side in sides)],
        verbose=False,
    )  # fmt: skip
    assert whole is not None, "torch gives a program where it is asked for by dynamo"
    file.parent.mkdir(parents=True, exist_ok=True)
    whole.save(str(file), external_data=True)


def require_packages() -> None:
    """Raises Missing where the extra is not installed."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise Missing(f"ONNX cannot be written ({error})", "install it: pip install 'luthier[onnx]'") from error
    del onnxruntime


def shape(config: Any) -> tuple[int, int]:
    """Heads of the cache, and numbers of one."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return getattr(config, "num_key_value_heads", None) or config.num_attention_heads, int(width)


def said(file: Path, config: Any, items: Sequence[Ids]) -> list[Said]:
    """What ONNX Runtime makes of each text: its first half, then the rest with the cache that the half left."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    heads, width = shape(config)
    found = []
    for item in items:
        past = [torch.zeros(1, heads, 0, width).numpy()] * (len(names) - 3)
        parts, done = [], 0
        for ids in (item.ids[: len(item.ids) // 2], item.ids[len(item.ids) // 2 :]):
            positions = torch.arange(done, done + len(ids))[None]
            mask = torch.ones(1, done + len(ids), dtype=torch.long)
            given = [torch.tensor([ids]).numpy(), mask.numpy(), positions.numpy(), *past]
            logits, *past = session.run(None, dict(zip(names, given, strict=True)))
            parts.append(torch.from_numpy(logits)[0])
            done += len(ids)
        found.append(by_logits(item, torch.cat(parts)[predicting(item)]))
    return found
