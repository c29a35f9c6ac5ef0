"""Which rows go into which step is a pure function of lengths, recipe and seed."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from luthier.records.training import Recipe
from luthier.training.batches import heaviest, micro_batches, plan
from tests.training.making import make_recipe

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=40)


def recipe(**fields: object) -> Recipe:
    return make_recipe(Path("base"), **fields)


@given(LENGTHS, st.integers(0, 5), st.integers(1, 9), st.integers(1, 3))
def test_every_row_once_an_epoch(lengths: list[int], seed: int, rows: int, epochs: int) -> None:
    asked = recipe(seed=seed, batch_rows=rows, epochs=epochs)
    steps = plan(lengths, asked)
    assert steps == plan(list(lengths), asked)
    per_epoch = -(-len(lengths) // rows)
    assert len(steps) == per_epoch * epochs
    for epoch in range(epochs):
        of_epoch = steps[epoch * per_epoch : (epoch + 1) * per_epoch]
        seen = [row for step in of_epoch for micro in step for row in micro]
        assert sorted(seen) == list(range(len(lengths)))
        assert all(sum(map(len, step)) <= rows for step in of_epoch)


@given(LENGTHS, st.integers(16, 600))
def test_micro_batches_keep_to_their_tokens(lengths: list[int], most: int) -> None:
    for micro in micro_batches(range(len(lengths)), lengths, most):
        assert len(micro) == 1 or len(micro) * max(lengths[row] for row in micro) <= most


@given(LENGTHS, st.integers(16, 600))
def test_how_a_step_is_cut_does_not_move_rows_between_steps(lengths: list[int], most: int) -> None:
    def rows(micro_tokens: int) -> list[list[int]]:
        return [
            sorted(row for micro in step for row in micro) for step in plan(lengths, recipe(micro_tokens=micro_tokens))
        ]

    assert rows(most) == rows(16)


@given(LENGTHS, st.integers(16, 600))
def test_the_heaviest(lengths: list[int], most: int) -> None:
    asked = recipe(micro_tokens=most)

    def tokens(micro: tuple[int, ...]) -> int:
        return len(micro) * max(lengths[row] for row in micro)

    assert tokens(heaviest(lengths, asked)) == max(tokens(m) for step in plan(lengths, asked) for m in step)


def test_seed_and_epoch_shuffle_anew() -> None:
    lengths = list(range(1, 21))
    first, second = (plan(lengths, recipe(seed=seed, epochs=1)) for seed in (0, 1))
    both = plan(lengths, recipe(seed=0, epochs=2))
    assert first != second
    assert both[: len(first)] == first
    assert both[len(first) :] != first


def test_max_steps_cuts_the_run() -> None:
    lengths = list(range(1, 21))
    assert plan(lengths, recipe(max_steps=3)) == plan(lengths, recipe())[:3]
