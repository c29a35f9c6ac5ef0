"""Quality: what the detectors say of each row, and which rows that leaves out. Knows no particular detector.

A detector (extension of kind `detector`) is a pure function of one row; its score goes from 0, nothing to see, to 1.
What takes the whole set (contradictions, balance) stands in `detectors/` too and is called by the report; limits for
it are held by `whole`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import NamedTuple

from luthier import plugins
from luthier.errors import BadConfig, RunFailed
from luthier.records.data import Row

Detector = Callable[[Row], float]
DEFAULT = (*("short", "long", "truncated", "templated", "repetition", "refusal", "language", "encoding", "markup"),)
"""What looks at every row unless the project says otherwise; `toxicity` needs a package of its own."""
OF_ALL_ROWS = ("contradictions", "balance")
"""Limits that one row cannot be held against: `whole` does, once all rows are there."""
DIGITS = 3
"""Decimals of a score that are kept: the same on every machine."""


class Judged(NamedTuple):
    """A row with its scores and, where a limit is passed, why it is left out."""

    row: Row
    reason: str = ""


class Judge:
    """The detectors called `names` and the limits that some of them have: a row above one is left out.

    Raises UnknownName for a detector that is not installed, BadConfig for a limit outside 0..1 or for a detector that
    does not run. Equal rows are judged equally, in every process.
    """

    def __init__(self, names: Sequence[str] = DEFAULT, limits: Mapping[str, float] | None = None) -> None:
        self.limits = {name: limit for name, limit in (limits or {}).items() if name not in OF_ALL_ROWS}
        self.detectors: dict[str, Detector] = {name: plugins.find("detector", name) for name in names}
        for name, limit in (limits or {}).items():
            if name not in (*self.detectors, *OF_ALL_ROWS):
                plugins.find("detector", name)  # a wrong name is said first
                raise BadConfig(f"there is a limit for {name!r}, which does not run", f"add {name} to the detectors")
            if not 0 <= limit <= 1:
                raise BadConfig(f"the limit {limit:g} for {name!r} is no score", "scores go from 0 to 1")

    def __call__(self, row: Row) -> Judged:
        """`row` with its scores; those of 0 are left out, as most are."""
        scores = {name: score for name, detector in self.detectors.items() if (score := asked(name, detector, row))}
        over = {name: scores.get(name, 0.0) for name, limit in self.limits.items() if scores.get(name, 0.0) > limit}
        judged = row.model_copy(update={"scores": row.scores | scores}) if scores else row
        worst = max(over, key=lambda name: over[name] - self.limits[name], default="")
        return Judged(judged, f"{worst} above {self.limits[worst]:g}" if worst else "")


def asked(name: str, detector: Detector, row: Row) -> float:
    """What a detector says of a row. Raises RunFailed where that is no score."""
    score = detector(row)
    if not isinstance(score, int | float) or not isfinite(score) or not 0 <= score <= 1:
        raise RunFailed(f"detector {name!r} gave {score!r} for row {row.id}", "a score is a number from 0 to 1")
    return round(float(score), DIGITS)


def meaning(name: str) -> str:
    """What a detector's score says, in its own words; nothing where it is not installed here."""
    if name not in plugins.offered("detector"):
        return ""
    return (plugins.find("detector", name).__doc__ or "").strip().partition("\n")[0]
