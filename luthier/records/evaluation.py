"""Questions with known answers, what a model scored on them, and what the gate makes of it."""

from __future__ import annotations

from typing import ClassVar, Literal

from luthier.records.base import Made, Parent, Value

Expectation = Literal["answer", "abstain", "refuse", "escalate"]
Outcome = Literal["pass", "fail", "inconclusive"]


class Question(Value):
    """One question and what a right answer has to be."""

    id: str
    """Samples and reports name the question by it."""
    question: str
    """What is asked."""
    expect: Expectation = "answer"
    """How a right answer ends."""
    facts: tuple[str, ...] = ()
    """Strings that a right answer contains; `|` separates spellings of one fact."""
    forbidden: tuple[str, ...] = ()
    """Strings that no answer may contain."""
    document: str | None = None
    """Name of the document that holds the answer."""
    reference: str = ""
    """A whole right answer, for exact match and token F1."""
    language: str = "en"
    """Language tag of the question."""
    group: str = ""
    """Slice for the report, e.g. the category of an attack."""
    system: str = ""
    """A system message that goes before the question."""


class Suite(Made):
    """Questions (a blob of lines) and the scorers that mark the answers."""

    kind: ClassVar[str] = "suite"
    name: str
    questions: str
    count: int
    scorers: tuple[str, ...]
    max_tokens: int = 96

    def blobs(self) -> tuple[str, ...]:
        return (self.questions,)


class Measure(Value):
    """A mean with its 95 % interval over `n` questions."""

    mean: float
    low: float
    high: float
    n: int


class EvalReport(Made):
    """What one model scored on one suite; beside a baseline, also the paired differences."""

    kind: ClassVar[str] = "report"
    suite: str
    model: str
    measures: dict[str, Measure]
    samples: str
    """Digest of the blob of answers and scores, question by question."""
    baseline: str | None = None
    """The report that `differences` are taken from."""
    differences: dict[str, Measure] = {}
    """Mean of (this - baseline) over the questions that both answered, paired bootstrap."""
    failed: int = 0
    """Questions that got no answer because the target broke; each scored 0."""
    made_with: dict[str, str] = {}
    """Package and version of each scorer."""

    def parents(self) -> tuple[Parent, ...]:
        own = (Parent("suite", self.suite), Parent("model", self.model))
        return own + ((Parent("baseline", self.baseline),) if self.baseline else ())

    def blobs(self) -> tuple[str, ...]:
        return (self.samples,)


class Limit(Value):
    """One thing that a model has to show. Exactly one of the four bounds is set."""

    measure: str
    """A scorer of the suite."""
    why: str = ""
    """The reason, printed with the verdict."""
    at_least: float | None = None
    """The lower end of the measure's interval reaches this."""
    at_most: float | None = None
    """The upper end of the measure's interval stays at or below this."""
    better_by: float | None = None
    """The lower end of the difference to the baseline exceeds this (0: the interval excludes zero)."""
    not_worse_by: float | None = None
    """The lower end of the difference to the baseline stays above minus this margin."""


class GatePolicy(Made):
    """What a model has to show before it may be approved."""

    kind: ClassVar[str] = "gate"
    name: str
    limits: tuple[Limit, ...]


class LimitResult(Value):
    """How one limit was met, or not, with the figures."""

    measure: str
    outcome: Outcome
    reason: str


class Verdict(Made):
    """A report held against a gate."""

    kind: ClassVar[str] = "verdict"
    report: str
    gate: str
    outcome: Outcome
    results: tuple[LimitResult, ...]

    def parents(self) -> tuple[Parent, ...]:
        return (Parent("report", self.report), Parent("gate", self.gate))
