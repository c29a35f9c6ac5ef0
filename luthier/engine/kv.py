"""The memory of attention: keys and values of every running answer, and attention over them.

One slot for each running answer. A step hands the new tokens of several answers to the model as ONE packed sequence
(1, N): one token of each answer that speaks, some tokens of each prompt that is being read. `attend` writes their
keys and values to their slots and lets each token see its own answer alone, so no token is ever padding. Knows
nothing of tokens, adapters or requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

NAME = "luthier"
GROWTH = 256  # tokens by which the slots grow
BLOCK = 64  # queries at a time on a CPU: each block leaves out the keys behind it, 30 % less work at 350 tokens


class Piece(NamedTuple):
    """`new` tokens of the answer in `slot`, behind the `past` ones whose keys and values are there already."""

    slot: int
    past: int
    new: int


class KeyValues:
    """Keys and values, per layer (slots, key/value heads H, length, head width D).

    Takes memory for as many slots and as long ones as were ever needed at once, at most `slots` x `window`.
    """

    def __init__(self, most: tuple[int, int], heads: int, width: int, layers: int, like: torch.Tensor) -> None:
        self.most = most
        self.slots, self.length = 0, 0
        self.dtype = like.dtype
        self.keys = [like.new_zeros(0, heads, 0, width) for _ in range(layers)]
        self.values = [like.new_zeros(0, heads, 0, width) for _ in range(layers)]

    @torch.inference_mode()
    def reserve(self, slots: int, length: int) -> None:
        """Make room for `length` tokens in the first `slots` slots, with some to spare, so that growing stays rare.

        Zeros, not whatever was there: attention gives unseen places the weight 0, and 0 x NaN is NaN.
        """
        if slots <= self.slots and length <= self.length:
            return
        if slots > self.slots:
            slots = min(max(slots, 2 * self.slots), self.most[0])
        if length > self.length:
            length = min(-(-max(length, self.length * 3 // 2) // GROWTH) * GROWTH, self.most[1])
        slots, length = max(slots, self.slots), max(length, self.length)
        for tensors in (self.keys, self.values):
            for layer, small in enumerate(tensors):
                old_slots, heads, old_length, width = small.shape
                if (old_slots, old_length) != (slots, length):  # else it grew before memory ran out, last time
                    tensors[layer] = small.new_zeros(slots, heads, length, width)
                    tensors[layer][:old_slots, :, :old_length] = small
        self.slots, self.length = slots, length

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """The first `length` tokens of one slot also become those of another."""
        if source == target or length == 0:
            return
        self.reserve(target + 1, length)
        for tensors in (self.keys, self.values):
            for layer in tensors:
                layer[target, :, :length] = layer[source, :, :length]

    @torch.inference_mode()
    def wipe(self, slot: int) -> None:
        """Forget one slot: numbers that are none must not lie there when the next answer moves in."""
        for tensors in (self.keys, self.values):
            for layer in tensors:
                layer[slot] = 0


class Look(NamedTuple):
    """Tokens [start, end) of the packed sequence look at the first `length` tokens of `slot`, as far as they may."""

    slot: int
    start: int
    end: int
    length: int
    bias_NT: torch.Tensor


class Step:
    """One pass through the model: where its tokens belong, and what each of them sees."""

    def __init__(self, memory: KeyValues, pieces: Sequence[Piece], device: torch.device) -> None:
        self.memory = memory
        memory.reserve(max(one.slot for one in pieces) + 1, max(one.past + one.new for one in pieces))
        positions = [piece.past + n for piece in pieces for n in range(piece.new)]
        self.positions_N = torch.tensor(positions, device=device)
        self.rows = next((n for n, one in enumerate(pieces) if (one.slot, one.new) != (n, 1)), len(pieces))
        """So many leading pieces are one token each, in slots 0, 1, 2 …: attention takes them as one batch."""
        if self.rows:
            self.longest = max(positions[: self.rows]) + 1
            self.rows_B = torch.arange(self.rows, device=device)
            bias_BT = causal(self.positions_N[: self.rows], self.longest, memory.dtype)
            self.bias_B11T = bias_BT[:, None, None, :]
        self.placed = place(pieces[self.rows :], self.rows)
        block = BLOCK if device.type == "cpu" else 1 << 30
        like = self.positions_N.new_empty(0, dtype=memory.dtype)
        self.looks = [look for piece, start in self.placed for look in blocks(piece, start, block, like)]


def place(pieces: Sequence[Piece], start: int) -> list[tuple[Piece, int]]:
    """Each piece with the place of its first token in the packed sequence."""
    placed = []
    for piece in pieces:
        placed.append((piece, start))
        start += piece.new
    return placed


def blocks(piece: Piece, start: int, block: int, like: torch.Tensor) -> list[Look]:
    """A piece cut into blocks of queries."""
    looks = []
    for first in range(0, piece.new, block):
        last = min(first + block, piece.new)
        positions_N = torch.arange(piece.past + first, piece.past + last, device=like.device)
        length = piece.past + last
        looks.append(Look(piece.slot, start + first, start + last, length, causal(positions_N, length, like.dtype)))
    return looks


def causal(positions_N: torch.Tensor, length: int, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the scores (N, length): 0 for a token itself and those before it, -inf for those after it."""
    unseen_NT = torch.arange(length, device=positions_N.device) > positions_N[:, None]
    return torch.zeros(unseen_NT.shape, dtype=dtype, device=positions_N.device).masked_fill_(unseen_NT, -torch.inf)


