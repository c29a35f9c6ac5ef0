"""What a set of rows looks like, counted in one way through it: lengths, scores, the worst rows, composition. Pure.

Memory does not grow with the rows: lengths are counted by value, scores by twentieths; of the worst rows a few stay.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from luthier.data.detectors.balance import Spread
from luthier.data.detectors.said import answers, questions, words
from luthier.records.data import Row

BINS = 20
"""Twentieths of a score."""
HIGH = 0.5
WORST = 4
"""Rows that are kept of each detector."""
QUESTION = 140
ANSWER = 260


class Shown(NamedTuple):
    """A row as a report shows it: an excerpt of what is scrubbed already."""

    badness: float
    """Minus the score: rows sort by it, then by where they stand."""
    place: int
    row: str
    source: str
    line: int
    question: str
    answer: str

    @property
    def score(self) -> float:
        return -self.badness


class Measured:
    """What one detector said."""

    def __init__(self) -> None:
        self.flagged = 0
        """Rows above 0."""
        self.high = 0
        """Rows at 0.5 or more."""
        self.bins = [0] * BINS
        self.worst: list[Shown] = []


class Overview:
    """Counts rows while they go by. `licences` and `consents` are those of the sources, for rows without their own."""

    def __init__(self, detectors: Iterable[str], licences: Mapping[str, str], consents: Mapping[str, str]) -> None:
        self.measured = {name: Measured() for name in detectors}
        self.of_source = (dict(licences), dict(consents))
        self.licences: Counter[str] = Counter()
        self.consents: Counter[str] = Counter()
        self.asked: Counter[int] = Counter()
        """Rows by the words of the user's turns."""
        self.said: Counter[int] = Counter()
        """Rows by the words of the assistant's turns."""
        self.turns: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.months: Counter[str] = Counter()
        self.spread = Spread()

    def add(self, row: Row) -> None:
        """Count one row."""
        self.spread.add(row)
        licences, consents = self.of_source
        self.licences[row.licence or licences.get(row.source, "") or "none named"] += 1
        self.consents[row.consent or consents.get(row.source, "") or "none named"] += 1
        self.asked[sum(len(words(text)) for text in questions(row))] += 1
        self.said[sum(len(words(text)) for text in answers(row))] += 1
        self.turns[sum(message.role == "user" for message in row.messages)] += 1
        self.kinds["preference" if row.rejected else "rated" if row.good is not None else "dialogue"] += 1
        if row.collected:
            self.months[row.collected[:7]] += 1
        for name, score in row.scores.items():
            if score > 0:
                self.note(name, score, row)

    def note(self, name: str, score: float, row: Row) -> None:
        """Count a score, and keep the row while it is among the worst."""
        measured = self.measured.setdefault(name, Measured())
        measured.flagged += 1
        measured.high += score >= HIGH
        measured.bins[min(int(score * BINS), BINS - 1)] += 1
        if len(measured.worst) < WORST or -score < measured.worst[-1].badness:
            insort(measured.worst, shown(row, score, self.spread.rows, tail=name == "truncated"))
            del measured.worst[WORST:]


def shown(row: Row, score: float, place: int, *, tail: bool) -> Shown:
    """An excerpt of a row: how it begins, or with `tail` how its answer ends."""
    asked, said = next(iter(questions(row)), ""), "\n".join(answers(row))
    answer = said if len(said) <= ANSWER else f"…{said[-ANSWER:]}" if tail else f"{said[:ANSWER]}…"
    question = asked if len(asked) <= QUESTION else f"{asked[:QUESTION]}…"
    return Shown(-score, place, row.id, row.source, row.line, question, answer)


def quantile(counts: Mapping[int, int], share: float) -> int:
    """The smallest value that at least `share` of what was counted does not pass; 0 of nothing."""
    wanted, passed = share * sum(counts.values()), 0
    for value in sorted(counts):
        passed += counts[value]
        if passed >= wanted:
            return value
    return 0
