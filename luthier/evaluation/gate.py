"""The gate: a report and a policy in, a verdict out. Pure: no clock, disk, network or model.

A limit is met where the whole 95 % interval lies on its right side: a lucky mean over few questions must not ship
(Miller 2024, arXiv:2411.00640). It is missed where the whole interval lies on the wrong side. In between the gate
says that it cannot tell, and how many questions would.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from luthier.errors import BadConfig
from luthier.records.evaluation import EvalReport, GatePolicy, Limit, LimitResult, Measure, Outcome, Verdict

AT_95, AT_80 = 1.96, 0.8416
"""Standard deviations: of half a 95 % interval, and of a chance of 80 % to see what is there."""
MOST_NEEDED = 1_000_000
"""Beyond as many questions the mean lies on the bound, as far as anybody can tell."""


class Bound(NamedTuple):
    """One kind of limit: what it looks at, when it is met or missed, and how it reads."""

    paired: bool
    """Looks at the difference to the baseline, not at the measure itself."""
    met: Callable[[Measure, float], bool]
    missed: Callable[[Measure, float], bool]
    words: str
    sign: int = 1
    """-1 where the bound lies at minus the number that the policy gives."""


BOUNDS = {
    "at_least": Bound(False, lambda m, b: m.low >= b, lambda m, b: m.high < b, "at least {}"),
    "at_most": Bound(False, lambda m, b: m.high <= b, lambda m, b: m.low > b, "at most {}"),
    "better_by": Bound(True, lambda m, b: m.low > b, lambda m, b: m.high <= b, "better than {}"),
    "not_worse_by": Bound(True, lambda m, b: m.low > b, lambda m, b: m.high <= b, "not worse by {}", sign=-1),
}


def judge(report: EvalReport, policy: GatePolicy) -> Verdict:
    """Hold `report` against every limit of `policy`: one missed limit fails it, and one doubtful one leaves it open.

    Raises BadConfig for a policy without limits, or for a limit that the report cannot answer.
    """
    if not policy.limits:
        raise BadConfig(f"gate {policy.name} asks for nothing", "give it at least one limit")
    results = tuple(result_of(report, limit) for limit in policy.limits)
    outcomes = {result.outcome for result in results}
    outcome: Outcome = "fail" if "fail" in outcomes else "inconclusive" if "inconclusive" in outcomes else "pass"
    return Verdict(report=report.id, gate=policy.id, outcome=outcome, results=results)


def result_of(report: EvalReport, limit: Limit) -> LimitResult:
    """How one limit was met, as a sentence with its figures."""
    kind, asked = bound_of(limit)
    measure = figures_for(report, limit.measure, kind)
    edge = kind.sign * asked
    outcome: Outcome = "pass" if kind.met(measure, edge) else "fail" if kind.missed(measure, edge) else "inconclusive"
    wish = kind.words.format(amount(asked, paired=kind.paired))
    ending = {
        "pass": f"{wish}, as asked",
        "fail": f"the limit asks for {wish}",
        "inconclusive": f"cannot tell whether {wish}; {hint(measure, edge, paired=kind.paired)}",
    }[outcome]
    why = f" ({limit.why.strip().rstrip('.')})" if limit.why.strip() else ""
    reason = f"{limit.measure}: {figures(measure, edge, paired=kind.paired)}: {ending}{why}"
    return LimitResult(measure=limit.measure, outcome=outcome, reason=reason)


def bound_of(limit: Limit) -> tuple[Bound, float]:
    """The one bound that `limit` sets and its number. Raises BadConfig for none, or for several."""
    asked = {name: value for name in BOUNDS if (value := getattr(limit, name)) is not None}
    if len(asked) != 1:
        given = f"sets {' and '.join(asked)}" if asked else "sets no bound"
        raise BadConfig(f"the limit on {limit.measure} {given}", f"set exactly one of {', '.join(BOUNDS)}")
    name, value = asked.popitem()
    return BOUNDS[name], value


def figures_for(report: EvalReport, name: str, kind: Bound) -> Measure:
    """The measure, or its difference to the baseline. Raises BadConfig where the report has none."""
    if kind.paired and report.baseline is None:
        raise BadConfig(
            f"the limit on {name} compares with a baseline, and {report.suite} was measured without one",
            "evaluate the base model first and name its report as the baseline",
        )
    there = report.differences if kind.paired else report.measures
    if name not in there:
        raise BadConfig(
            f"the gate asks for {name!r}, which the report does not hold",
            f"add its scorer to the suite or drop the limit; there are: {', '.join(sorted(there)) or 'none'}",
        )
    return there[name]


def questions_needed(measure: Measure, edge: float, *, paired: bool) -> int | None:
    """How many questions would tell with a chance of 80 %, if the mean stays. None where it lies on the bound.

    From the width of the interval, or from the spread of an all-or-nothing score (no other in [0, 1] spreads wider),
    whichever asks for less: close to 0 and 1 intervals shrink faster than with the root of n.
    """
    distance = abs(measure.mean - edge)
    half = measure.mean - measure.low if measure.mean > edge else measure.high - measure.mean
    root = half * math.sqrt(measure.n) * (1 + AT_80 / AT_95)
    if not paired:
        root = min(root, AT_95 * spread(edge) + AT_80 * spread(measure.mean))
    if root**2 >= MOST_NEEDED * distance**2:
        return None
    return max(math.ceil((root / distance) ** 2), measure.n + 1)


def spread(share: float) -> float:
    """The standard deviation of a score that is 1 in this share of the questions and 0 in the others."""
    return math.sqrt(max(share * (1 - share), 0.0))


def hint(measure: Measure, edge: float, *, paired: bool) -> str:
    """What would settle a doubtful limit."""
    needed = questions_needed(measure, edge, paired=paired)
    if needed is None:
        return "the mean lies on the limit, so more questions would hardly tell"
    return f"about {rounded_up(needed)} questions would tell, if the figure stays"


def rounded_up(count: int) -> int:
    """Two figures are as many as such an estimate is worth: 1,234 is 1,300."""
    unit = int(10 ** max(len(str(count)) - 2, 0))
    return -(-count // unit) * unit


def figures(measure: Measure, edge: float, *, paired: bool) -> str:
    """`+21.4 points over the base (95 % 12.0 to 30.9, n = 75)`, or `84.0 % (95 % 73.7 to 91.4, n = 75)`.

    As many decimals as it takes to see on which side of the bound an end lies.
    """
    mean, low, high, bound = (100 * value for value in (measure.mean, measure.low, measure.high, edge))
    digits = next((d for d in (1, 2, 3) if all(shown_apart(end, bound, d) for end in (low, high))), 4)
    mean, low, high = (round(value, digits) + 0.0 for value in (mean, low, high))
    head = f"{mean:+.{digits}f} points over the base" if paired else f"{mean:.{digits}f} %"
    return f"{head} (95 % {low:.{digits}f} to {high:.{digits}f}, n = {measure.n})"


def shown_apart(end: float, bound: float, digits: int) -> bool:
    """Whether `end` and `bound` still look different once rounded, if they are."""
    return abs(end - bound) < 1e-9 or round(end, digits) != round(bound, digits)


def amount(asked: float, *, paired: bool) -> str:
    """The number of a limit as people read it: `90 %`, `5 points`, and plainly `0`."""
    text = f"{round(100 * asked, 4):g}"
    if paired:
        return text if text == "0" else f"{text} point{'' if text == '1' else 's'}"
    return f"{text} %"