def attend(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: None, *, step: Step, **rest: Any
) -> tuple[torch.Tensor, None]:
    """What the model calls in each layer. Query (1, heads, N, D), key and value (1, H, N, D) → (1, N, heads, D)."""
    keys, values = step.memory.keys[module.layer_idx], step.memory.values[module.layer_idx]
    write(step, keys, key)
    write(step, values, value)
    _, heads, tokens, width = query.shape
    out_1NHD = query.new_empty(1, tokens, heads, width)
    scale = rest.get("scaling")
    if step.rows:
        out_1NHD[0, : step.rows] = attend_rows(step, query[0, :, : step.rows], keys, values, scale)
    for look in step.looks:
        out_1HND = scaled_dot_product_attention(
            query[:, :, look.start : look.end],
            keys[look.slot, None, :, : look.length],
            values[look.slot, None, :, : look.length],
            attn_mask=look.bias_NT,
            scale=scale,
            enable_gqa=heads != keys.shape[1],
        )
        out_1NHD[:, look.start : look.end] = out_1HND.transpose(1, 2)
    return out_1NHD, None


def write(step: Step, memory: torch.Tensor, new_1HND: torch.Tensor) -> None:
    """Put the keys or values of the new tokens to their places."""
    if step.rows:
        memory[step.rows_B, :, step.positions_N[: step.rows]] = new_1HND[0, :, : step.rows].transpose(0, 1)
    for piece, start in step.placed:
        memory[piece.slot, :, piece.past : piece.past + piece.new] = new_1HND[0, :, start : start + piece.new]


def attend_rows(
    step: Step, query_HBD: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float | None
) -> torch.Tensor:
    """One token of each of B answers as a batch of B, where heads that share a key stand in place of tokens."""
    heads, rows, width = query_HBD.shape
    shared = keys.shape[1]
    out_BHGD = scaled_dot_product_attention(
        query_HBD.transpose(0, 1).reshape(rows, shared, heads // shared, width),
        keys[:rows, :, : step.longest],
        values[:rows, :, : step.longest],
        attn_mask=step.bias_B11T,
        scale=scale,
    )
    return out_BHGD.reshape(rows, heads, width)


def register() -> None:
    """Make `attend` known to transformers under `NAME`. It needs no mask from the model: none is registered."""
    AttentionInterface.register(NAME, attend)
