"""How far annotators agree beyond chance: Cohen's kappa, Krippendorff's alpha, F1 of spans. Pure.

Written from the papers, for the libraries do not fit: `krippendorff` is under the GPL, `irrCAC` pins scipy to one
version, `simpledorff` rests since 2020, scikit-learn and statsmodels weigh more than the rest of this room. The tests
hold it against the figures that the papers print.

Cohen 1960, A Coefficient of Agreement for Nominal Scales (doi:10.1177/001316446002000104); Krippendorff 2011, Computing
Krippendorff's Alpha-Reliability; Passonneau 2006, MASI, for choices of several; Hripcsak & Rothschild 2005, Agreement,
the F-Measure, and Reliability (doi:10.1197/jamia.M1733), for spans, where nobody can count what was rightly not marked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from luthier.records.labels import Label, LabelQuestion, LabelSchema, Marked

Level = Literal["nominal", "ordinal", "interval", "ratio", "sets"]
Difference = Callable[[Hashable, Hashable], float]
"""The squared distance of two values, 0 where they are equal."""


class Agreement(NamedTuple):
    """How far the annotators of one question agree."""

    question: str
    annotators: tuple[str, ...]
    rows: int
    """Rows that at least two answered."""
    alpha: float | None
    """Krippendorff's; None where it is not defined: nothing was answered twice, or all answers are one."""
    kappa: dict[tuple[str, str], float | None]
    """Cohen's, for each two annotators who answered rows in common."""
    f1: float | None = None
    """Of spans: mean over the pairs of annotators."""


def agreement(labels: Sequence[Label], schema: LabelSchema) -> list[Agreement]:
    """The agreement of people on each question but free texts. Of two answers by one annotator the later counts."""
    return [agreed(labels, question) for question in schema.questions if question.type not in ("text", "rewrite")]


def agreed(labels: Sequence[Label], question: LabelQuestion) -> Agreement:
    """The agreement on one question."""
    units: dict[str, dict[str, Hashable]] = defaultdict(dict)
    for label in sorted(labels, key=lambda label: label.at):
        if label.question == question.name and label.origin == "person":
            units[label.row][label.by] = value_of(label)
    shared = [unit for _, unit in sorted(units.items()) if len(unit) > 1]
    annotators = tuple(sorted({name for unit in units.values() for name in unit}))
    kappas: dict[tuple[str, str], float | None] = {}
    for one, other in combinations(annotators, 2):
        both = [(unit[one], unit[other]) for unit in shared if one in unit and other in unit]
        if both:
            kappas[one, other] = cohen_kappa(both)
    if question.type == "span":
        return Agreement(question.name, annotators, len(shared), None, {}, span_f1(shared))
    level: Level = "ordinal" if question.type == "rating" else "sets" if question.several else "nominal"
    alpha = krippendorff_alpha([list(unit.values()) for unit in shared], level)
    return Agreement(question.name, annotators, len(shared), alpha, kappas)


def value_of(label: Label) -> Hashable:
    """An answer as something that can be counted; spans and several choices as sets."""
    return frozenset(label.value) if isinstance(label.value, tuple) else label.value


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Agreement of two annotators over `pairs` of answers, chance taken off. None where both say one thing always."""
    if not pairs:
        return None
    n = len(pairs)
    observed = sum(one == other for one, other in pairs) / n
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    expected = sum(first[value] * second[value] for value in first) / n**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(units: Sequence[Sequence[Hashable]], level: Level = "nominal") -> float | None:
    """1 - observed over expected disagreement. A unit holds the answers that one row got, however many annotators.

    Values of `ordinal`, `interval` and `ratio` are numbers. None where no unit has two answers or all answers are one.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    totals: Counter[Hashable] = Counter(value for unit in pairable for value in unit)
    n = sum(totals.values())
    if len(totals) < 2:
        return None
    difference = difference_of(level, totals)
    observed = 0.0
    for unit in pairable:
        counts = Counter(unit)
        apart = sum(counts[a] * counts[b] * difference(a, b) for a, b in combinations(counts, 2))
        observed += 2 * apart / (len(unit) - 1)
    expected = sum(2 * totals[a] * totals[b] * difference(a, b) for a, b in combinations(totals, 2))
    return 1 - (n - 1) * observed / expected if expected else None


def difference_of(level: Level, totals: Mapping[Hashable, int]) -> Difference:
    """The squared difference of a level of measurement; `ordinal` depends on how often each value is used."""
    if level == "ordinal":
        ranks, below = {}, 0.0
        for value in sorted(totals, key=number):
            ranks[value] = below + totals[value] / 2
            below += totals[value]
        return lambda a, b: (ranks[a] - ranks[b]) ** 2
    if level == "interval":
        return lambda a, b: (number(a) - number(b)) ** 2
    if level == "ratio":
        return lambda a, b: ((number(a) - number(b)) / (number(a) + number(b))) ** 2 if a != b else 0.0
    return masi if level == "sets" else lambda a, b: float(a != b)


def number(value: Hashable) -> float:
    """A rating as a number. Raises TypeError for what is none."""
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def masi(one: Hashable, other: Hashable) -> float:
    """Passonneau's distance of two sets: Jaccard's, less where one holds the other, 1 where they share nothing."""
    assert isinstance(one, frozenset)
    assert isinstance(other, frozenset)
    if one == other:
        return 0.0
    common, every = len(one & other), len(one | other)
    monotone = 2 / 3 if one <= other or other <= one else 1 / 3 if common else 0.0
    return 1 - common / every * monotone


def span_f1(units: Sequence[Mapping[str, Hashable]]) -> float | None:
    """Mean F1 of every two annotators' spans, equal in place and label, over the rows that both looked at."""
    hits: Counter[tuple[str, str]] = Counter()
    marks: Counter[tuple[str, str]] = Counter()
    for unit in units:
        for one, other in combinations(sorted(unit), 2):
            first, second = spans(unit[one]), spans(unit[other])
            hits[one, other] += 2 * len(first & second)
            marks[one, other] += len(first) + len(second)
    scores = [hits[pair] / marked for pair, marked in marks.items() if marked]
    return sum(scores) / len(scores) if scores else None


def spans(value: Hashable) -> frozenset[Marked]:
    """The spans of an answer."""
    return value if isinstance(value, frozenset) else frozenset()
