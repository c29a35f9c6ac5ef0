"""The ready checks: ours pass them, and each way of breaking a contract is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from luthier import plugins
from luthier.data.raw import Raw, Refused
from luthier.errors import BadData
from luthier.evaluation.scorers import Answered
from luthier.records.data import Found, Message, Scrubbed
from luthier.records.evaluation import Question
from luthier.testing import check_scorer, check_scrubber, check_source

SCORERS = ("exact", "facts", "f1", "cited", "answers", "abstains", "refuses", "escalates")
TURNS = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))


@pytest.mark.parametrize("name", SCORERS)
def test_our_scorers_pass(name: str) -> None:
    check_scorer(plugins.find("scorer", name))


@pytest.mark.parametrize(
    ("scorer", "complaint"),
    [
        (lambda question, answer: 1, "is no float"),
        (lambda question, answer: 1.5, "outside 0 to 1"),
        (lambda question, answer: float("nan"), "None says"),
        (lambda question, answer: None, "applies to none"),
        (lambda question, answer, seen=[]: float(seen.append(1) or len(seen) % 2), "another score"),
    ],
)
def test_a_scorer_that_breaks_the_contract(
    scorer: Callable[[Question, Answered], float | None], complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_scorer(scorer)


def test_our_readers_pass(tmp_path: Path) -> None:
    lines = [{"messages": [turn.model_dump(include={"role", "content"}) for turn in TURNS]}] * 2
    jsonl = tmp_path / "good.jsonl"
    jsonl.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    assert len(check_source(plugins.find("source", "chat-jsonl"), jsonl)) == 2
    table = tmp_path / "good.csv"
    table.write_text("text,label\nWhere is my card?,card_arrival\n", encoding="utf-8")
    mapping = {"user": "text", "assistant": "label"}
    (raw,) = check_source(plugins.find("source", "csv"), table, mapping)
    assert raw.messages[1].content == "card_arrival"


def reader(items: Sequence[Raw | Refused]) -> Callable[[Path, Mapping[str, str]], Iterator[Raw | Refused]]:
    """A reader that gives `items` for the good file, and BadData for every other."""

    def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
        if path.name != "good.txt":
            raise BadData("not my format", "give me good.txt")
        yield from items

    return read


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        ([], "no dialogue was read"),
        ([Raw(1, TURNS), Raw(1, TURNS)], "one line gave two"),
        ([Raw(0, TURNS)], "counted from 1"),
        ([Raw(1, TURNS), Refused(2, " ")], "without a reason"),
        ([Raw(1, TURNS[:1])], "without an assistant turn"),
    ],
)
def test_a_reader_that_breaks_the_contract(items: list[Raw | Refused], complaint: str, tmp_path: Path) -> None:
    good = tmp_path / "good.txt"
    good.write_text("anything", encoding="utf-8")
    check_source(reader([Raw(1, TURNS)]), good)
    with pytest.raises(AssertionError, match=complaint):
        check_source(reader(items), good)


def always(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    yield Raw(1, TURNS)


def silent_about_it(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    if path.name == "good.txt":
        yield Raw(1, TURNS)
    else:
        raise BadData("it is bad")


@pytest.mark.parametrize(("read", "complaint"), [(always, "that is empty"), (silent_about_it, "how to mend it")])
def test_a_reader_that_takes_anything(read: Any, complaint: str, tmp_path: Path) -> None:
    good = tmp_path / "good.txt"
    good.write_text("anything", encoding="utf-8")
    with pytest.raises(AssertionError, match=complaint):
        check_source(read, good)


class Replacing:
    """A scrubber that knows the planted values by heart, with a fault on request."""

    KNOWN = {"maria.keller@example.com": "EMAIL", "DE89 3704 0044 0532 0130 00": "IBAN"}

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.calls = 0

    def dialogue(self, texts: Sequence[str], language: str = "en") -> list[Scrubbed]:
        self.calls += 1
        made = [self.one(text, number) for number, text in enumerate(texts)]
        return made[:-1] if self.fault == "drops" else made

    def one(self, text: str, number: int) -> Scrubbed:
        found, result = [], text
        for value, kind in self.KNOWN.items():
            placeholder = f"<{kind}_{number + 1 if self.fault == 'forgets' else 1}>"
            if value in text and not (self.fault == "blind to IBANs" and kind == "IBAN"):
                start = text.index(value) + (self.fault == "shifts")
                found.append(Found(start, start + len(value), kind, value))
                result = result.replace(value, placeholder)
        if self.fault == "adds":
            result += "!"
        return Scrubbed(result, tuple(found))


def test_a_right_scrubber_passes() -> None:
    check_scrubber(Replacing())


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("drops", "one text in"),
        ("blind to IBANs", "was left in"),
        ("forgets", "two placeholders"),
        ("shifts", "offsets"),
        ("adds", "empty text has to stay empty"),
    ],
)
def test_a_scrubber_that_breaks_the_contract(fault: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_scrubber(Replacing(fault))


@pytest.mark.models
def test_our_scrubber_passes() -> None:
    check_scrubber(plugins.find("scrubber", "presidio")())
