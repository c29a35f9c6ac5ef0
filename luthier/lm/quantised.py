"""A frozen base in 8 or 4 bits below an adapter (QLoRA, Dettmers et al. 2023, arXiv:2305.14314).

int8: one scale for each output, 127 steps to either side. nf4: blocks of 64 numbers share a scale, and each is the
nearest of 16 values that split a normal distribution evenly. Weights are unfolded layer by layer for each product, and
once more on the way back: only the small form is ever kept. Plain torch, so the same on CPU and GPU.

Knows nothing of adapters; it leaves their layers and the output layer alone.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn
from torch.nn.functional import linear

Kind = Literal["int8", "nf4"]
BLOCK = 64
# Quantiles of the normal distribution, scaled to [-1, 1], 0 among them (appendix E of the paper).
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


class Quantised(nn.Module):
    """A frozen linear layer whose weight is kept small; (…, in) → (…, out)."""

    packed: torch.Tensor
    scales: torch.Tensor

    def __init__(self, layer: nn.Linear, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.in_features, self.out_features, self.dtype = layer.in_features, layer.out_features, layer.weight.dtype
        packed, scales = (fold_int8 if kind == "int8" else fold_nf4)(layer.weight.detach())
        self.register_buffer("packed", packed)
        self.register_buffer("scales", scales)
        self.bias = layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = Product.apply(x, self)  # type: ignore[no-untyped-call]
        return out if self.bias is None else out + self.bias

    @property
    def weight(self) -> torch.Tensor:
        """The weight that it computes with, (out, in), in the precision of the model."""
        if self.kind == "int8":
            return (self.packed.to(self.dtype)).mul_(self.scales[:, None].to(self.dtype))
        return unfold_nf4(self.packed, self.scales, self.dtype)[: self.out_features * self.in_features].view(
            self.out_features, self.in_features
        )


class Product(torch.autograd.Function):
    """x Wᵀ that keeps no W for the way back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: Quantised) -> torch.Tensor:
        ctx.layer = layer
        return linear(x, layer.weight)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient @ ctx.layer.weight, None


def fold_int8(weight_OI: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Steps (out, in) int8 and the size of a step for each output, float32."""
    scales_O = weight_OI.float().abs().amax(dim=1).clamp(min=1e-12) / 127
    return (weight_OI.float() / scales_O[:, None]).round().to(torch.int8), scales_O


def fold_nf4(weight_OI: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two numbers a byte, (blocks, 32) uint8, the first in the upper half; the largest of each block, float32."""
    flat = weight_OI.float().flatten()
    blocks_NB = torch.nn.functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    largest_N = blocks_NB.abs().amax(dim=1)
    values = torch.tensor(NF4, device=flat.device)
    middles = (values[1:] + values[:-1]) / 2
    codes_NB = torch.bucketize(blocks_NB / largest_N.clamp(min=1e-12)[:, None], middles)
    return (codes_NB[:, ::2] << 4 | codes_NB[:, 1::2]).to(torch.uint8), largest_N


def unfold_nf4(packed: torch.Tensor, largest_N: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The numbers, flat. Both of a byte are looked up at once, as one wide number: half the look-ups."""
    values = torch.tensor(NF4, device=packed.device).to(dtype)
    pairs = torch.stack([values.repeat_interleave(16), values.repeat(16)], dim=1)  # (256, 2)
    wide = pairs.view(torch.int32 if dtype.itemsize == 2 else torch.int64).flatten()
    numbers_NB = wide.take(packed.flatten().long()).view(dtype).view(-1, BLOCK)
    return numbers_NB.mul_(largest_N[:, None].to(dtype)).flatten()


HEADS = ("lm_head", "embed_out", "output", "score", "classifier")


def quantise(model: nn.Module, kind: Kind) -> int:
    """Replace every linear layer of the base by its small form, in place; the bytes that weights take now.

    Left alone: the output layer, which is often the embedding too, and what belongs to an adapter.
    """
    linears = {
        name: layer
        for name, layer in model.named_modules()
        if type(layer) is nn.Linear and "lora_" not in name and name.rpartition(".")[2] not in HEADS
    }
    for name, layer in linears.items():
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, Quantised(layer, kind))
    return sum(t.numel() * t.itemsize for t in (*model.parameters(), *model.buffers()))
