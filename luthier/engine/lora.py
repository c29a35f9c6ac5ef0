"""Many adapters in one batch: each row gets the LoRA of its own adapter (Hu et al. 2021, arXiv:2106.09685).

A wrapper stands in place of every linear layer that some adapter changes. Two ways to compute the same sum:
- `Runs`: rows of one adapter lie side by side, and each run is two small products. For long prompts.
- `Stacked`: the adapters' factors stand side by side as one wide LoRA, and each row keeps its own columns. The number
  of calls no longer grows with the number of adapters, which counts where each row is a single token.

A step mixes both: the answers that speak come first, one row each, then the prompts that are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import NamedTuple, Protocol

import torch
from torch import nn

from luthier.engine.adapter import Adapter, Factors

FEW_RUNS = 2  # up to here, runs are no slower than the stack


class Work(Protocol):
    """Adds to `y` what the adapters of the rows of `x` change in the layer called `name`."""

    def add(self, name: str, x_NI: torch.Tensor, y_NO: torch.Tensor) -> None: ...


class Runs(NamedTuple):
    """Rows [start, end) run with one adapter."""

    runs: tuple[tuple[int, int, Adapter], ...]

    def add(self, name: str, x_NI: torch.Tensor, y_NO: torch.Tensor) -> None:
        for start, end, adapter in self.runs:
            if (pair := adapter.factors.get(name)) is not None:
                y_NO[start:end].addmm_(x_NI[start:end] @ pair.down_IR, pair.up_RO)


class Wide(NamedTuple):
    """Several adapters' factors for one layer side by side; column r belongs to adapter `owners[r]` of the stack."""

    down_IR: torch.Tensor
    up_RO: torch.Tensor
    owners: tuple[int, ...]


class Stack:
    """Adapters side by side, put together layer by layer when a layer is first asked for."""

    def __init__(self, adapters: Sequence[Adapter]) -> None:
        self.adapters = tuple(adapters)
        self.place = {adapter: n for n, adapter in enumerate(self.adapters)}
        self.layers: dict[str, Wide | None] = {}

    def layer(self, name: str) -> Wide | None:
        """The factors for one layer, or None where no adapter of the stack changes it."""
        if name not in self.layers:
            pairs = [(n, pair) for n, one in enumerate(self.adapters) if (pair := one.factors.get(name))]
            self.layers[name] = side_by_side(pairs) if pairs else None
        return self.layers[name]

    def serves(self, adapters: Sequence[Adapter]) -> bool:
        """Whether it holds all of them, and not so many others that computing these too is a waste."""
        return set(adapters) <= self.place.keys() and len(self.adapters) <= 2 * len(adapters)


def side_by_side(pairs: Sequence[tuple[int, Factors]]) -> Wide:
    """Factors of several adapters for one layer as one of their summed rank."""
    owners = tuple(n for n, pair in pairs for _ in range(pair.up_RO.shape[0]))
    down_IR = torch.cat([pair.down_IR for _, pair in pairs], dim=1)
    return Wide(down_IR, torch.cat([pair.up_RO for _, pair in pairs]), owners)


class Stacked:
    """Row n runs with adapter `rows[n]` of the stack; -1 is the bare base."""

    def __init__(self, stack: Stack, rows: Sequence[int], device: torch.device) -> None:
        self.stack, self.device = stack, device
        self.rows_N1 = torch.tensor(rows, device=device)[:, None]
        self.strangers: dict[tuple[int, ...], torch.Tensor] = {}

    def add(self, name: str, x_NI: torch.Tensor, y_NO: torch.Tensor) -> None:
        if (wide := self.stack.layer(name)) is None:
            return
        if wide.owners not in self.strangers:  # layers of one rank share it
            self.strangers[wide.owners] = self.rows_N1 != torch.tensor(wide.owners, device=self.device)
        inner_NR = (x_NI @ wide.down_IR).masked_fill_(self.strangers[wide.owners], 0)
        y_NO.addmm_(inner_NR, wide.up_RO)


class Both(NamedTuple):
    """The first `rows` rows by a stack, the others by runs."""

    rows: int
    stacked: Stacked
    runs: Runs

    def add(self, name: str, x_NI: torch.Tensor, y_NO: torch.Tensor) -> None:
        self.stacked.add(name, x_NI[: self.rows], y_NO[: self.rows])
        self.runs.add(name, x_NI, y_NO)


class LoraLinear(nn.Module):
    """The linear layer called `name`, and what the adapters of the moment add to it."""

    def __init__(self, name: str, base: nn.Linear, bank: Bank) -> None:
        super().__init__()
        self.name, self.base, self.bank = name, base, bank

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.base(x)
        if self.bank.work is not None:
            self.bank.work.add(self.name, x.flatten(0, -2), y.view(-1, y.shape[-1]))
        return y


class Bank:
    """The linear layers of a model, and which rows of the current step run with which adapter."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.linear = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
        self.wrapped: set[str] = set()
        self.work: Work | None = None
        self.stack = Stack(())

    def make_room(self, adapter: Adapter) -> None:
        """Put wrappers in place of the layers that `adapter` changes. Steps that run meanwhile are not disturbed."""
        for name in adapter.factors.keys() - self.wrapped:
            parent, _, last = name.rpartition(".")
            setattr(self.model.get_submodule(parent), last, LoraLinear(name, self.linear[name], self))
            self.wrapped.add(name)

    @contextmanager
    def serving(
        self, adapters: Sequence[Adapter | None], counts: Sequence[int], device: torch.device
    ) -> Iterator[None]:
        """Inside, the first counts[0] rows run with adapters[0], the next counts[1] with adapters[1], and so on."""
        self.work = self.plan(adapters, counts, device)
        try:
            yield
        finally:
            self.work = None

    def plan(self, adapters: Sequence[Adapter | None], counts: Sequence[int], device: torch.device) -> Work | None:
        """The cheaper way to compute this step: leading single rows of many adapters as a stack, the rest in runs."""
        single = next((n for n, count in enumerate(counts) if count != 1), len(counts))
        if len(list(find_runs(adapters[:single], counts[:single], 0))) <= FEW_RUNS:
            single = 0
        runs = Runs(tuple(find_runs(adapters[single:], counts[single:], single)))
        if not single:
            return runs if runs.runs else None
        rows = adapters[:single]
        distinct = list(dict.fromkeys(adapter for adapter in rows if adapter is not None))
        if not self.stack.serves(distinct):
            kept = [old for old in self.stack.adapters if old not in distinct][: len(distinct)]
            self.stack = Stack([*distinct, *kept])
        places = [-1 if adapter is None else self.stack.place[adapter] for adapter in rows]
        stacked = Stacked(self.stack, places, device)
        return stacked if single == len(counts) else Both(single, stacked, runs)


def find_runs(
    adapters: Sequence[Adapter | None], counts: Sequence[int], start: int
) -> Iterator[tuple[int, int, Adapter]]:
    """Where one adapter's rows begin and end, the first row being number `start`."""
    for adapter, group in groupby(zip(adapters, counts, strict=True), key=lambda pair: pair[0]):
        end = start + sum(count for _, count in group)
        if adapter is not None:
            yield start, end, adapter
        start = end
