"""Which answer is in which slot. Pure bookkeeping: the model's memory is moved through a callable.

Slots 0 … `live`-1 are taken without a gap, answers that already speak before those whose prompt is still being read,
so that a step over the speaking ones is one contiguous batch. An answer that left from the end stays readable: the
next prompt that begins like it, or like a running one, takes over what they have in common instead of computing it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal, NamedTuple

import torch

from luthier.engine.adapter import Adapter
from luthier.engine.sampling import Sampling, Scored
from luthier.engine.text import Speech
from luthier.errors import LuthierError

Finish = Literal["stop", "length"]
Copy = Callable[[int, int, int], None]  # source slot, target slot, tokens
WORTH_COPYING = 16  # tokens


class Delta(NamedTuple):
    """What is new about an answer. The last one has a `finish` or an `error`."""

    text: str = ""
    scored: tuple[Scored, ...] = ()
    prompt: tuple[Scored, ...] = ()
    """With `echo`: the prompt's own tokens, once."""
    generated: int = 0
    """Tokens generated so far, the one that ended the answer included."""
    finish: Finish | None = None
    error: LuthierError | None = None


@dataclass(eq=False)
class Job:
    """One answer to give. `tell` is called from the scheduler's thread; set `cancelled` to have it dropped."""

    ids: list[int]
    asked: Sampling
    adapter: Adapter | None
    tell: Callable[[Delta], None]
    cancelled: bool = False
    asked_at: float = field(default_factory=monotonic)


@dataclass(eq=False)
class Row:
    """A job on its way: its prompt and what was generated, and how many of these tokens are in memory."""

    job: Job
    speech: Speech
    draws: torch.Generator
    ids: list[int]
    computed: int = 0
    generated: int = 0
    first_at: float = 0.0
    unsent: list[Scored] = field(default_factory=list)
    prompt: list[Scored] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Tokens of the prompt that are not in memory yet."""
        return max(0, len(self.job.ids) - self.computed)

    @property
    def scores_prompt(self) -> bool:
        return self.job.asked.echo and self.job.asked.logprobs is not None


class Table:
    """The slots. `copy` moves the first tokens of one slot's memory to another slot."""

    def __init__(self, slots: int, copy: Copy) -> None:
        self.slots: list[Row | None] = [None] * slots
        self.live = 0
        self.copy = copy

    @property
    def rows(self) -> list[Row]:
        """The running answers, by slot."""
        return [row for row in self.slots[: self.live] if row is not None]

    @property
    def full(self) -> bool:
        return self.live == len(self.slots)

    def join(self, row: Row) -> int:
        """Give `row` the next slot; return how many of its tokens another answer had computed already."""
        slot = self.live
        donor, shared = self.like(row)
        if shared and donor != slot:
            self.copy(donor, slot, shared)
        row.computed = shared
        self.slots[slot] = row
        self.live += 1
        return shared

    def like(self, row: Row) -> tuple[int, int]:
        """The slot whose tokens begin most like the prompt of `row`, under the same adapter, and how far that goes.

        At least one token of the prompt is left to compute: its logits are needed.
        """
        best = (self.live, 0)
        if row.scores_prompt:
            return best
        for slot, other in enumerate(self.slots):
            if other is None or other.job.adapter is not row.job.adapter:
                continue
            shared = common(other.ids[: other.computed], row.ids[:-1])
            if shared > best[1] and (shared >= WORTH_COPYING or slot == self.live):
                best = (slot, shared)
        return best

    def leave(self, row: Row) -> None:
        """Free the slot of `row` and close the gap with the last of those that speak, then of those that read."""
        hole = self.slots.index(row)
        speaking = sum(not other.missing for other in self.rows)
        for last in (speaking - 1, self.live - 1):
            if hole < last:
                self.move(last, hole)
                hole = last
        self.live -= 1
        if self.slots[hole] is not row:  # moved away: its memory goes on in another slot
            self.slots[hole] = None

    def move(self, source: int, target: int) -> None:
        row = self.slots[source]
        if row is not None:
            self.copy(source, target, row.computed)
        self.slots[target] = row

    def clear(self) -> None:
        """Forget everything."""
        self.slots = [None] * len(self.slots)
        self.live = 0


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts have in common at their beginning."""
    for n, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return n
    return min(len(one), len(other))
