"""What `auto` means, with its reasons."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.training.settings import resolve
from tests.training.making import make_recipe


def test_what_is_given_stays() -> None:
    asked = make_recipe(Path("base"))
    assert resolve(asked, 20, fast_bfloat16=True) == (asked, ())


@pytest.mark.parametrize(("rows", "size"), [(1, 4), (599, 4), (600, 8), (3999, 8), (4000, 32), (10**6, 32)])
def test_batch_rows_follow_the_rows(rows: int, size: int) -> None:
    resolved = resolve(make_recipe(Path("base"), batch_rows="auto"), rows, fast_bfloat16=False)
    assert resolved.recipe.batch_rows == size
    (reason,) = resolved.reasons
    assert reason.startswith(f"batch_rows {size}: {rows} rows make {max(rows // size, 1)} steps")


def test_an_adapter_takes_ten_times_the_rate() -> None:
    adapter, full = (
        resolve(make_recipe(Path("base"), learning_rate="auto", **lora), 20, fast_bfloat16=False).recipe
        for lora in ({}, {"lora": None})
    )
    assert adapter.learning_rate == pytest.approx(10 * full.learning_rate)


@pytest.mark.parametrize(("fast", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_the_machine_decides_the_precision(fast: bool, dtype: str) -> None:
    assert resolve(make_recipe(Path("base"), dtype="auto"), 20, fast_bfloat16=fast).recipe.dtype == dtype


@pytest.mark.parametrize(("gpu", "tokens"), [(True, 8192), (False, 768)])
def test_the_machine_decides_what_goes_through_at_once(gpu: bool, tokens: int) -> None:
    resolved = resolve(make_recipe(Path("base"), micro_tokens="auto"), 20, fast_bfloat16=False, gpu=gpu)
    assert resolved.recipe.micro_tokens == tokens
    assert resolved.reasons[0].startswith(f"micro_tokens {tokens}: ")
