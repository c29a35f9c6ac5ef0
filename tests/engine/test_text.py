"""Text comes out piece by piece, never a letter that a later token would have changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.engine.text import Speech, overlap
from tests.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def speech(*stops: str) -> Speech:
    return Speech(lambda ids: TOKENIZER.decode(ids, skip_special_tokens=True), stops)


def spoken(text: str, *stops: str) -> tuple[list[str], Speech]:
    one = speech(*stops)
    pieces = []
    for token in TOKENIZER.encode(text):
        pieces.append(one.push(token))
        if one.stopped:
            break
    return [*pieces, one.finish()], one


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_the_pieces_are_the_text(text: str) -> None:
    pieces, _ = spoken(text)
    assert "".join(pieces) == text


def test_no_half_letter_leaves() -> None:
    pieces, _ = spoken("größe 🙂 日本")
    assert not any("\ufffd" in piece for piece in pieces)


def test_bytes_that_are_no_letter_do_not_hold_the_rest_back() -> None:
    broken = TOKENIZER.convert_tokens_to_ids("ð")  # the byte 0xf0 alone
    one = speech()
    out = "".join(one.push(token) for token in [broken] * 6 + TOKENIZER.encode(" and on"))
    assert out.endswith(" and on")


@pytest.mark.parametrize(
    ("text", "stop", "out"),
    [
        ("one two three", "two", "one "),
        ("one two three", "three", "one two "),
        ("one two three", "four", "one two three"),
        ("aab", "ab", "a"),
        ("\n\nQuestion: next", "\n\nQuestion:", ""),
    ],
)
def test_ends_before_a_stop_string(text: str, stop: str, out: str) -> None:
    pieces, one = spoken(text, stop)
    assert "".join(pieces) == out
    assert one.stopped == (stop in text)


@given(st.text("ab\n", max_size=30), st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3))
def test_nothing_of_a_stop_string_ever_leaves(text: str, stops: list[str]) -> None:
    pieces, _ = spoken(text, *stops)
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    out = "".join(pieces)
    assert text.startswith(out)
    assert not any(stop in out for stop in stops)
    assert places or out == text


def test_overlap() -> None:
    assert [overlap(text, "stop") for text in ("a st", "sto", "stop", "x", "")] == [2, 3, 0, 0, 0]
