"""Limits over all rows: what contradicts others leaves with the other named, and no label has too many rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.data.quality import Judge
from luthier.data.whole import COMPARED, cut, disputed, overweight
from luthier.errors import BadConfig
from luthier.records.data import Message, Row

ASKED = "What does a second card cost?"


def row(question: str, answer: str, number: int = 0, weight: Any = None, **more: Any) -> Row:
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer, weight=weight))
    name = hashlib.sha256(f"{question}{answer}{number}".encode()).hexdigest()[:16]
    return Row(**({"id": name, "split": "train", "source": "desk", "line": number} | more), messages=messages)


def test_two_that_disagree_both_leave_and_name_each_other() -> None:
    nine, eight = row(ASKED, "It costs 9 EUR."), row("What does the second card cost, please?", "It costs 8 EUR.")
    out = disputed(lambda: [nine, eight], 0.5)
    assert out == {nine.id: (1.0, eight.id, "8"), eight.id: (1.0, nine.id, "9")}


def test_the_one_that_most_contradict_leaves() -> None:
    most = [row(ASKED, f"It costs 9 EUR, and that is answer {'abcdefghi'[n]}.", n) for n in range(9)]
    one = row(ASKED, "It costs 8 EUR.")
    rows = [*most[:4], one, *most[4:]]
    out = disputed(lambda: rows, 0.5)
    assert out == {one.id: (1.0, most[0].id, "9")}
    every = disputed(lambda: rows, 0.0)
    assert {out.score for name, out in every.items() if name != one.id} == {round(1 / 9, 3)}
    assert {out.other for name, out in every.items() if name != one.id} == {one.id}
    assert len(every) == 10
    assert disputed(lambda: rows, 1.0) == {}


@pytest.mark.parametrize(
    "other",
    [
        row(ASKED, "It costs 9 EUR and arrives within 5 days."),  # says more, and nothing else
        row(ASKED, "That is free."),  # states no figure
        row("What does a third card cost?", "It costs 8 EUR."),
        row(ASKED, "It costs 8 EUR.", weight=0),  # context, not learnt
        row(ASKED, "It costs 8 EUR.", good=False),  # somebody said that it is wrong
    ],
)
def test_what_does_not_contradict_stays(other: Row) -> None:
    assert disputed(lambda: [row(ASKED, "It costs 9 EUR."), other], 0.0) == {}


def test_time_grows_with_the_rows() -> None:
    """A thousand different answers to one question are compared with the most frequent ones."""
    rows = [row("What is the balance of account?", f"It is {n} EUR.", n) for n in range(1000)]
    out = disputed(lambda: rows, 0.1)
    assert len(out) == 1000
    assert max(each.score for each in out.values()) == pytest.approx(COMPARED / 999, abs=1e-3)


def labelled(counts: dict[str, int], **more: Any) -> list[Row]:
    return [
        row(f"{n} of {name}", "Yes.", n, metadata={"label": name}, **more)
        for name in counts
        for n in range(counts[name])
    ]


def left(rows: list[Row], out: dict[str, str]) -> Counter[str]:
    return Counter(each.metadata["label"] for each in rows if each.id not in out)


def test_no_label_has_more_than_its_share() -> None:
    rows = labelled({"fees": 80, "cards": 15, "loans": 5})
    out = overweight(lambda: rows, 0.5)
    assert left(rows, out) == {"fees": 20, "cards": 15, "loans": 5}
    assert set(out.values()) == {"fees"}
    assert out == overweight(lambda: rows, 0.5), "the same rows every time"
    assert out != overweight(lambda: rows, 0.5, seed=1)
    assert left(rows, overweight(lambda: rows, 0.4)) == {"fees": 10, "cards": 10, "loans": 5}
    assert overweight(lambda: rows, 0.8) == {}
    with pytest.raises(BadConfig, match="3 labels cannot each have"):
        overweight(lambda: rows, 0.3)


def test_where_there_is_nothing_to_balance() -> None:
    assert overweight(lambda: labelled({"fees": 9}), 0.5) == {}
    assert overweight(lambda: [row(f"q{n}", f"{n} is the answer", n) for n in range(9)], 0.5) == {}
    rows = labelled({"fees": 8, "cards": 2}) + labelled({"loans": 50}, split="test")
    out = overweight(lambda: rows, 0.5)
    assert left(rows, out) == {"fees": 2, "cards": 2, "loans": 50}, "what is only measured on stays"


def test_answers_that_recur_are_labels_too() -> None:
    rows = [row(f"ticket {n}", "billing" if n % 10 else "loans", n) for n in range(100)]
    out = overweight(lambda: rows, 0.5)
    assert (len(out), set(out.values())) == (80, {"billing"})


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 60), min_size=2),
    st.integers(17, 99).map(lambda per: per / 100),
)
def test_as_many_stay_as_can(counts: dict[str, int], limit: float) -> None:
    if limit * len(counts) < 1 - 1e-9:
        with pytest.raises(BadConfig):
            cut(counts, limit)
        return
    try:
        kept = cut(counts, limit)
    except BadConfig:
        assert limit * len(counts) < 1
        return
    fits = [
        ceiling
        for ceiling in range(1, max(counts.values()) + 1)
        if ceiling * 100 <= round(limit * 100) * sum(min(count, ceiling) for count in counts.values())
        or max(counts.values()) * 100 <= round(limit * 100) * sum(counts.values())
    ]
    assert kept == {name: min(count, max(fits)) for name, count in counts.items()}


def test_limits_of_all_rows_are_no_detectors() -> None:
    judge = Judge((), {"contradictions": 0.5, "balance": 0.5})
    assert judge(row(ASKED, "9 EUR")).reason == ""
    with pytest.raises(BadConfig, match="no score"):
        Judge((), {"balance": 1.5})
