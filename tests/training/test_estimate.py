"""What a run will take: bytes and operations counted against what really happens, and what to change to make it fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from luthier.errors import BadData, RunFailed, UnknownName
from luthier.lm.chat import Chat
from luthier.records.training import BottleneckSpec, Ia3Spec, LoraSpec, PrefixSpec, PromptSpec
from luthier.training import base as bases
from luthier.training import estimate, machine, traced
from luthier.training.batches import heaviest, plan
from luthier.training.method import Item
from luthier.training.sft import SFT, collate, loss
from tests.training.making import dialogue, make_recipe, ready, row, some_rows

KINDS = {
    "lora": {},
    "dora": {"lora": LoraSpec(rank=4, variant="dora")},
    "every weight": {"lora": None},
    "bottleneck": {"adapter": BottleneckSpec(kind="bottleneck", width=8), "lora": None},
    "ia3": {"adapter": Ia3Spec(kind="ia3"), "lora": None},
    "prefix": {"adapter": PrefixSpec(kind="prefix", tokens=4), "lora": None},
    "prompt": {"adapter": PromptSpec(kind="prompt", tokens=4), "lora": None},
}


def recipe(folder: Path, **fields: Any) -> Any:
    return make_recipe(folder, **{"recompute": False} | fields)


@pytest.fixture(scope="module")
def items(base: Path) -> tuple[Item, ...]:
    return ready(make_recipe(base)).items


@pytest.mark.parametrize("kind", KINDS)
def test_a_trace_counts_what_really_happens(base: Path, items: tuple[Item, ...], kind: str) -> None:
    """The same numbers trained, the same bytes of weights, the same products as the model that is really there."""
    asked = recipe(base, **KINDS[kind])
    model = bases.load(asked, "generate")
    counter = FlopCounterMode(display=False)
    with counter:
        loss(model, collate(items[:3], 0)).total.backward()
    found = traced.trace(asked, items[:3], fused=False)
    assert found.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert found.weights == sum(p.numel() * p.element_size() for p in model.parameters())
    near = {"ia3": 0.03, "prefix": 0.5}.get(kind, 1e-6)  # a prefix goes another way through PEFT without contents
    assert found.operations == pytest.approx(counter.get_total_flops(), rel=near)


def test_frozen_weights_need_no_gradient(base: Path, items: tuple[Item, ...]) -> None:
    few = LoraSpec(rank=1, targets=("q_proj",))
    one, every = (traced.trace(recipe(base, lora=lora), items[:3], fused=False).operations for lora in (few, None))
    assert one < 0.75 * every


def test_the_bytes_alive_grow_as_they_should(base: Path, items: tuple[Item, ...]) -> None:
    def alive(count: int, **fields: Any) -> int:
        fused = fields.pop("fused", False)
        return traced.trace(recipe(base, **fields), [items[0]] * count, fused=fused).alive

    assert alive(8) == pytest.approx(2 * alive(4), rel=0.1)
    assert alive(4, recompute=True) < 0.75 * alive(4)
    assert alive(4, dtype="bfloat16") < 0.85 * alive(4)
    assert alive(4, fused=True) < alive(4)


def test_alive_is_the_sum_of_what_is_held() -> None:
    held = torch.zeros(10, device="meta")
    with traced.Alive([held]) as alive:
        a = held + 1
        b = a * 2
        del a
        c = b.view(2, 5) + 0
        del b, c
    assert (alive.most, alive.now) == (80, 0)


def test_the_operations_of_a_run_are_those_of_its_micro_batches(base: Path, items: tuple[Item, ...]) -> None:
    asked = recipe(base, epochs=1)
    micros = [micro for step in plan([len(item.ids) for item in items], asked) for micro in step]
    real = sum(traced.trace(asked, [items[row] for row in micro], fused=False).operations for micro in micros)
    assert estimate.operations(asked, items, micros) == pytest.approx(real, rel=0.03)


def test_memory_is_added_up(base: Path, items: tuple[Item, ...]) -> None:
    asked = recipe(base)
    found, seen = estimate.memory(asked, items), estimate.trace_heaviest(asked, items, False)
    assert found.weights == seen.weights
    assert found.trained == 16 * seen.trainable
    assert found.activations == max(int(estimate.SLACK["cpu"] * seen.alive), seen.weights)
    assert estimate.converted(asked) == 0
    assert estimate.converted(recipe(base, dtype="bfloat16")) == (base / "model.safetensors").stat().st_size
    assert found.process > 100e6
    assert found.total == sum(found)
    assert machine.peak() > 0.9 * machine.resident() > 0


def test_a_run_that_cannot_fit_is_refused_with_what_to_change(
    base: Path, items: tuple[Item, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recipe(base, lora=None)
    estimate.check_memory(asked, items)
    monkeypatch.setattr(machine, "memory", lambda free: 0)
    monkeypatch.setattr(machine, "resident", lambda: 1_000_000)
    with pytest.raises(
        RunFailed, match=r"the run needs .* GB of memory and 0.0 GB are free: not even with all of these"
    ):
        estimate.check_memory(asked, items)


def test_the_smallest_change_that_helps_is_named(base: Path, items: tuple[Item, ...]) -> None:
    asked = recipe(base, batch_rows=8, micro_tokens=1024)
    less = asked.model_copy(update={"recompute": True})
    whole, saved = (estimate.memory(each, items, on_gpu=True).total for each in (asked, less))
    assert saved < whole
    assert estimate.advice(asked, items, (whole + saved) // 2, on_gpu=True) == ("set recompute: true",)
    (none,) = estimate.advice(asked, items, 1000, on_gpu=True)
    assert "take a smaller base" in none


def test_time_here_is_tried(base: Path, items: tuple[Item, ...]) -> None:
    found = estimate.estimate(recipe(base), items)
    assert found.fits
    assert found.steps == len(plan([len(item.ids) for item in items], recipe(base)))
    assert found.tokens == 2 * sum(len(item.ids) for item in items)
    assert 0 < found.pace.seconds < 60
    assert 0 < found.pace.utilisation < 1
    assert found.advice == ()


def test_a_gpu_that_is_not_here(base: Path, items: tuple[Item, ...]) -> None:
    fast, slow = (estimate.estimate(recipe(base), items, on) for on in ("h100", "l4"))
    assert (fast.device, fast.limit) == ("h100", 80 * 2**30)
    assert fast.pace.operations == slow.pace.operations
    assert slow.pace.seconds / fast.pace.seconds == pytest.approx(989 / 121)
    assert fast.pace.utilisation == pytest.approx(estimate.SHARE)
    with pytest.raises(UnknownName, match="no data sheet of a GPU called 'h101': there are: b200"):
        estimate.estimate(recipe(base), items, "h101")


def test_a_sample_stands_for_all_rows(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chat, rows = Chat.load(base), some_rows(50, 0)
    asked = recipe(base)
    assert [item.row for item in estimate.sample(rows, SFT, chat, asked)] == [each.id for each in rows]
    monkeypatch.setattr(estimate, "SAMPLE", 10)
    some = estimate.sample(rows, SFT, chat, asked)
    assert len(some) == 50
    assert len({item.row for item in some}) == 10
    with pytest.raises(BadData, match="none of 1 rows has at most 20 tokens"):
        estimate.sample([row(1, dialogue("A? " * 50, "B."))], SFT, chat, recipe(base, max_length=20))


def test_a_dataset_without_a_row_that_can_be_trained_on_is_left_to_the_preflight(base: Path) -> None:
    assert estimate.room([row(1, dialogue("A?"))][:0], SFT, Chat.load(base), recipe(base)) is None


def test_the_rate_of_products_is_measured_once() -> None:
    rate = machine.matmul_rate(torch.float32)
    assert rate > 1e8
    assert machine.matmul_rate(torch.float32) is rate or machine.matmul_rate(torch.float32) == rate
    assert machine.memory() >= machine.memory(free=True) > 0


def test_utilisation_is_reckoned_from_the_heaviest(base: Path, items: tuple[Item, ...]) -> None:
    asked = recipe(base)
    pace = estimate.pace_of(asked, items)
    micro = heaviest([len(item.ids) for item in items], asked)
    tokens = sum(len(items[place].ids) for place in micro)
    assert pace["operations"] * tokens == pytest.approx(estimate.trace_heaviest(asked, items, False).operations)
