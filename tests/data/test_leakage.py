"""Leaks that are planted are found and named; what everybody says is no leak; our own sample has none."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data import leakage
from luthier.data.leakage import Leak, Limits, Protected, Trained, check, require_none, trained
from luthier.data.protected import read_protected
from luthier.errors import BadConfig, BadData
from luthier.records.data import Message

SAMPLE = Path(str(files("luthier") / "sample"))
BANKING = Path(__file__).parents[3] / "shared" / "data" / "banking77" / "train.csv"
LONG = "My card was swallowed by the machine at the main station last night, so how do I get a new one before I travel?"
SHORT = "How do I change my PIN abroad?"
MIDDLE = "Which papers must I bring along to open a joint account?"


def leaks(*turns: str, protected: str = LONG, **limits: object) -> list[Leak]:
    return check([Trained("row", turns)], [Protected("q", protected)], Limits(**limits))


@pytest.mark.parametrize(
    ("turn", "protected", "kind", "share"),
    [
        (SHORT, SHORT, "exact", 1.0),
        ("how do i change my pin abroad", SHORT, "exact", 1.0),
        (LONG.upper(), LONG, "exact", 1.0),
        (LONG.replace("main", "old"), LONG, "near", None),
        ("So how do I change my PIN abroad?", SHORT, "near", None),
        (f"Hello there, this is me again. {LONG} Thank you so much for your help, I am waiting.", LONG, "ngram", 1.0),
        (f"Q1: {MIDDLE} Q2: and what does that cost me, by the way? I ask for my sister.", MIDDLE, "ngram", 1.0),
        ("Hey! " * 20 + " ".join(LONG.split()[:20]) + " she said" * 20, LONG, "ngram", 8 / 12),
    ],
)
def test_what_is_given_away(turn, protected, kind, share):
    (leak,) = leaks("Good morning", turn, "Thank you", protected=protected)
    assert (leak.row, leak.protected, leak.kind) == ("row", "q", kind)
    assert leak.share == share if share else 0.8 <= leak.share < 1
    assert set(re.findall(r"\w+", leak.excerpt.lower())) <= set(re.findall(r"\w+", turn.lower()))


@pytest.mark.parametrize(
    ("turn", "protected"),
    [
        ("How do I change my address?", SHORT),
        (f"Before I go: {SHORT} And what is the fee there?", SHORT),  # under 8 words, inside a turn
        (" ".join(LONG.split()[:14]) + " and I was frightened, that is all I wanted to say", LONG),  # 2 of 12 runs
        ("Thank you, how can I help you today?", "Thank you, who can stop my card today?"),
        ("yes please", "Yes, please!"),
        ("Hello", "Hello"),
        ("", "?"),
    ],
)
def test_what_is_not(turn, protected):
    assert leaks(turn, protected=protected) == []


def test_any_run_of_13_words_as_in_brown_et_al():
    turn = " ".join(LONG.split()[:14]) + " and I was frightened, that is all I wanted to say"
    (leak,) = leaks(turn, share=0)
    assert (leak.kind, leak.share) == ("ngram", 2 / 12)
    assert leak.excerpt == "my card was swallowed by the machine at the main station last night"


def test_boilerplate_is_no_leak():
    """A greeting and a legal notice that stand in many rows, and in front of many questions."""
    notice = "This conversation may be recorded for quality purposes and you may object to that at any time you wish"
    asked = [Protected(f"q{n}", f"{notice}. {each}") for n, each in enumerate((SHORT, MIDDLE))]
    rows = [Trained(str(n), (f"{notice}. Now, what about number {n} on my list?",)) for n in range(30)]
    assert check(rows, asked, Limits(similarity=0.95)) == []
    assert {leak.kind for leak in check(rows[:10], asked, Limits(similarity=0.95))} == {"ngram"}  # ten are not many
    told = [*rows, Trained("told", (f"Hello hello. {notice}. {SHORT} I ask because I have to leave tomorrow.",))]
    assert [leak.row for leak in check(told, asked, Limits(similarity=0.95))] == ["told"]


def test_an_oversampled_question_is_no_boilerplate():
    rows = [Trained(str(n), (f"{n}: {LONG} (asked {n} times)", SHORT)) for n in range(50)]
    found = check(rows, [Protected("long", LONG), Protected("short", SHORT)])
    assert len(found) == 100
    assert [leak.row for leak in found] == [str(n) for n in range(50) for _ in range(2)]


def test_subjects():
    rows = [
        Trained("a", ("Hi",), "s-1"),
        Trained("b", ("Hi",), "s-2"),
        Trained("c", (SHORT,), "s-1"),
        Trained("d", ("x",)),
    ]
    asked = [Protected("q1", SHORT, "s-1"), Protected("q2", "Hello", "s-1"), Protected("q3", "", "s-9")]
    found = check(rows, asked)
    assert [(leak.row, leak.protected, leak.kind) for leak in found] == [("a", "q1", "subject"), ("c", "q1", "exact")]


def test_each_pair_once_and_the_first_of_equal_questions():
    found = check([Trained("r", (SHORT, SHORT.upper(), f"{SHORT} {LONG}"))], [Protected(n, SHORT) for n in "abc"])
    assert [(leak.protected, leak.kind) for leak in found] == [("a", "exact")]


def test_what_is_compared_of_a_row():
    messages = [
        Message(role="system", content=LONG),
        Message(role="user", content=SHORT),
        Message(role="assistant", content="", tool_calls=({"id": "1"},)),
        Message(role="tool", content=MIDDLE),
        Message(role="assistant", content="In the app."),
    ]
    assert trained("r", messages, "s") == Trained("r", (SHORT, "In the app."), "s")


def test_none_is_required():
    require_none([])
    found = check(
        [Trained(f"r{n}", (LONG,)) for n in range(7)] + [Trained("p", ("Hi",), "s")],
        [Protected("q", LONG), Protected("w", SHORT, "s")],
    )
    with pytest.raises(BadData) as raised:
        require_none(found, most=2)
    pair = "gives away q (exact: “My card was swallowed by the machine at the main station la…”)"
    assert raised.value.what == (
        f"8 training rows would give away what the evaluation asks: r0 {pair}; r1 {pair}; and 6 more"
    )
    assert "leave these rows out" in raised.value.mend
    with pytest.raises(BadData, match=r"^1 training row .* p gives away w \(the same person\)"):
        require_none(found[-1:])


vocabulary = ["ka", "lo", "mi", "nu", "pe", "ro", "si", "ta"]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from([1, 500, 1 << 16]))
def test_runs_agree_with_brute_force(seed, batch):
    """Every pair of a row and a protected text, by plain Python."""
    draw = random.Random(seed)
    asked = [Protected(f"q{n}", " ".join(draw.choices(vocabulary, k=draw.randint(8, 24)))) for n in range(4)]
    rows = []
    aside = [f"z{number}z" for number in range(60)]
    for number in range(12):
        words = draw.choice(asked).text.split()
        begin = draw.randrange(len(words))
        part = words[begin : begin + draw.randint(5, 24)]
        rows.append(Trained(str(number), ("x", " ".join([*aside, *part, *aside]))))

    def runs(text: str, size: int) -> set[tuple[str, ...]]:
        said = text.split()
        return {tuple(said[at : at + size]) for at in range(len(said) - size + 1)}

    expected = {}
    for row in rows:
        for each in asked:
            size = min(13, len(each.text.split()))
            whole = runs(each.text, size)
            share = len(whole & runs(row.turns[1], size)) / len(whole)
            if share >= 0.5:
                expected[row.row, each.name] = share
    before, leakage.BATCH = leakage.BATCH, batch
    try:
        found = check(rows, asked, Limits(common=100))
    finally:
        leakage.BATCH = before
    assert {(leak.row, leak.protected): leak.share for leak in found} == expected


def test_our_own_sample_has_no_leak():
    rows = map(json.loads, (SAMPLE / "dialogues.jsonl").read_text("utf-8").splitlines())
    made = [
        trained(row["metadata"]["dialogue"], [Message.model_validate(each) for each in row["messages"]]) for row in rows
    ]
    asked = [each for name in ("questions", "redteam", "harmless") for each in read_protected(SAMPLE / f"{name}.jsonl")]
    assert (len(made), len(asked)) == (360, 184)
    assert check(made, asked) == []
    planted = [*made, Trained("planted", ("Hello!", asked[5].text + " Thanks"))]
    assert [leak.protected for leak in check(planted, asked)] == [asked[5].name]


@pytest.mark.skipif(not BANKING.is_file(), reason="needs ../shared/data/banking77")
def test_real_questions_drawn_apart_still_leak():
    """A random tenth of banking77 against the rest: 30 of 1,021 questions are there word by word or nearly so."""
    with BANKING.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    test = [row for row in rows if hashlib.sha256(row[0].encode()).digest()[0] < 26]
    train = [row for row in rows if hashlib.sha256(row[0].encode()).digest()[0] >= 26]
    found = check(
        (Trained(str(n), (text,)) for n, (text, _) in enumerate(train)),
        (Protected(str(n), text) for n, (text, _) in enumerate(test)),
    )
    assert 20 <= len({leak.protected for leak in found}) <= 40
    right = sum(train[int(leak.row)][1] == test[int(leak.protected)][1] for leak in found)
    assert right >= 0.9 * len(found)  # a leak asks for the same intent; a false alarm would not


def test_files_of_questions(tmp_path):
    def read(name: str, text: str, **rest: str) -> list[Protected]:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return read_protected(path, **rest)

    assert read("house.jsonl", '{"id": "q-1", "question": "Why?"}\n\n') == [Protected("house.jsonl:q-1", "Why?")]
    assert read("gsm8k.jsonl", '{"question": "1+1?", "answer": "2"}') == [Protected("gsm8k.jsonl:1", "1+1?")]
    assert read("if.jsonl", '{"prompt": "Go", "subject": "s"}') == [Protected("if.jsonl:1", "Go", "s")]
    turns = [{"role": role, "content": said} for role, said in (("user", "A"), ("assistant", "B"), ("user", "C"))]
    assert read("chat.jsonl", json.dumps({"messages": turns})) == [
        Protected("chat.jsonl:1", "A"),
        Protected("chat.jsonl:1", "C"),
    ]
    table = 'text,label\n"two\nlines",x\nC,y\n'
    assert read("t.csv", table) == [Protected("t.csv:3", "two\nlines"), Protected("t.csv:4", "C")]
    assert read("t.tsv", "a\tb\nx\ty\n", field="b") == [Protected("t.tsv:2", "y")]
    with pytest.raises(BadConfig, match=r"no field 'b': name the field .* there are: text"):
        read("t.csv", "text\nx\n", field="b")
    for name, text in (
        ("a.jsonl", "{"),
        ("b.jsonl", "[1]"),
        ("c.jsonl", '{"question": ""}'),
        ("d.jsonl", '{"question": 7}'),
        ("e.jsonl", '{"messages": [{"role": "assistant", "content": "A"}]}'),
        ("f.jsonl", ""),
        ("g.csv", "text\n"),
    ):
        with pytest.raises(BadData, match=name):
            read(name, text)
    with pytest.raises(BadData, match="cannot be read"):
        read_protected(tmp_path / "none.csv")
    with pytest.raises(BadData, match="cannot be read"):
        read_protected(tmp_path / "none.jsonl")
