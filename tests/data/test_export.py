"""Every format: written, read in again by its own reader, the same messages; what it cannot carry is named."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.data import chat_jsonl, table
from luthier.data.cells import guarded, unguarded
from luthier.data.export import FORMATS, carried, export
from luthier.data.formats import alpaca, arrow, completions, preferences, ratings, sharegpt
from luthier.data.raw import NotADialogue, Raw, Refused
from luthier.errors import UnknownName
from luthier.records.data import Message, Row

READERS = {
    "chat-jsonl": chat_jsonl.read,
    "preferences": preferences.read,
    "preferences-openai": preferences.read,
    "ratings": ratings.read,
    "completions": completions.read,
    "alpaca": alpaca.read,
    "sharegpt": sharegpt.read,
    "csv": table.read,
    "parquet": arrow.read,
}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"card": 1}'}}
USER, ANSWER = Message(role="user", content="What is a “Lark”?\nTell, me"), Message(role="assistant", content="A bird.")
SYSTEM = Message(role="system", content="Be kind.")


def row(*messages: Message, **more) -> Row:
    named = hashlib.sha256(repr((messages, more)).encode()).hexdigest()[:16]
    return Row(**({"id": named, "split": "train", "source": "desk", "line": 7} | more), messages=messages)


ONE = row(USER, ANSWER, language="en", metadata={"dialogue": "d-1", "topic": "birds"}, licence="MIT")
LONG = row(SYSTEM, USER, ANSWER, USER, Message(role="assistant", content="Still a bird."))
TOOLS = row(
    USER,
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="tool", content="9 EUR", tool_call_id="c1"),
    ANSWER,
)
WEIGHED = row(USER, ANSWER.model_copy(update={"weight": 0}), USER, ANSWER.model_copy(update={"weight": 1}))
PAIR = row(USER, ANSWER, rejected=(Message(role="assistant", content="A fish."),))
RATED = row(SYSTEM, USER, ANSWER, good=False)
FORMULA = row(Message(role="user", content="=HYPERLINK(1)"), Message(role="assistant", content="'=not\t@"))
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
ABLE = row(USER, ANSWER, tools=(LOOK,))
ABLE_PAIR = row(USER, ANSWER, rejected=(Message(role="assistant", content="No bird."),), tools=(LOOK,))
PAGE = row(Message(role="assistant", content="Fees\n\nA card costs 9 EUR."), metadata={"title": "Fees", "path": "a.md"})
ALL = (ONE, LONG, TOOLS, WEIGHED, PAIR, RATED, FORMULA, ABLE, ABLE_PAIR, PAGE)
CARRIED = {
    "chat-jsonl": (ONE, LONG, TOOLS, WEIGHED, FORMULA, ABLE, PAGE),
    "preferences": (PAIR, ABLE_PAIR),
    "preferences-openai": (PAIR, ABLE_PAIR),
    "ratings": (RATED,),
    "completions": (ONE, LONG, TOOLS, WEIGHED, FORMULA, ABLE),
    "alpaca": (ONE, LONG, FORMULA, ABLE),
    "sharegpt": (ONE, LONG, WEIGHED, FORMULA, ABLE),
    "csv": (ONE, FORMULA),
    "parquet": (ONE, LONG, TOOLS, WEIGHED, FORMULA, ABLE, PAGE),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_there_and_back(tmp_path: Path, kind: str):
    to = tmp_path / f"rows{FORMATS[kind].ending}"
    done = export(ALL, to, kind)
    back = [read for read in READERS[kind](to, {})]
    assert all(isinstance(each, Raw) for each in back)
    assert [each.messages for each in back] == [each.messages for each in CARRIED[kind]]
    assert [each.tools for each in back] == [each.tools for each in CARRIED[kind]]
    assert [(each.rejected, each.good) for each in back] == [(each.rejected, each.good) for each in CARRIED[kind]]
    assert done.rows + sum(done.why.values()) == len(ALL)
    assert {left.id for left in done.left_out} == {each.id for each in ALL if each not in CARRIED[kind]}
    assert all(left.why for left in done.left_out)
    assert (done.digest, done.size) == (hashlib.sha256(to.read_bytes()).hexdigest(), to.stat().st_size)
    if ONE in CARRIED[kind]:
        assert (back[0].language, back[0].metadata) == ("en", ONE.metadata | {"licence": "MIT"})
    if PAGE in CARRIED[kind]:
        assert back[-1].metadata == PAGE.metadata


def test_a_table_computes_nothing(tmp_path: Path):
    export([FORMULA], tmp_path / "rows.csv", "csv")
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        (cells,) = csv.DictReader(file)
    assert (cells["user"], cells["assistant"]) == ("'=HYPERLINK(1)", "''=not\t@")


@given(st.text(alphabet="'=+-@\t\rab", max_size=6))
def test_the_guard_comes_off_again(cell: str):
    assert unguarded(guarded(cell)) == cell
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(
    asked=TEXT, said=TEXT, kind=st.sampled_from(["chat-jsonl", "completions", "alpaca", "sharegpt", "csv", "parquet"])
)
def test_any_words_come_back_or_are_named(tmp_path_factory, asked: str, said: str, kind: str):
    one = row(Message(role="user", content=asked), Message(role="assistant", content=said))
    to = tmp_path_factory.mktemp("any") / "rows"
    done = export([one], to, kind)
    back = list(READERS[kind](to, {})) if done.rows else []
    assert done.rows + len(done.left_out) == 1
    for each in back:
        assert isinstance(each, Raw)
        assert [m.content for m in each.messages] == [asked, said]


CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    alphabet="'=+-@\t,;\"{}\n ab", max_size=8
)


@given(
    system=CELL,
    asked=CELL.filter(str.strip),
    said=CELL.filter(str.strip),
    metadata=st.dictionaries(st.sampled_from(["dialogue", "topic", "=note", "system", "user"]), CELL, max_size=3),
    licence=st.sampled_from(["", "MIT", "=MIT"]),
)
def test_a_table_comes_back_as_it_was(tmp_path_factory, system, asked, said, metadata, licence):
    """Formula cells, quotes, line feeds: what is written is what is read."""
    first = (Message(role="system", content=system),) if system.strip() else ()
    turns = (*first, Message(role="user", content=asked), Message(role="assistant", content=said))
    one = row(*turns, metadata=metadata, licence=licence, language="de")
    to = tmp_path_factory.mktemp("table") / "rows.csv"
    if export([one], to, "csv").rows == 0:
        assert any(
            "\r" in text or "\0" in text for text in (system, asked, said, licence, metadata.get("dialogue", ""))
        )
        return
    (back,) = table.read(to, {})
    assert isinstance(back, Raw)
    told = {name: text for name, text in metadata.items() if text or name != "dialogue"}
    assert (back.messages, back.language) == (turns, "de")
    assert back.metadata == told | ({"licence": licence} if licence else {})


def test_an_apostrophe_in_a_table_of_others_stays(tmp_path: Path):
    (tmp_path / "a.csv").write_text("user,assistant\n'=who,'-5 degrees\n")
    (back,) = table.read(tmp_path / "a.csv", {})
    assert isinstance(back, Raw)
    assert [turn.content for turn in back.messages] == ["'=who", "'-5 degrees"]


def test_a_table_of_ours_that_somebody_spoilt(tmp_path: Path):
    export([ONE], tmp_path / "a.csv", "csv")
    spoilt = (tmp_path / "a.csv").read_text().replace('"{""topic"": ""birds""}"', "birds {")
    (tmp_path / "a.csv").write_text(spoilt)
    (refused,) = table.read(tmp_path / "a.csv", {})
    assert isinstance(refused, Refused)
    (tmp_path / "a.csv").write_text(spoilt.replace("birds {", "[1]"))
    (refused,) = table.read(tmp_path / "a.csv", {})
    assert "metadata" in refused.reason


def test_a_text_that_no_chat_can_carry():
    document = row(Message(role="assistant", content="A page."))
    for kind in ("alpaca", "sharegpt", "csv", "ratings"):
        with pytest.raises(NotADialogue):
            carried(document, FORMATS[kind])


def test_a_format_that_is_none(tmp_path: Path):
    with pytest.raises(UnknownName, match="there are: chat-jsonl"):
        export([ONE], tmp_path / "x", "xml")
    assert not list(tmp_path.iterdir())
