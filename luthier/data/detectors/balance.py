"""Whole-set detector: how evenly the rows are spread over sources, languages, splits and labels. Pure.

Evenness is Shannon's entropy over its largest value (Pielou 1966): 1 where every class has as many rows, near 0
where one has nearly all. One class alone is even by that measure; its share of 1 says the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import log
from typing import NamedTuple

from luthier.data.detectors.said import answers
from luthier.records.data import Row

LABELS = ("label", "intent", "category", "topic", "class", "workload")
"""Metadata that is taken for a label, the first that is there."""
FEW = 200
"""Answers that differ, up to which they may be labels themselves."""
PER_LABEL = 10
"""Rows that each such answer has on average."""


ANSWER = "answer"
"""What rows are labelled with where their last answers recur."""


def label_of(row: Row, name: str) -> str:
    """The label of a row: that metadata, or its last answer."""
    if name != ANSWER:
        return row.metadata.get(name, "")
    said = answers(row)
    return said[-1][:80] if said else ""


class Balance(NamedTuple):
    """Rows by class."""

    counts: dict[str, int]
    """The largest first."""
    share: float
    """Of the largest class."""
    evenness: float
    """Normalised entropy, 0..1."""


def balance(counts: Mapping[str, int]) -> Balance:
    """The classes of one kind. None at all is even and has no share."""
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    total = sum(ordered.values())
    shares = [count / total for count in ordered.values() if count]
    even = -sum(share * log(share) for share in shares) / log(len(shares)) if len(shares) > 1 else 1.0
    return Balance(ordered, max(shares, default=0.0), min(even, 1.0))


class Spread:
    """Counts rows while they go by; as many answers as could be labels are kept and no more."""

    def __init__(self) -> None:
        self.sources: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.named: dict[str, Counter[str]] = {name: Counter() for name in LABELS}
        self.answers: Counter[str] | None = Counter()
        self.rows = 0

    def add(self, row: Row) -> None:
        """Count one row."""
        self.rows += 1
        self.sources[row.source] += 1
        self.languages[row.language or "unknown"] += 1
        self.splits[row.split] += 1
        for name, counts in self.named.items():
            if (value := row.metadata.get(name)) and len(counts) <= 10 * FEW:
                counts[value] += 1
        if self.answers is not None:
            self.answers[label_of(row, ANSWER)] += 1
            if len(self.answers) > FEW:
                self.answers = None

    def labels(self) -> tuple[str, dict[str, int]] | None:
        """What the rows are labelled with: the name of a metadata field, or `answer` where few answers recur."""
        for name, counts in self.named.items():
            if counts and len(counts) <= FEW and sum(counts.values()) >= self.rows / 2:
                return name, dict(counts)
        few = self.answers
        return (ANSWER, dict(few)) if few and len(few) * PER_LABEL <= self.rows and len(few) > 1 else None

    def whole(self) -> dict[str, Balance]:
        """The balance of each kind of class, by name."""
        kinds: dict[str, Mapping[str, int]] = {
            "source": self.sources, "language": self.languages, "split": self.splits,
        }  # fmt: skip
        if found := self.labels():
            kinds[found[0]] = found[1]
        return {name: balance(counts) for name, counts in kinds.items()}


def whole(rows: Iterable[Row]) -> dict[str, Balance]:
    """The balance of a set, in one way through it."""
    spread = Spread()
    for row in rows:
        spread.add(row)
    return spread.whole()
