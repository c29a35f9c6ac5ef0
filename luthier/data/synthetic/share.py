"""How much of the training rows may be synthetic, and which synthetic rows are left out. Pure; by ids and a hash.

Models that are trained on nothing but what models wrote lose the rare cases first (Shumailov et al. 2024, Nature 631);
where real rows stay beside them they do not (Gerstgrasser et al. 2024, arXiv:2404.01413). So there is a cap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import floor
from typing import NamedTuple

from luthier.data.mixture import place
from luthier.records.data import Split

MARK = "synthetic"
SURPLUS = "more synthetic rows than allowed"
UNMEASURED = "synthetic rows are trained on, not measured with"


class Left(NamedTuple):
    """Why a row is left out: the rule, which is counted, and what is special about this row."""

    rule: str
    detail: str = ""


class Marked(NamedTuple):
    """What is counted of a row."""

    id: str
    split: Split
    synthetic: bool


def synthetic(metadata: Mapping[str, str]) -> bool:
    """Whether a row says of itself that a model wrote it."""
    return metadata.get(MARK) == "true"


def surplus(rows: Iterable[Marked], share: float, seed: int = 0) -> dict[str, Left]:
    """The synthetic rows to leave out, by id, so that at most `share` of the training rows are synthetic.

    Those outside the training split go as well: a model must not be measured with what a model wrote. Which of the
    others go is drawn by a hash of their ids, so a row that is added elsewhere pushes out at most one. Reads `rows`
    once and keeps the ids of the synthetic ones.
    """
    real = 0
    left: dict[str, Left] = {}
    drawn: list[tuple[int, str]] = []
    for row in rows:
        if not row.synthetic:
            real += row.split == "train"
        elif row.split != "train":
            left[row.id] = Left(UNMEASURED, row.split)
        else:
            drawn.append((place(seed, MARK, row.id), row.id))
    most = allowed(real, share)
    if most is not None and len(drawn) > most:
        detail = f"{most} of {len(drawn)} beside {real} others"
        left |= {name: Left(SURPLUS, detail) for _, name in sorted(drawn)[most:]}
    return left


def allowed(real: int, share: float) -> int | None:
    """Synthetic rows that may stand beside `real` ones; None for any number."""
    return None if share >= 1 else floor(real * share / (1 - share) + 1e-9)
