"""The memory of attention: keys and values of every running answer, and attention over them.

One slot for each running answer. A step hands the new tokens of several answers to the model as ONE packed sequence
(1, N); `attend` writes their keys and values to their slots and lets each token see its own answer alone, so no
token is ever padding. Knows nothing of tokens, adapters or requests.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "luthier"
BLOCK = 256  # tokens by which the slots grow


class Piece(NamedTuple):
    """`new` tokens of the answer in `slot`, behind the `past` ones whose keys and values are there already."""

    slot: int
    past: int
    new: int


class KeyValues:
    """Keys and values, per layer (slots, key/value heads H, capacity C, head width D). Grows; never shrinks."""

    def __init__(self, slots: int, heads: int, width: int, layers: int, like: torch.Tensor) -> None:
        self.slots, self.capacity = slots, 0
        self.keys = [like.new_zeros(slots, heads, 0, width) for _ in range(layers)]
        self.values = [like.new_zeros(slots, heads, 0, width) for _ in range(layers)]

    @torch.inference_mode()
    def reserve(self, length: int) -> None:
        """Make room for `length` tokens in every slot. Half as much again is taken, so growing stays rare.

        Zeros, not whatever was there: attention gives unseen places the weight 0, and 0 x NaN is NaN.
        """
        if length <= self.capacity:
            return
        wanted = max(length, self.capacity * 3 // 2)
        old, self.capacity = self.capacity, -(-wanted // BLOCK) * BLOCK
        for tensors in (self.keys, self.values):
            for layer, small in enumerate(tensors):
                slots, heads, _, width = small.shape
                tensors[layer] = small.new_zeros(slots, heads, self.capacity, width)
                tensors[layer][:, :, :old] = small

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """The first `length` tokens of one slot also become those of another."""
        if source == target or length == 0:
            return
        for tensors in (self.keys, self.values):
            for layer in tensors:
                layer[target, :, :length] = layer[source, :, :length]

    @torch.inference_mode()
    def wipe(self, slot: int) -> None:
        """Forget one slot: numbers that are none must not lie there when the next answer moves in."""
        for tensors in (self.keys, self.values):
            for layer in tensors:
                layer[slot] = 0


class Step:
    """One pass through the model: which tokens of the packed sequence belong where."""

    def __init__(self, memory: KeyValues, pieces: list[Piece], device: torch.device) -> None:
        self.memory, self.pieces = memory, pieces
        memory.reserve(max(piece.past + piece.new for piece in pieces))
        positions = [piece.past + n for piece in pieces for n in range(piece.new)]
        self.positions_N = torch.tensor(positions, device=device)
        self.one_each = all(piece.new == 1 and piece.slot == n for n, piece in enumerate(pieces))
        """Every answer gets one token and they lie in slots 0 … N-1: attention runs over all of them at once."""
        self.longest = max(positions) + 1
        if self.one_each:
            self.rows_N = torch.arange(len(pieces), device=device)
            seen_NT = torch.arange(self.longest, device=device) <= self.positions_N[:, None]
            self.seen = [seen_NT[:, None, None, :]]
        else:
            self.seen = [seen_by(piece, device) for piece in pieces]


def seen_by(piece: Piece, device: torch.device) -> torch.Tensor:
    """Which of the past + new tokens each new token sees: everything before it, and itself. (new, past + new)."""
    own_N = torch.arange(piece.past, piece.past + piece.new, device=device)
    return torch.arange(piece.past + piece.new, device=device) <= own_N[:, None]


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: None, *, step: Step, **rest: Any
) -> tuple[torch.Tensor, None]:
    """What the model calls in each layer. Query (1, heads, N, D), key and value (1, H, N, D) → (1, N, heads, D)."""
    write = write_rows if step.one_each else write_pieces
    keys, values = step.memory.keys[module.layer_idx], step.memory.values[module.layer_idx]
    write(step, keys, key)
    write(step, values, value)
    scale = rest.get("scaling")
    if step.one_each:
        return attend_rows(step, query, keys, values, scale), None
    return attend_pieces(step, query, keys, values, scale), None


def write_rows(step: Step, memory: torch.Tensor, new: torch.Tensor) -> None:
    """Put one new token of each answer (1, H, N, D) at its position."""
    memory[step.rows_N, :, step.positions_N] = new[0].transpose(0, 1)


def write_pieces(step: Step, memory: torch.Tensor, new: torch.Tensor) -> None:
    """Put the new tokens of each piece (1, H, N, D) behind its past."""
    start = 0
    for piece in step.pieces:
        memory[piece.slot, :, piece.past : piece.past + piece.new] = new[0, :, start : start + piece.new]
        start += piece.new


def attend_rows(
    step: Step, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float | None
) -> torch.Tensor:
    """One token of each of N answers: a batch of N, where the heads that share a key take the place of the tokens."""
    _, heads, rows, width = query.shape
    grouped_NHGD = query[0].transpose(0, 1).reshape(rows, keys.shape[1], heads // keys.shape[1], width)
    out_NHGD = scaled_dot_product_attention(
        grouped_NHGD,
        keys[:rows, :, : step.longest],
        values[:rows, :, : step.longest],
        attn_mask=step.seen[0],
        scale=scale,
    )
    return out_NHGD.reshape(1, rows, heads, width)


def attend_pieces(
    step: Step, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float | None
) -> torch.Tensor:
    """The pieces one after the other, each over its own slot: exact lengths, nothing padded, nothing copied."""
    _, heads, tokens, width = query.shape
    out_1NHD = query.new_empty(1, tokens, heads, width)
    start = 0
    for piece, seen in zip(step.pieces, step.seen, strict=True):
        end = start + piece.new
        length = piece.past + piece.new
        out = scaled_dot_product_attention(
            query[:, :, start:end],
            keys[piece.slot, None, :, :length],
            values[piece.slot, None, :, :length],
            attn_mask=seen if piece.past else None,
            is_causal=not piece.past,
            scale=scale,
            enable_gqa=heads != keys.shape[1],
        )
        out_1NHD[:, start:end] = out.transpose(1, 2)
        start = end
    return out_1NHD


def register() -> None:
    """Make `attend` known to transformers under `NAME`. It needs no mask from the model: none is registered."""
    AttentionInterface.register(NAME, attend)
