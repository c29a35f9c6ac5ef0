"""Frozen weights in 8 and 4 bits: how far off they are, what they cost, and that the way back is theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from luthier.lm.load import load_model
from luthier.lm.quantised import BLOCK, NF4, Kind, Quantised, quantise
from tests.training.conftest import base

__all__ = ["base"]
KINDS: tuple[Kind, ...] = ("int8", "nf4")


def layer(inner: int = 96, outer: int = 40, *, bias: bool = True, dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inner, outer, bias=bias).to(dtype)


def test_int8_is_off_by_half_a_step_at_most() -> None:
    whole = layer()
    step = whole.weight.abs().amax(dim=1, keepdim=True) / 127
    assert bool(((Quantised(whole, "int8").weight - whole.weight).abs() <= step * 0.5001).all())


@pytest.mark.parametrize("shape", [(96, 40), (64, 8), (7, 3)])
def test_nf4_is_the_nearest_of_sixteen(shape: tuple[int, int]) -> None:
    """Every number, by brute force over all 16; also where the last block is not full."""
    whole = layer(*shape)
    flat = whole.weight.detach().flatten()
    expected = []
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        largest = block.abs().max()
        values = torch.tensor(NF4) * largest
        expected.append(values[(block[:, None] - values).abs().argmin(dim=1)])
    assert torch.allclose(Quantised(whole, "nf4").weight.flatten(), torch.cat(expected), atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_with_that_weight(kind: Kind, dtype: torch.dtype, bias: bool) -> None:
    small = Quantised(layer(bias=bias, dtype=dtype), kind)
    x = torch.randn(2, 5, 96, dtype=dtype, requires_grad=True)
    plain = nn.Linear(96, 40, bias=bias, dtype=dtype)
    with torch.no_grad():
        plain.weight.copy_(small.weight)
        if bias:
            plain.bias.copy_(small.bias)
    small(x).square().sum().backward()
    got, x.grad = x.grad, None
    plain(x).square().sum().backward()
    assert got is not None
    assert x.grad is not None
    rounding = 2e-2 if dtype == torch.bfloat16 else 1e-5  # of the largest number
    for ours, theirs in ((small(x), plain(x)), (got, x.grad)):
        assert float((ours - theirs).abs().max()) <= rounding * float(theirs.abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_large_is_kept_for_the_way_back(kind: Kind) -> None:
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    small = Quantised(layer(bias=False), kind)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        small(torch.randn(1, 96, requires_grad=True))
    assert kept == []


@pytest.mark.parametrize(("kind", "bits"), [("int8", 8 + 32 / 96), ("nf4", 4 + 32 / 64)])
def test_what_a_number_costs(kind: Kind, bits: float) -> None:
    whole = layer(96, 64)
    small = Quantised(whole, kind)
    spent = small.packed.numel() * small.packed.itemsize + small.scales.numel() * small.scales.itemsize
    assert 8 * spent / whole.weight.numel() == pytest.approx(bits)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_keeps_its_head_and_its_voice(base: Path, kind: Kind) -> None:
    model = load_model(base, "float32")
    ids = torch.tensor([[1, 40, 50, 60, 70]])
    with torch.no_grad():
        before = model(input_ids=ids, use_cache=False).logits
        whole = sum(p.numel() * p.itemsize for p in model.parameters())
        assert quantise(model, kind) < whole
        after = model(input_ids=ids, use_cache=False).logits
    assert isinstance(model.lm_head, nn.Linear)
    assert sum(isinstance(module, Quantised) for module in model.modules()) == 14
    assert torch.corrcoef(torch.stack([before.flatten(), after.flatten()]))[0, 1] > (0.999 if kind == "int8" else 0.9)
    assert not torch.equal(before, after)
