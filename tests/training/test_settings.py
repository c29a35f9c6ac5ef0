"""What `auto` means, with its reasons."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.training.settings import Room, resolve
from tests.training.making import make_recipe


def test_what_is_given_stays() -> None:
    asked = make_recipe(Path("base"), recompute=False)
    assert resolve(asked, 20, fast_bfloat16=True, room=Room(lambda _: 10**15, 1)) == (asked, ())


@pytest.mark.parametrize(("rows", "size"), [(1, 4), (599, 4), (600, 8), (3999, 8), (4000, 32), (10**6, 32)])
def test_batch_rows_follow_the_rows(rows: int, size: int) -> None:
    resolved = resolve(make_recipe(Path("base"), batch_rows="auto"), rows, fast_bfloat16=False)
    assert resolved.recipe.batch_rows == size
    (reason,) = resolved.reasons
    assert reason.startswith(f"batch_rows {size}: {rows} rows make {max(rows // size, 1)} steps")


@pytest.mark.parametrize(("rows", "times"), [(1, 4), (300, 4), (500, 3), (700, 2), (1500, 1), (10**6, 1)])
def test_few_rows_are_seen_more_often(rows: int, times: int) -> None:
    asked = make_recipe(Path("base")).model_copy(update={"epochs": "auto"})
    resolved = resolve(asked, rows, fast_bfloat16=False)
    assert resolved.recipe.epochs == times
    assert resolved.reasons[0].startswith(f"epochs {times}: {rows} rows are seen {times * rows} times")


def test_an_adapter_takes_ten_times_the_rate() -> None:
    adapter, full = (
        resolve(make_recipe(Path("base"), learning_rate="auto", **lora), 20, fast_bfloat16=False).recipe
        for lora in ({}, {"lora": None})
    )
    assert adapter.learning_rate == pytest.approx(10 * full.learning_rate)


def test_a_method_takes_its_share_of_the_rate() -> None:
    resolved = resolve(make_recipe(Path("base"), learning_rate="auto"), 20, fast_bfloat16=False, factor=0.1)
    assert resolved.recipe.learning_rate == pytest.approx(1e-4)
    assert resolved.reasons[0].endswith("sft takes 0.1 of it")


@pytest.mark.parametrize(("fast", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_the_machine_decides_the_precision(fast: bool, dtype: str) -> None:
    assert resolve(make_recipe(Path("base"), dtype="auto"), 20, fast_bfloat16=fast).recipe.dtype == dtype


@pytest.mark.parametrize(("gpu", "tokens"), [(True, 8192), (False, 768)])
def test_the_machine_decides_what_goes_through_at_once(gpu: bool, tokens: int) -> None:
    resolved = resolve(make_recipe(Path("base"), micro_tokens="auto"), 20, fast_bfloat16=False, gpu=gpu)
    assert resolved.recipe.micro_tokens == tokens
    assert resolved.reasons[0].startswith(f"micro_tokens {tokens}: ")


@pytest.mark.parametrize(("limit", "again"), [(3_000_000_000, False), (1_000_000_000, True)])
def test_activations_are_computed_twice_only_where_memory_asks_for_it(limit: int, again: bool) -> None:
    asked: list[object] = []

    def needs(recipe: object) -> int:
        asked.append(recipe)
        return 2_000_000_000

    resolved = resolve(make_recipe(Path("base"), dtype="auto"), 20, fast_bfloat16=True, room=Room(needs, limit))
    assert resolved.recipe.recompute is again
    said = f"recompute {again}: the run needs 2.0 GB without, and the machine has {limit / 1e9:.1f} GB"
    assert resolved.reasons[-1] == said
    assert asked == [resolved.recipe.model_copy(update={"recompute": False})]


def test_nobody_who_knows_memory_leaves_it_open() -> None:
    assert resolve(make_recipe(Path("base")), 20, fast_bfloat16=True).recipe.recompute == "auto"
