from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.gateway.failures import BadRequest
from luthier.gateway.requests import MOST_CHARACTERS, read_request

USER = {"role": "user", "content": "What does a card cost?"}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "support", "messages": [USER]} | fields).encode()


def test_a_whole_request() -> None:
    asked = read_request(
        body(
            messages=[
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": None},
                {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]},
                {"role": "user", "content": "three?"},
            ],
            max_completion_tokens=5,
            max_tokens=7,
            temperature=0.5,
            top_p=0.9,
            seed=3,
            stop="END",
            stream=True,
            stream_options={"include_usage": True},
            n=1,
            user="somebody",
            tools=[],
            response_format={"type": "text"},
        )
    )
    assert asked.question == "One\ntwo\nthree?"
    assert [message.role for message in asked.messages] == ["system", "user", "assistant", "user", "user"]
    assert (asked.max_tokens, asked.temperature, asked.seed, asked.stop) == (5, 0.5, 3, ("END",))
    assert (asked.extra, asked.stream, asked.include_usage) == ((("top_p", 0.9),), True, True)


def test_a_model_named_by_the_path() -> None:
    assert read_request(json.dumps({"messages": [USER]}).encode(), "support").model == "support"


BAD: list[tuple[bytes, str, str]] = [
    (b"", "not valid JSON", ""),
    (b"{", "not valid JSON", ""),
    (b"\xff\xfe", "not valid JSON", ""),
    (b"[" * 100_000, "not valid JSON", ""),
    (b'{"n": NaN}', "not valid JSON", ""),
    (b'{"n": 1' + b"0" * 10_000 + b"}", "not valid JSON", ""),
    (b"[]", "not a JSON object", ""),
    (body(model=None), "no model is named", "model"),
    (body(model=7), "no model is named", "model"),
    (body(model="x" * 201), "name of the model is too long", "model"),
    (body(messages=[]), "no messages", "messages"),
    (body(messages="hi"), "no messages", "messages"),
    (body(messages=[USER] * 201), "more than 200 messages", "messages"),
    (body(messages=["hi"]), "messages[0] is not an object", "messages[0]"),
    (body(messages=[{"role": "bot", "content": "x"}]), "role 'bot' is unknown", "messages[0].role"),
    (body(messages=[{"role": ["user"] * 999, "content": "x"}]), "is unknown", "messages[0].role"),
    (body(messages=[{"role": "user"}]), "content is no text", "messages[0].content"),
    (body(messages=[USER, {"role": "assistant", "content": "x"}]), "nothing is asked", "messages"),
    (body(messages=[{"role": "user", "content": " \n"}]), "nothing is asked", "messages"),
    (body(messages=[{"role": "user", "content": "x" * (MOST_CHARACTERS + 1)}]), "more than 8,000", "messages"),
    (
        body(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
        "a part of type 'image_url' cannot be read",
        "messages[0].content",
    ),
    (body(messages=[{"role": "user", "content": "\ud800"}]), "broken character", "messages[0].content"),
    (body(n=2), "n has to be 1", "n"),
    (body(max_tokens=0), "at least 1", "max_tokens"),
    (body(max_tokens=True), "whole number", "max_tokens"),
    (body(max_tokens="many"), "whole number", "max_tokens"),
    (body(seed=1 << 80), "whole number", "seed"),
    (body(temperature=3), "from 0 to 2", "temperature"),
    (body(temperature="hot"), "from 0 to 2", "temperature"),
    (body(stop=["a", "b", "c", "d", "e"]), "up to four", "stop"),
    (body(stop=[""]), "up to four", "stop"),
    (body(stream="yes"), "true or false", "stream"),
    (body(stream_options=[1]), "has to be an object", "stream_options"),
    (body(tools=[{"type": "function"}]), "tools is not offered", "tools"),
    (body(response_format={"type": "json_object"}), "response_format is not offered", "response_format"),
    (body(logprobs=True), "logprobs is not offered", "logprobs"),
]


@pytest.mark.parametrize(("raw", "says", "param"), BAD, ids=[says for _, says, _ in BAD])
def test_bad_requests_are_named_in_one_sentence(raw: bytes, says: str, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_request(raw)
    assert says in str(caught.value)
    assert caught.value.param == param
    assert caught.value.mend
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


KEYS = st.sampled_from(["model", "messages", "role", "content", "stop", "n", "stream_options"])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100)
@given(JSON)
def test_whatever_json_there_is_no_traceback(value: Any) -> None:
    with contextlib.suppress(BadRequest):
        read_request(json.dumps(value).encode())
