"""Causal attention for training on CPUs: what `eager` computes, in blocks of queries that stop at their last key.

Eager attention multiplies every query with every key, then masks half of the products away, and softens them in
float32 copies. Here a block of queries sees only the keys before its end, heads that share keys are one product, the
softmax stays in the model's precision (it sums in float32 inside), and the backward pass adds into place. Long
sequences keep no probabilities: they are computed again backwards (Dao et al. 2022, arXiv:2205.14135).

Every mask has to be within the causal one: packed rows, branches and windows are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, AutoConfig, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "luthier-training"
"""What transformers knows this attention by, once `register` has run."""
BLOCK = 128
"""Queries that are computed together."""
KEEP = 1024
"""Longest sequence whose probabilities are kept for the backward pass."""


def for_training(folder: Path, longest: int) -> str:
    """transformers' name of the fastest attention to train the model in `folder` with, on rows of up to `longest`.

    On CPUs the backward pass of torch's fused attention is several times slower than plain products.
    """
    if torch.cuda.is_available():
        return "sdpa"
    if fits(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)):
        return register()
    return "eager" if longest <= 2048 else "sdpa"


def register() -> str:
    """Make the attention known to transformers; its name."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def fits(config: PretrainedConfig) -> bool:
    """Whether the model's attention is the plain one: no caps on the products, no sinks, no dropout."""
    capped = getattr(config, "attn_logit_softcapping", None)
    return capped is None and not getattr(config, "attention_dropout", 0) and config.model_type != "gpt_oss"


def attend(
    module: torch.nn.Module,
    query_BHTD: torch.Tensor,
    key_BKTD: torch.Tensor,
    value_BKTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function: (B, heads, T, D) with (B, key heads, T, D) → (B, T, heads, D).

    `attention_mask` (B or 1, 1, T, T) holds True where a key is seen, or numbers that are added; None is causal.
    """
    if query_BHTD.shape[2] != key_BKTD.shape[2]:  # a cache: nothing is trained
        mask, fused = attention_mask, sdpa_attention_forward
        found: tuple[torch.Tensor, None] = fused(
            module, query_BHTD, key_BKTD, value_BKTD, mask, scaling=scaling, **others
        )
        return found
    scale = query_BHTD.shape[-1] ** -0.5 if scaling is None else scaling
    out: torch.Tensor = Causal.apply(  # type: ignore[no-untyped-call]
        query_BHTD, key_BKTD, value_BKTD, attention_mask, scale
    )
    return out, None


def lowest(dtype: torch.dtype) -> float:
    """What is added where nothing may be seen."""
    return torch.finfo(dtype).min


class Causal(torch.autograd.Function):
    """Attention over blocks of queries; G query heads share one of K key heads."""

    @staticmethod
    def forward(
        ctx: Any,
        q_BHTD: torch.Tensor,
        k_BKTD: torch.Tensor,
        v_BKTD: torch.Tensor,
        mask: torch.Tensor | None,
        scale: float,
    ) -> torch.Tensor:
        B, H, T, D = q_BHTD.shape
        K = k_BKTD.shape[1]
        q_NGTD = (q_BHTD * scale).reshape(B * K, H // K, T, D)
        k_NTD, v_NTD = k_BKTD.reshape(B * K, T, D), v_BKTD.reshape(B * K, T, D)
        out = q_BHTD.new_empty(B, T, K, H // K, D)
        kept: list[torch.Tensor] = []
        for start in range(0, T, BLOCK):
            end = min(start + BLOCK, T)
            p_NQT = probabilities(q_NGTD[:, :, start:end].reshape(B * K, -1, D), k_NTD[:, :end], mask, start, B)
            answer = torch.bmm(p_NQT, v_NTD[:, :end]).view(B, K, H // K, end - start, D)
            out[:, start:end] = answer.permute(0, 3, 1, 2, 4)
            if T <= KEEP:
                kept.append(p_NQT)
        ctx.save_for_backward(q_NGTD, k_NTD, v_NTD, mask, *kept)
        ctx.scale, ctx.shape = scale, (B, H, T, D, K)
        return out.view(B, T, H, D)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q_NGTD, k_NTD, v_NTD, mask, *kept = ctx.saved_tensors
        B, H, T, D, K = ctx.shape
        g_NGTD = gradients[0].view(B, T, K, H // K, D).permute(0, 2, 3, 1, 4).reshape(B * K, H // K, T, D)
        dq_NGTD = torch.empty_like(q_NGTD)
        # Several blocks add to one key: in float32, so that a long sequence loses nothing.
        dk_NTD, dv_NTD = (torch.zeros(k_NTD.shape, dtype=torch.float32, device=k_NTD.device) for _ in range(2))
        for number, start in enumerate(range(0, T, BLOCK)):
            end = min(start + BLOCK, T)
            q_NQD = q_NGTD[:, :, start:end].reshape(B * K, -1, D)
            g_NQD = g_NGTD[:, :, start:end].reshape(B * K, -1, D)
            p_NQT = kept[number] if kept else probabilities(q_NQD, k_NTD[:, :end], mask, start, B)
            dv_NTD[:, :end] += torch.bmm(p_NQT.transpose(1, 2), g_NQD)
            dp_NQT = torch.bmm(g_NQD, v_NTD[:, :end].transpose(1, 2))
            ds_NQT = torch._softmax_backward_data(dp_NQT, p_NQT, -1, p_NQT.dtype)
            dq_NGTD[:, :, start:end] = torch.bmm(ds_NQT, k_NTD[:, :end]).view(B * K, H // K, end - start, D)
            dk_NTD[:, :end] += torch.bmm(ds_NQT.transpose(1, 2), q_NQD)
        dq = dq_NGTD.mul_(ctx.scale).view(B, H, T, D)
        dk, dv = (each.to(k_NTD.dtype).view(B, K, T, D) for each in (dk_NTD, dv_NTD))
        return dq, dk, dv, None, None


def probabilities(
    q_NQD: torch.Tensor, k_NSD: torch.Tensor, mask: torch.Tensor | None, start: int, batch: int
) -> torch.Tensor:
    """What each query of a block looks at: (N, queries, keys), rows that sum to 1. N is `batch` times key heads."""
    S = k_NSD.shape[1]
    count = S - start
    s_NQS = torch.bmm(q_NQD, k_NSD.transpose(1, 2))
    s_BHQS = s_NQS.view(batch, -1, count, S)
    if mask is not None and mask.dtype == torch.bool:
        s_BHQS.masked_fill_(~mask[:, :, start:S, :S], lowest(s_NQS.dtype))
    elif mask is not None:
        s_BHQS += mask[:, :, start:S, :S]
    else:  # only the last keys lie beyond some of the queries
        later = torch.ones(count, count, dtype=torch.bool, device=s_NQS.device).triu_(1)
        s_BHQS[..., start:].masked_fill_(later, lowest(s_NQS.dtype))
    return torch.softmax(s_NQS, -1)
