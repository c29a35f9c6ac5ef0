"""Attention in blocks gives what transformers' eager attention gives: answers and gradients, under every mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.llama.modeling_llama import eager_attention_forward

from luthier.lm import attention

HEADS, KEYS, WIDTH = 6, 2, 16


class Layer(torch.nn.Module):
    """What the eager function asks of its layer."""

    num_key_value_groups = HEADS // KEYS


def drawn(length: int, batch: int = 2) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(length)
    sizes = ((batch, heads, length, WIDTH) for heads in (HEADS, KEYS, KEYS))
    return [torch.randn(size, generator=draw).requires_grad_() for size in sizes]


def causal(length: int) -> torch.Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()[None, None]


def packed(length: int) -> torch.Tensor:
    """Two rows, one behind the other."""
    row = torch.arange(length) >= length // 3
    return causal(length) & (row[:, None] == row[None, :])[None, None]


def branched(length: int) -> torch.Tensor:
    """Two answers to one prompt."""
    branch = torch.arange(length) * 3 // length
    seen = (branch[None, :] == 0) | (branch[:, None] == branch[None, :])
    return causal(length) & seen[None, None]


def outcome(found: torch.Tensor, given: list[torch.Tensor]) -> list[torch.Tensor]:
    for tensor in given:
        tensor.grad = None
    found.backward(torch.linspace(-1, 1, found.numel()).view(found.shape))  # type: ignore[no-untyped-call]
    return [found.detach(), *(tensor.grad.clone() for tensor in given if tensor.grad is not None)]


def added(mask: torch.Tensor) -> torch.Tensor:
    return torch.zeros(mask.shape).masked_fill(~mask, attention.lowest(torch.float32))


@pytest.mark.parametrize("length", [1, 5, 128, 129, 300])
@pytest.mark.parametrize("kind", [causal, packed, branched])
@pytest.mark.parametrize("keep", [1024, 0])
def test_as_eager(length: int, kind: Any, keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "KEEP", keep)  # 0: everything is computed again backwards
    given, mask = drawn(length), kind(length)
    theirs = outcome(eager_attention_forward(Layer(), *given, added(mask), 0.25)[0], given)
    masks = [mask, added(mask)] + ([None] if kind is causal else [])
    for form in masks:
        ours = outcome(attention.attend(Layer(), *given, form, 0.25)[0], given)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-5)


def test_numerical_gradient() -> None:
    given = [tensor.detach()[..., :4].double().requires_grad_() for tensor in drawn(7, batch=1)]
    assert torch.autograd.gradcheck(lambda q, k, v: attention.attend(Layer(), q, k, v, None, 0.5)[0], given)


SMALL = {
    "vocab_size": 99, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral", "granite", "olmo2", "smollm3"])
def test_whole_models(kind: str) -> None:
    """Padded, packed by positions and masked by hand: logits and gradients of a model are those of its eager twin."""
    window = {"sliding_window": 16} if kind == "mistral" else {}
    config = AutoConfig.for_model(kind, **SMALL, **window)
    assert attention.fits(config)
    torch.manual_seed(0)
    eager = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    ours = AutoModelForCausalLM.from_config(config, attn_implementation=attention.register())
    ours.load_state_dict(eager.state_dict())
    ids = torch.randint(1, 99, (2, 140))
    positions = torch.cat([torch.arange(90), torch.arange(50)])[None].expand(2, -1)
    for extra in ({}, {"position_ids": positions}, {"attention_mask": added(branched(140)).expand(2, -1, -1, -1)}):
        if kind == "mistral" and "attention_mask" in extra:
            continue  # a mask made by hand knows no window
        found = []
        for model in (eager, ours):
            model.zero_grad()
            logits = model(input_ids=ids, use_cache=False, **extra).logits
            logits.square().mean().backward()
            gradient = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
            found.append((logits.detach(), gradient))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("extra", [{"attn_logit_softcapping": 50.0}, {"attention_dropout": 0.1}])
def test_other_attentions_are_left_alone(extra: dict[str, float]) -> None:
    kind = "gemma2" if "attn_logit_softcapping" in extra else "llama"
    assert not attention.fits(AutoConfig.for_model(kind, **SMALL, **extra))


def test_half_precision_is_as_close_as_eager(tmp_path: Path) -> None:
    """Both are held against float64: ours may not be further away than theirs by more than half."""
    given = drawn(300)
    exact = attention.attend(Layer(), *(tensor.double() for tensor in given), None, 0.25)[0]
    small = [tensor.detach().bfloat16() for tensor in given]
    ours = attention.attend(Layer(), *small, None, 0.25)[0]
    mask = added(causal(300)).bfloat16()
    theirs = eager_attention_forward(Layer(), *small, mask, 0.25)[0]
    away = [(found.double() - exact).abs().mean() for found in (ours, theirs)]
    assert away[0] <= 1.5 * away[1]
