"""Means with honest 95 % intervals: scores in, `Measure` out. Knows nothing of models, suites or gates.

Scores lie in [0, 1], so differences lie in [-1, 1]. Two kinds of interval, each end wrong at most about 2.5 % of the
time at any n (`tests/evaluation/test_statistics.py` proves it by simulation):

- *counted*, for all-or-nothing scores: Clopper and Pearson 1934 for a mean, Bonett and Price 2012 for a paired
  difference. Both stay honest at 20 of 20, where a bootstrap says [1, 1] and Wilson's interval is too short.
- *bootstrapped*, for scores in between: percentile and BCa (Efron 1987), of each the outer end, both widened for
  small n (Hesterberg 2015, arXiv:1411.5279). The percentile errs on skewed scores, BCa on rare ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, ndtri, stdtrit

from luthier.errors import BadData
from luthier.records.evaluation import Measure

Floats = NDArray[np.float64]

DRAWS = 10_000
ALPHA = 0.025
"""Share of the error that each end of an interval may have."""
RARE = 10
"""Where fewer values than this differ from the commonest one, resampling them says too little."""
PLACES = 12
"""Digits behind the point; the rest is noise of adding up, which differs between machines."""
AT_ONCE = 2_000_000
"""Most values drawn in one piece: 16 MB."""


def mean_of(scores: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> Measure:
    """The mean of `scores`, each in [0, 1], with its 95 % interval. Raises BadData for none, or for others."""
    values = checked(scores, 0.0, 1.0)
    ends = counted_mean(values)
    if not np.isin(values, (0.0, 1.0)).all():
        ends = with_bootstrap(values, ends, draws=draws, seed=seed)
    return measure(values, ends)


def difference_of(ours: Sequence[float], theirs: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> Measure:
    """The mean of (ours - theirs), question by question, with its 95 % interval.

    Pairing takes the difficulty of the questions out of the error (Miller 2024, arXiv:2411.00640).
    """
    values = checked(np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64), -1.0, 1.0)
    ends = counted_difference(values)
    if not np.isin(values, (-1.0, 0.0, 1.0)).all():
        ends = with_bootstrap(values, ends, draws=draws, seed=seed)
    return measure(values, ends)


def smallest_visible(found: Measure) -> float:
    """The minimum detectable effect: what as many questions would tell from nothing with a chance of 80 %."""
    half = (found.high - found.low) / 2
    return float(half * (1 - ndtri(0.8) / ndtri(ALPHA)))


def checked(scores: Sequence[float] | Floats, least: float, most: float) -> Floats:
    """The scores as an array (N,), or BadData."""
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        raise BadData("there is no score to take a mean of", "give the suite a question that the scorer applies to")
    if not np.all((values >= least) & (values <= most)):
        wrong = values[~((values >= least) & (values <= most))][0]
        raise BadData(f"a score of {wrong:g} lies outside [{least:g}, {most:g}]", "let the scorer return a share of 1")
    return np.round(values, PLACES)


def measure(values: Floats, ends: tuple[float, float]) -> Measure:
    """Rounded to 9 places, so that the same answers give the same report on every machine."""
    mean, low, high = (round(float(figure), 9) + 0.0 for figure in (values.mean(), *ends))
    return Measure(mean=mean, low=min(low, mean), high=max(high, mean), n=values.size)


def counted_mean(values: Floats) -> tuple[float, float]:
    """Clopper and Pearson's exact interval. Scores between 0 and 1 count as shares of a success.

    No score in [0, 1] with the same mean spreads wider than all-or-nothing, so for those it errs on the safe side.
    """
    n, successes = values.size, float(values.sum())
    low = betaincinv(successes, n - successes + 1, ALPHA) if successes > 0 else 0.0
    high = betaincinv(successes + 1, n - successes, 1 - ALPHA) if successes < n else 1.0
    return float(low), float(high)


def counted_difference(values: Floats) -> tuple[float, float]:
    """Bonett and Price's interval for paired shares: one gain, one loss and no more are imagined on top."""
    n = values.size + 2
    gained = (float(np.maximum(values, 0).sum()) + 1) / n
    lost = (float(np.maximum(-values, 0).sum()) + 1) / n
    half = -float(ndtri(ALPHA)) * math.sqrt((gained + lost - (gained - lost) ** 2) / n)
    return max(gained - lost - half, -1.0), min(gained - lost + half, 1.0)


def with_bootstrap(values: Floats, counted: tuple[float, float], *, draws: int, seed: int) -> tuple[float, float]:
    """The bootstrap's ends; the counted ones too where too few values differ for resampling to know the spread."""
    commonest = int(np.unique(values, return_counts=True)[1].max())
    if values.size <= RARE or commonest == values.size:
        return counted
    ends = bootstrap(values, draws=draws, seed=seed)
    return outer(ends, counted) if values.size - commonest < RARE else ends


def bootstrap(values: Floats, *, draws: int, seed: int) -> tuple[float, float]:
    """The outer ends of the percentile and the BCa interval of the mean of `values`, which are not all equal."""
    n, mean = values.size, round(float(values.mean()), PLACES)
    means = resampled_means(values, draws, np.random.default_rng(seed))
    # Resampled means spread by sqrt((n-1)/n) too little, and n values ask for Student's curve, not the normal one.
    z = math.sqrt(n / (n - 1)) * stdtrit(n - 1, ALPHA) * np.array([1, -1])
    away = values - mean
    acceleration = float((away**3).sum() / (6 * (away**2).sum() ** 1.5))
    below = float((means < mean).mean() + (means == mean).mean() / 2)
    bias = ndtri(min(max(below, 1 / draws), 1 - 1 / draws))
    corrected = bias + (bias + z) / np.maximum(1 - acceleration * (bias + z), 0.01)
    percentile, bca = np.quantile(means, ndtr(z)), np.quantile(means, ndtr(corrected))
    return outer((float(percentile[0]), float(percentile[1])), (float(bca[0]), float(bca[1])))


def resampled_means(values: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Means (draws,) of as many samples of n drawn with replacement, a few at a time to spare memory."""
    n = values.size
    rows = max(AT_ONCE // n, 1)
    pieces = [values[rng.integers(0, n, (min(rows, draws - done), n))].mean(axis=1) for done in range(0, draws, rows)]
    return np.round(np.concatenate(pieces), PLACES)


def outer(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The lower of two lower ends and the higher of two upper ends."""
    return min(one[0], other[0]), max(one[1], other[1])
