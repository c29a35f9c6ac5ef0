"""Scores on rows, limits with reasons, and detectors that do not keep to the rules."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from luthier import plugins
from luthier.data.overview import WORST, Overview, quantile
from luthier.data.quality import DEFAULT, Judge, meaning
from luthier.errors import BadConfig, RunFailed, UnknownName
from luthier.records.data import Row
from tests.data.offered import offer
from tests.data.test_detectors import PLAIN, a_row


@pytest.fixture(autouse=True)
def offered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    offer(monkeypatch, wild="tests.data.test_quality:wild", odd="tests.data.test_quality:odd")
    yield
    plugins.find.cache_clear()


def wild(row: Row) -> float:
    """Says more than a score can."""
    return 2.0


def odd(row: Row) -> float:
    """Says what is no number."""
    return float("nan")


def test_scores_stand_on_the_row_and_zeros_do_not() -> None:
    row, reason = Judge()(a_row("N/A"))
    assert row.scores == {"short": 0.75, "templated": 1.0}
    assert reason == ""
    assert Judge()(a_row(PLAIN[0])).row.scores == {}
    assert Row.model_validate(row.body()) == row


def test_rows_above_a_limit_leave_with_a_reason() -> None:
    rows = [a_row("N/A", name="a"), a_row(PLAIN[0], name="b"), a_row("I'm sorry, I can't help.", name="c"), a_row("")]
    judged = [Judge(limits={"templated": 0.9, "refusal": 0.5})(row) for row in rows]
    left_out = Counter(each.reason for each in judged if each.reason)
    kept = [each.row for each in judged if not each.reason]
    assert [row.id for row in kept] == ["b"]
    assert left_out == {"templated above 0.9": 2, "refusal above 0.5": 1}
    assert len(kept) + sum(left_out.values()) == len(rows)


def test_a_row_at_its_limit_stays() -> None:
    assert Judge(limits={"templated": 1.0})(a_row("N/A")).reason == ""
    assert Judge(limits={"short": 0.75})(a_row("N/A")).reason == ""
    assert Judge(limits={"short": 0.7})(a_row("N/A")).reason == "short above 0.7"


def test_of_two_limits_the_one_passed_by_more_is_the_reason() -> None:
    assert Judge(limits={"short": 0.7, "templated": 0.2})(a_row("N/A")).reason == "templated above 0.2"


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"truncatd": 0.5}, UnknownName),
        ({"short": 1.5}, BadConfig),
        ({"short": -0.1}, BadConfig),
        ({"toxicity": 0.5}, BadConfig),
    ],
)
def test_wrong_limits_are_refused(limits: dict[str, float], error: type[Exception]) -> None:
    with pytest.raises(error):
        Judge(limits=limits)


@pytest.mark.parametrize("name", ["wild", "odd"])
def test_what_is_no_score_is_refused_by_name(name: str) -> None:
    with pytest.raises(RunFailed, match=f"detector '{name}'"):
        Judge([name])(a_row("x"))


def test_every_detector_says_what_it_means() -> None:
    assert all(meaning(name).endswith(".") for name in DEFAULT)
    assert meaning("nobody's") == ""


def test_an_overview_keeps_the_worst_and_counts_all() -> None:
    overview = Overview(DEFAULT, {"s": "CC0-1.0"}, {})
    for n in range(50):
        overview.add(a_row(f"answer {n}", name=str(n)).model_copy(update={"scores": {"short": n / 100}}))
    measured = overview.measured["short"]
    assert (measured.flagged, measured.high, sum(measured.bins)) == (49, 0, 49)
    assert [each.row for each in measured.worst] == ["49", "48", "47", "46"]
    assert len(measured.worst) == WORST
    assert overview.licences == {"CC0-1.0": 50}
    assert overview.consents == {"none named": 50}
    assert quantile(overview.said, 0.5) == 2
    assert quantile({}, 0.5) == 0


def test_the_end_of_a_truncated_answer_is_shown() -> None:
    overview = Overview(DEFAULT, {}, {})
    row = Judge()(a_row("word " * 200 + "and then confirm with the")).row
    overview.add(row)
    assert overview.measured["truncated"].worst[0].answer.endswith("confirm with the")


def test_thousands_of_rows_a_second() -> None:
    """A floor that a slip to quadratic work would miss, far under what is measured on an idle core."""
    judge = Judge()
    rows = [a_row(PLAIN[n % 3], name=str(n)) for n in range(600)]
    judge(rows[0])
    start = time.perf_counter()
    for row in rows:
        judge(row)
    assert len(rows) / (time.perf_counter() - start) > 400
