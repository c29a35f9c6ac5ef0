"""Numbers in the small: 32 of a row share a scale, 8 or 4 bits each, as llama.cpp stores them (Q8_0 and Q4_0).

Q4_0's scale is not the largest number's: of several, and of the best for the steps that each gives, the one is kept
that leaves the least squared error. The format is the same, and a tenth to a seventh of the error goes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, dequantize, quantize

Array = np.ndarray[Any, np.dtype[Any]]
BLOCK = 32
STRETCHED = (1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.81, 0.77, -1.07, -0.98, -0.9)
"""The steps that are tried, in eighths of the largest number; the negative ones turn the range of -8 to 7 about."""
ROWS = 1 << 17
"""Blocks that are looked at once."""


def fold(numbers: Array, kind: GGMLQuantizationType) -> Array:
    """float32 numbers as they are stored: (…, rows, bytes) where they are quantised."""
    if kind == GGMLQuantizationType.Q4_0:
        return fold_q4(numbers)
    folded: Array = quantize(np.ascontiguousarray(numbers, dtype=np.float32), kind)
    return folded


def unfold(stored: Array, kind: GGMLQuantizationType) -> Array:
    """The numbers that are computed with, float32."""
    numbers: Array = dequantize(stored, kind)
    return numbers


def fold_q4(numbers: Array) -> Array:
    """(rows, columns) → (rows, columns / 32 · 18) bytes: a float16 step, then 32 codes of 4 bits."""
    rows, columns = numbers.shape
    blocks = torch.from_numpy(np.ascontiguousarray(numbers, dtype=np.float32)).view(-1, BLOCK)
    folded = [fold_blocks(blocks[at : at + ROWS]) for at in range(0, len(blocks), ROWS)]
    return torch.cat(folded).numpy().reshape(rows, columns // BLOCK * 18)


def fold_blocks(blocks_NB: torch.Tensor) -> torch.Tensor:
    """(N, 32) float32 → (N, 18) bytes."""
    largest_N1 = blocks_NB.gather(1, blocks_NB.abs().argmax(dim=1, keepdim=True))
    best_N1 = torch.full_like(largest_N1, torch.inf)
    kept_N1, codes_NB = torch.zeros_like(largest_N1), torch.zeros_like(blocks_NB)
    for stretch in STRETCHED:
        tried_NB = steps_of(blocks_NB, largest_N1 * stretch / -8)
        # The step that fits these codes best, as it will be stored.
        fitting_N1 = (blocks_NB * tried_NB).sum(1, keepdim=True) / tried_NB.square().sum(1, keepdim=True).clamp(min=1)
        step_N1 = fitting_N1.half().float()
        error_N1 = (blocks_NB - tried_NB * step_N1).square().sum(1, keepdim=True)
        better_N1 = error_N1 < best_N1
        best_N1 = torch.where(better_N1, error_N1, best_N1)
        kept_N1 = torch.where(better_N1, step_N1, kept_N1)
        codes_NB = torch.where(better_N1, tried_NB, codes_NB)
    codes_NB = (codes_NB + 8).to(torch.uint8)
    packed = codes_NB[:, : BLOCK // 2] | codes_NB[:, BLOCK // 2 :] << 4
    return torch.cat([kept_N1.half().view(torch.uint8), packed], dim=1)


def steps_of(blocks_NB: torch.Tensor, step_N1: torch.Tensor) -> torch.Tensor:
    """How many steps each number is from 0, -8 to 7; where the step is 0, so are all numbers."""
    safe_N1 = torch.where(step_N1 == 0, torch.ones_like(step_N1), step_N1)
    return (blocks_NB / safe_N1).round().clamp(-8, 7)
