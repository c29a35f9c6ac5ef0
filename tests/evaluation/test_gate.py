"""The gate by tables, and what must hold for any figures."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import BadConfig
from luthier.evaluation.gate import judge, questions_needed, rounded_up
from luthier.records.evaluation import EvalReport, GatePolicy, Limit, LimitResult, Measure

RANK = {"fail": 0, "inconclusive": 1, "pass": 2}


def report(measure: Measure | None = None, difference: Measure | None = None) -> EvalReport:
    return EvalReport(
        suite="suite-1",
        model="model-1",
        measures={"facts": measure} if measure else {},
        samples="0" * 64,
        baseline="report-0" if difference else None,
        differences={"facts": difference} if difference else {},
    )


def one(limit: Limit, measure: Measure | None = None, difference: Measure | None = None) -> LimitResult:
    verdict = judge(report(measure, difference), GatePolicy(name="g", limits=(limit,)))
    assert verdict.outcome == verdict.results[0].outcome
    return verdict.results[0]


def m(mean: float, low: float, high: float, n: int = 75) -> Measure:
    return Measure(mean=mean, low=low, high=high, n=n)


@pytest.mark.parametrize(
    ("bound", "low", "high", "outcome"),
    [
        ({"at_least": 0.8}, 0.8, 0.9, "pass"),
        ({"at_least": 0.8}, 0.799, 0.9, "inconclusive"),
        ({"at_least": 0.8}, 0.7, 0.8, "inconclusive"),
        ({"at_least": 0.8}, 0.7, 0.799, "fail"),
        ({"at_most": 0.1}, 0.0, 0.1, "pass"),
        ({"at_most": 0.1}, 0.0, 0.101, "inconclusive"),
        ({"at_most": 0.1}, 0.1, 0.2, "inconclusive"),
        ({"at_most": 0.1}, 0.101, 0.2, "fail"),
    ],
)
def test_limits_on_a_measure(bound: dict[str, float], low: float, high: float, outcome: str) -> None:
    assert one(Limit(measure="facts", **bound), m((low + high) / 2, low, high)).outcome == outcome


@pytest.mark.parametrize(
    ("bound", "low", "high", "outcome"),
    [
        ({"better_by": 0.0}, 0.001, 0.2, "pass"),
        ({"better_by": 0.0}, 0.0, 0.2, "inconclusive"),
        ({"better_by": 0.0}, -0.1, 0.1, "inconclusive"),
        ({"better_by": 0.0}, -0.1, 0.0, "fail"),
        ({"better_by": 0.05}, 0.05, 0.2, "inconclusive"),
        ({"better_by": 0.05}, 0.051, 0.2, "pass"),
        ({"better_by": 0.05}, 0.01, 0.05, "fail"),
        ({"not_worse_by": 0.03}, -0.029, 0.1, "pass"),
        ({"not_worse_by": 0.03}, -0.03, 0.1, "inconclusive"),
        ({"not_worse_by": 0.03}, -0.2, -0.029, "inconclusive"),
        ({"not_worse_by": 0.03}, -0.2, -0.03, "fail"),
    ],
)
def test_limits_on_a_difference(bound: dict[str, float], low: float, high: float, outcome: str) -> None:
    assert one(Limit(measure="facts", **bound), m(0.5, 0.4, 0.6), m((low + high) / 2, low, high)).outcome == outcome


@pytest.mark.parametrize(
    ("limit", "measure", "difference", "sentence"),
    [
        (
            Limit(measure="facts", better_by=0),
            m(0.8, 0.7, 0.9),
            m(0.214, 0.12, 0.309),
            "facts: +21.4 points over the base (95 % 12.0 to 30.9, n = 75): better than 0, as asked",
        ),
        (
            Limit(measure="facts", better_by=0, why="Or why train at all?"),
            m(0.8, 0.7, 0.9),
            m(-0.05, -0.1, -0.01),
            "facts: -5.0 points over the base (95 % -10.0 to -1.0, n = 75): the limit asks for better than 0 "
            "(Or why train at all?)",
        ),
        (
            Limit(measure="facts", not_worse_by=0.01),
            m(0.8, 0.7, 0.9),
            m(0.0, -0.001, 0.001),
            "facts: +0.0 points over the base (95 % -0.1 to 0.1, n = 75): not worse by 1 point, as asked",
        ),
        (
            Limit(measure="facts", at_least=0.9, why="The desk asks for it."),
            m(1.0, 0.832, 1.0, n=20),
            None,
            "facts: 100.0 % (95 % 83.2 to 100.0, n = 20): cannot tell whether at least 90 %; "
            "about 35 questions would tell, if the figure stays (The desk asks for it)",
        ),
        (
            Limit(measure="facts", at_most=0.025),
            m(0.0, 0.0, 0.01),
            None,
            "facts: 0.0 % (95 % 0.0 to 1.0, n = 75): at most 2.5 %, as asked",
        ),
        (
            Limit(measure="facts", at_least=0.8),
            m(0.8, 0.7, 0.9),
            None,
            "facts: 80.0 % (95 % 70.0 to 90.0, n = 75): cannot tell whether at least 80 %; "
            "the mean lies on the limit, so more questions would hardly tell",
        ),
        (
            Limit(measure="facts", better_by=0),
            m(0.8, 0.7, 0.9),
            m(0.05, 0.0003, 0.1),
            "facts: +5.00 points over the base (95 % 0.03 to 10.00, n = 75): better than 0, as asked",
        ),
    ],
)
def test_reasons_are_sentences_with_figures(
    limit: Limit, measure: Measure, difference: Measure | None, sentence: str
) -> None:
    assert one(limit, measure, difference).reason == sentence


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        (("pass", "pass"), "pass"),
        (("pass", "inconclusive"), "inconclusive"),
        (("fail", "inconclusive"), "fail"),
        (("pass", "fail"), "fail"),
    ],
)
def test_one_miss_fails_and_one_doubt_leaves_open(outcomes: tuple[str, ...], whole: str) -> None:
    bounds = {"pass": 0.1, "inconclusive": 0.5, "fail": 0.9}
    limits = tuple(Limit(measure="facts", at_least=bounds[outcome]) for outcome in outcomes)
    verdict = judge(report(m(0.5, 0.4, 0.6)), GatePolicy(name="g", limits=limits))
    assert tuple(result.outcome for result in verdict.results) == outcomes
    assert verdict.outcome == whole


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((), "asks for nothing"),
        ((Limit(measure="facts"),), "sets no bound"),
        ((Limit(measure="facts", at_least=0.1, at_most=0.2),), "sets at_least and at_most"),
        ((Limit(measure="fact", at_least=0.1),), "does not hold: add its scorer.*there are: facts"),
        ((Limit(measure="facts", better_by=0),), "without one: evaluate the base model first"),
    ],
)
def test_a_gate_that_cannot_be_held_is_refused(limits: tuple[Limit, ...], message: str) -> None:
    with pytest.raises(BadConfig, match=message):
        judge(report(m(0.5, 0.4, 0.6)), GatePolicy(name="g", limits=limits))


measures = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1), st.integers(1, 10_000)).map(
    lambda t: m(sorted(t[:3])[1], min(t[:3]), max(t[:3]), t[3])
)
kinds = st.sampled_from(["at_least", "at_most", "better_by", "not_worse_by"])


@settings(deadline=None)
@given(measures, kinds, st.floats(-1, 1), st.floats(0, 1))
def test_asking_for_less_never_makes_it_worse(measure: Measure, kind: str, bound: float, less: float) -> None:
    easier = bound + less if kind in ("at_most", "not_worse_by") else bound - less
    hard, easy = (one(Limit(measure="facts", **{kind: b}), measure, measure).outcome for b in (bound, easier))
    assert RANK[easy] >= RANK[hard]


@settings(deadline=None)
@given(measures, kinds, st.floats(-1, 1), st.floats(0, 1))
def test_a_wider_interval_never_decides_more(measure: Measure, kind: str, bound: float, more: float) -> None:
    wider = m(measure.mean, measure.low - more, measure.high + more, measure.n)
    sure, unsure = (one(Limit(measure="facts", **{kind: bound}), x, x).outcome for x in (measure, wider))
    assert unsure in (sure, "inconclusive")


@settings(deadline=None)
@given(measures, kinds, st.floats(-1, 1))
def test_what_passes_lies_on_the_right_side(measure: Measure, kind: str, bound: float) -> None:
    result = one(Limit(measure="facts", **{kind: bound}), measure, measure)
    edge = -bound if kind == "not_worse_by" else bound
    if result.outcome == "pass":
        assert measure.mean <= edge if kind == "at_most" else measure.mean >= edge
    assert f"n = {measure.n}" in result.reason


@settings(deadline=None)
@given(measures, st.floats(-1, 1), st.booleans())
def test_the_hint_asks_for_more_questions_than_there_were(measure: Measure, edge: float, paired: bool) -> None:
    needed = questions_needed(measure, edge, paired=paired)
    assert needed is None or needed > measure.n


@settings(deadline=None)
@given(st.integers(1, 10**7))
def test_hints_are_rounded_up_to_two_figures(count: int) -> None:
    assert count <= rounded_up(count) <= count * 1.1
    assert len(str(rounded_up(count)).rstrip("0")) <= 2
