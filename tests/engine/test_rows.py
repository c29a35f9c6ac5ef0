"""Slots stay gapless and every row's memory is its own, through any order of joining and leaving."""

from __future__ import annotations

import random

import pytest

from luthier.engine.rows import Delta, Job, Row, Table, common
from luthier.engine.sampling import Sampling, generator
from luthier.engine.text import Speech


def row(ids: list[int], adapter: object = None) -> Row:
    def tell(_: Delta) -> None: ...

    job = Job(ids, Sampling(4), adapter, tell)
    return Row(job, Speech(str), generator(0), list(ids))


class Memory:
    """What a slot of the model's memory would hold."""

    def __init__(self, slots: int) -> None:
        self.slots: list[list[int]] = [[] for _ in range(slots)]

    def copy(self, source: int, target: int, length: int) -> None:
        assert len(self.slots[source]) >= length
        self.slots[target][:length] = self.slots[source][:length]

    def compute(self, slot: int, one: Row, count: int) -> None:
        self.slots[slot][one.computed :] = one.ids[one.computed : one.computed + count]
        one.computed += count


@pytest.mark.parametrize("seed", range(20))
def test_any_order(seed: int) -> None:
    draw = random.Random(seed)
    memory = Memory(5)
    table = Table(5, memory.copy)
    system = [draw.randrange(9) for _ in range(20)]
    adapters = [object(), None]
    for _ in range(300):
        reading = [one for one in table.rows if one.missing]
        if not table.full and not reading and draw.random() < 0.5:
            one = row(system + [draw.randrange(3) for _ in range(draw.randrange(1, 6))], draw.choice(adapters))
            table.join(one)
        for one in table.rows:
            slot = table.slots.index(one)
            count = draw.randrange(one.missing + 1) if one.missing else 1
            memory.compute(slot, one, count)
            if not one.missing:
                one.ids.append(draw.randrange(9))
        if table.live and draw.random() < 0.4:
            table.leave(draw.choice(table.rows))
        for slot, one in enumerate(table.slots):
            assert (slot < table.live) <= (one is not None)
            if one is not None:
                assert memory.slots[slot][: one.computed] == one.ids[: one.computed]
        speaking = [not one.missing for one in table.rows]
        assert speaking == sorted(speaking, reverse=True)


def test_a_common_beginning_is_taken_over_but_the_last_token_is_computed() -> None:
    memory = Memory(3)
    table = Table(3, memory.copy)
    first = row(list(range(30)))
    assert table.join(first) == 0
    memory.compute(0, first, 30)
    assert table.join(row(list(range(30)))) == 29
    assert table.join(row([*range(20), 99, 98])) == 20


def test_another_adapter_shares_nothing() -> None:
    memory = Memory(2)
    table = Table(2, memory.copy)
    first = row(list(range(30)), object())
    table.join(first)
    memory.compute(0, first, 30)
    assert table.join(row(list(range(30)), object())) == 0


def test_common() -> None:
    assert [common([1, 2, 3], other) for other in ([1, 2, 4], [1, 2, 3, 4], [2], [])] == [2, 3, 0, 0]
