"""Mixtures: exact shares, the same draw everywhere, and a draw that hardly moves when rows are added."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.data.mixture import draw, plan
from luthier.errors import BadConfig


def rows(source: str, count: int) -> list[tuple[str, str]]:
    return [(source, f"{source}-{number}") for number in range(count)]


def taken(mixture, all_rows) -> dict[str, int]:
    return {row: weight for source, row in all_rows if (weight := mixture.weight(source, row))}


def test_the_largest_whole_with_the_shares_asked_for():
    shares = plan({"a": 1000, "b": 300, "c": 50}, {"a": 0.5, "b": 0.3, "c": 0.2})
    assert {name: share.take for name, share in shares.items()} == {"a": 125, "b": 75, "c": 50}
    assert [share.got for share in shares.values()] == [0.5, 0.3, 0.2]
    assert plan({"a": 10, "b": 9}, {"a": 7})["b"].take == 0


def test_a_small_source_is_repeated_in_whole_epochs_and_a_drawn_rest():
    counts = {"big": 100, "small": 20}
    shares = plan(counts, {"big": 1, "small": 1}, epochs=5, most=100)
    assert (shares["small"].take, shares["small"].epochs, shares["small"].rest) == (50, 2, 10)
    everything = rows("big", 100) + rows("small", 20)
    weights = taken(draw(shares, everything), everything)
    small = [weight for row, weight in weights.items() if row.startswith("small")]
    assert sorted(small) == [2] * 10 + [3] * 10
    assert sum(weight for row, weight in weights.items() if row.startswith("big")) == 50


def test_the_draw_is_the_same_in_any_order_and_moves_little():
    everything = rows("a", 1000) + rows("b", 400)
    shares = plan({"a": 1000, "b": 400}, {"a": 1, "b": 1}, most=400)
    once = taken(draw(shares, everything, seed=3), everything)
    assert once == taken(draw(shares, reversed(everything), seed=3), everything)
    assert once != taken(draw(shares, everything, seed=4), everything)
    more = [*everything, ("a", "a-fresh")]
    grown = plan({"a": 1001, "b": 400}, {"a": 1, "b": 1}, most=400)
    assert len(taken(draw(grown, more, seed=3), more).keys() - once.keys()) <= 1


@given(
    counts=st.dictionaries(st.sampled_from("abcde"), st.integers(1, 80), min_size=1),
    weights=st.lists(st.sampled_from([0.1, 0.2, 0.3, 1, 2.5, 7]), min_size=5, max_size=5),
    epochs=st.integers(1, 4),
    most=st.none() | st.integers(1, 200),
)
def test_what_is_drawn_is_what_was_planned(counts, weights, epochs, most):
    given_weights = dict(zip(counts, weights, strict=False))
    shares = plan(counts, given_weights, epochs=epochs, most=most)
    whole = sum(share.take for share in shares.values())
    assert most is None or whole <= most
    everything = [row for source, count in counts.items() for row in rows(source, count)]
    mixture = draw(shares, everything)
    for source, share in shares.items():
        seen = [mixture.weight(source, row) for other, row in everything if other == source]
        assert sum(seen) == share.take
        assert max(seen, default=0) <= epochs
        assert abs(share.take - whole * share.wanted) < 1


@pytest.mark.parametrize(
    ("weights", "more", "said"),
    [
        ({"x": 1}, {}, "is not there"),
        ({"a": -1}, {}, "is -1"),
        ({"a": float("nan")}, {}, "is nan"),
        ({"none": 1}, {}, "no row"),
        ({"a": 0}, {}, "no source"),
        ({"a": 1}, {"epochs": 0}, "at least one"),
        ({"a": 1}, {"most": 0}, "at least one"),
    ],
)
def test_what_is_no_mixture(weights, more, said):
    with pytest.raises(BadConfig, match=said):
        plan({"a": 5, "none": 0}, weights, **more)


def test_a_source_without_a_weight_is_left_out():
    mixture = draw(plan({"a": 5, "b": 5}, {"a": 1}), rows("a", 5))
    assert (mixture.weight("b", "b-1"), mixture.weight("new", "x"), mixture.weight("a", "a-1")) == (0, 0, 1)
