"""The intervals hold what they promise: coverage and false alarms by simulation, seeded; degenerate cases honest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from luthier.errors import BadData
from luthier.evaluation.statistics import counted_mean, difference_of, mean_of, smallest_visible

SIZES = (20, 60, 200)
DRAWS = 400
"""Enough for a simulation; what is reported takes 10,000."""
Draw = Callable[[np.random.Generator, int], np.ndarray]


def mixture(values: tuple[float, ...], shares: tuple[float, ...]) -> tuple[Draw, float]:
    return lambda rng, n: rng.choice(values, n, p=shares), float(np.dot(values, shares))


# Name → how scores are drawn, and their true mean.
SCORES: dict[str, tuple[Draw, float]] = {
    "uniform": (lambda rng, n: rng.random(n), 0.5),
    "skewed": (lambda rng, n: rng.beta(5, 1, n), 5 / 6),
    "u-shaped": (lambda rng, n: rng.beta(0.5, 0.5, n), 0.5),
    "close to 1": (lambda rng, n: rng.beta(2, 0.3, n), 2 / 2.3),
    "thirds": mixture((0, 1 / 3, 2 / 3, 1), (0.1, 0.1, 0.2, 0.6)),
    "mostly 1": (lambda rng, n: np.where(rng.random(n) < 0.9, 1.0, rng.random(n)), 0.95),
    "rarely less": mixture((0, 0.5, 1), (0.03, 0.07, 0.9)),
}


@pytest.mark.parametrize("n", SIZES)
def test_intervals_of_all_or_nothing_scores_cover_at_every_rate(n: int) -> None:
    """Exactly, not by simulation: at each true rate, the probability of counts whose interval holds it."""
    counts = np.arange(n + 1)
    ends = np.array([counted_mean(np.repeat([1.0, 0.0], (count, n - count))) for count in counts])
    for rate in np.linspace(0.005, 0.995, 199):
        chance = binom.pmf(counts, n, rate)
        assert chance[(ends[:, 0] <= rate) & (rate <= ends[:, 1])].sum() >= 0.95
        assert chance[ends[:, 0] > rate].sum() <= 0.025
        assert chance[ends[:, 1] < rate].sum() <= 0.025


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", SCORES)
def test_intervals_of_graded_scores_cover(name: str, n: int) -> None:
    draw, truth = SCORES[name]
    rng = np.random.default_rng(7)
    found = [mean_of(draw(rng, n).tolist(), draws=DRAWS, seed=i) for i in range(400)]
    assert np.mean([m.low <= truth <= m.high for m in found]) >= 0.93


def alike(first: Draw, agreeing: float) -> Draw:
    """Two models of one quality: where they agree, one score for both, else each draws anew. Differences (n,)."""

    def differences(rng: np.random.Generator, n: int) -> np.ndarray:
        shared, ours, theirs = first(rng, n), first(rng, n), first(rng, n)
        return np.where(rng.random(n) < agreeing, shared, ours) - np.where(rng.random(n) < agreeing, shared, theirs)

    return differences


NO_DIFFERENCE: dict[str, Draw] = {
    "0/1, seldom different": alike(mixture((0, 1), (0.2, 0.8))[0], 0.8),
    "0/1, independent": alike(mixture((0, 1), (0.5, 0.5))[0], 0.0),
    "thirds": alike(SCORES["thirds"][0], 0.5),
    "thirds, seldom different": alike(SCORES["thirds"][0], 0.9),
    "skewed": alike(SCORES["skewed"][0], 0.5),
}


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", NO_DIFFERENCE)
def test_no_difference_is_seldom_called_one(name: str, n: int) -> None:
    """The limit `better_by: 0` passes where the lower end exceeds 0: 2.5 % of the time is promised, 5 % the most."""
    rng = np.random.default_rng(11)
    found = [difference_of(NO_DIFFERENCE[name](rng, n), np.zeros(n), draws=DRAWS, seed=i) for i in range(400)]
    assert np.mean([m.low > 0 for m in found]) <= 0.045
    assert np.mean([m.low <= 0 <= m.high for m in found]) >= 0.93


def test_false_alarms_over_all_cases_together_keep_the_promise() -> None:
    rng = np.random.default_rng(3)
    alarms = [
        difference_of(draw(rng, n), np.zeros(n), draws=DRAWS, seed=i).low > 0
        for draw in NO_DIFFERENCE.values()
        for n in SIZES
        for i in range(100)
    ]
    assert np.mean(alarms) <= 0.03


def test_pairing_sees_what_two_separate_intervals_do_not() -> None:
    rng = np.random.default_rng(5)
    theirs = rng.beta(1, 1, 80)
    ours = np.clip(theirs + 0.05 + rng.normal(0, 0.02, 80), 0, 1)
    assert difference_of(ours.tolist(), theirs.tolist()).low > 0
    assert mean_of(ours.tolist()).low < mean_of(theirs.tolist()).high


@pytest.mark.parametrize(
    ("scores", "low", "high"),
    [
        ([1.0] * 20, 0.8316, 1.0),  # 0.025 ** (1 / 20)
        ([0.0] * 20, 0.0, 0.1684),
        ([1.0], 0.025, 1.0),
        ([0.0], 0.0, 0.975),
        ([1.0] * 10 + [0.0] * 10, 0.272, 0.728),
    ],
)
def test_counted_ends_at_known_places(scores: list[float], low: float, high: float) -> None:
    found = mean_of(scores)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))


def test_equal_scores_are_not_certain_ones() -> None:
    found = mean_of([0.5] * 20)
    assert found.mean == 0.5
    assert found.low < 0.3
    assert found.high > 0.7


@pytest.mark.parametrize("n", [1, 2, 20])
def test_the_same_answers_twice_are_no_proof_of_equality(n: int) -> None:
    found = difference_of([0.5] * n, [0.5] * n)
    assert found.mean == 0
    assert found.low < 0 < found.high
    assert found.high > 1 / (n + 2)


def test_always_better_is_better_even_over_few() -> None:
    assert difference_of([1.0] * 8, [0.0] * 8).low > 0
    assert difference_of([1.0] * 3, [0.0] * 3).low < 0


@pytest.mark.parametrize("scores", [[], [1.2], [-0.1, 0.5], [float("nan")]])
def test_no_scores_and_scores_that_are_no_share_are_refused(scores: list[float]) -> None:
    with pytest.raises(BadData):
        mean_of(scores)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.data())
def test_ends_lie_around_the_mean_and_within_what_is_possible(scores: list[float], data: st.DataObject) -> None:
    found = mean_of(scores, draws=200)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    theirs = data.draw(st.lists(st.floats(0, 1), min_size=len(scores), max_size=len(scores)))
    one, other = difference_of(scores, theirs, draws=200), difference_of(theirs, scores, draws=200)
    assert -1 <= one.low <= one.mean <= one.high <= 1
    assert one.mean == pytest.approx(-other.mean, abs=1e-8)


def test_the_same_scores_give_the_same_figures() -> None:
    scores = np.random.default_rng(0).random(75).tolist()
    assert mean_of(scores) == mean_of(scores)


def test_the_smallest_visible_difference_shrinks_with_the_root_of_n() -> None:
    rng = np.random.default_rng(0)
    few, many = (smallest_visible(mean_of(rng.random(n).tolist())) for n in (50, 800))
    assert few / many == pytest.approx(4, rel=0.2)
