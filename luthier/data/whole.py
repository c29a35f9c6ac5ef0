"""Limits that take the whole set to be held: rows that contradict others, and classes that have too many rows. Pure.

`contradictions`  the share of the other answers to a row's question that state other figures than it does: 1 of 2
                  rows that differ, .1 for nine rows that say one thing while a tenth says another, and 1 for that one
`balance`         the share of the training rows that one label has

A single row has neither score; so these run over all rows, as often as they are asked for, and answer with the ids of
those that leave. What is kept meanwhile grows with the questions that are asked more than once, not with the texts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from luthier.data import mixture
from luthier.data.detectors.balance import Spread, label_of
from luthier.data.detectors.contradictions import asked, stated
from luthier.errors import BadConfig
from luthier.lm.figures import Figure, missing_figures
from luthier.records.data import Row

Rows = Callable[[], Iterable[Row]]
"""Every row, as often as it is asked for."""
COMPARED = 200
"""Sets of figures of one question that others are compared with, the most frequent: time grows with the rows alone."""


class Disputed(NamedTuple):
    """How far a row is contradicted."""

    score: float
    """Share of the other answers to the question that contradict it, 0..1; of its questions the worst."""
    other: str
    """Id of the first row that does."""
    says: str
    """What that one states and this one does not."""


class Said(NamedTuple):
    """One set of figures that answers to one question state."""

    figures: tuple[Figure, ...]
    first: str
    """Id of the first row that states them."""


def disputed(rows: Rows, limit: float) -> dict[str, Disputed]:
    """The rows whose answers are contradicted by more than `limit` of the other answers to the same question.

    `rows` is called three times. Where two rows alone disagree both leave: nothing here knows who is right.
    """
    against = contradicted(rows, limit)
    out: dict[str, Disputed] = {}
    for row in rows() if against else ():
        for key, _, answer in asked(row):
            found = against.get((key, spelt(stated(answer))))
            if found and (row.id not in out or found.score > out[row.id].score):
                out[row.id] = found
    return out


def contradicted(rows: Rows, limit: float) -> dict[tuple[int, tuple[str, ...]], Disputed]:
    """Of each question the sets of figures that are contradicted by more than `limit` of its other answers."""
    seen: set[int] = set()
    again: set[int] = set()
    for row in rows():
        for key, _, _ in asked(row):
            (again if key in seen else seen).add(key)
    del seen
    groups: dict[int, dict[tuple[str, ...], Said]] = {}
    counts: Counter[tuple[int, tuple[str, ...]]] = Counter()
    for row in rows() if again else ():
        for key, _, answer in asked(row):
            if key in again and (figures := stated(answer)):
                says = spelt(figures)
                counts[key, says] += 1
                groups.setdefault(key, {}).setdefault(says, Said(figures, row.id))
    found: dict[tuple[int, tuple[str, ...]], Disputed] = {}
    for key, group in groups.items():
        whole = sum(counts[key, says] for says in group)
        often = sorted(group, key=lambda says: -counts[key, says])[:COMPARED]
        for says, said in group.items() if len(group) > 1 else ():
            against = [other for other in often if other != says and apart(said.figures, group[other].figures)]
            score = sum(counts[key, other] for other in against) / (whole - 1)
            if score > limit:
                first = group[against[0]]
                told = ", ".join(figure.value for figure in missing_figures(first.figures, said.figures))
                found[key, says] = Disputed(round(score, 3), first.first, told)
    return found


def apart(one: tuple[Figure, ...], other: tuple[Figure, ...]) -> bool:
    """Whether each states a figure that the other lacks."""
    return bool(missing_figures(one, other)) and bool(missing_figures(other, one))


def spelt(found: Iterable[Figure]) -> tuple[str, ...]:
    """A set of figures as a name for it: a thousand answers that state the same are one."""
    return tuple(sorted({figure.value for figure in found}))


def overweight(rows: Rows, limit: float, seed: int = 0) -> dict[str, str]:
    """The training rows to leave out so that no label has more than `limit` of them: id → the label that has too many.

    What rows are labelled with is told as the report tells it: a metadata field, or answers that recur. Which rows of
    a label stay is drawn by a hash of their ids. Empty where rows have no labels, or one alone. `rows` is called three
    times at most. Raises BadConfig where so few labels cannot each have so small a share.
    """
    spread = Spread()
    for row in rows():
        if row.split == "train":
            spread.add(row)
    labels = spread.labels()
    counts = {name: count for name, count in labels[1].items() if count} if labels else {}
    if not labels or len(counts) < 2:
        return {}
    take = cut(counts, limit)
    if take == counts:
        return {}
    drawn = [
        (label, row.id)
        for row in rows()
        if row.split == "train" and take.get(label := label_of(row, labels[0]), 0) < counts.get(label, 0)
    ]
    shares = {label: mixture.Share(counts[label], take[label], limit, limit) for label, _ in drawn}
    kept = mixture.draw(shares, drawn, seed)
    return {name: label for label, name in drawn if not kept.weight(label, name)}


def cut(counts: Mapping[str, int], limit: float) -> dict[str, int]:
    """How many rows of each class stay: as many as can so that none has more than `limit` of all. Raises BadConfig.

    One ceiling holds for all classes, and only the largest reach it.
    """
    share, classes = Fraction(str(limit)), list(counts.values())
    if share * len(classes) < 1:
        raise BadConfig(
            f"{len(classes)} labels cannot each have at most {limit:g} of the rows",
            f"raise the limit for balance to {ceil(100 / len(classes)) / 100:g} or more",
        )

    def too_high(ceiling: int) -> bool:  # once it is, every higher one is: what it adds to the whole only shrinks
        return ceiling > share * sum(min(count, ceiling) for count in classes)

    ceiling = bisect_left(range(max(classes) + 1), True, key=too_high) - 1
    return {name: min(count, ceiling) for name, count in counts.items()}
