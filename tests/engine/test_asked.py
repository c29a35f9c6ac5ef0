"""Each wrong field is refused by name; what would change the answer silently is refused too."""

from __future__ import annotations

from typing import Any

import pytest

from luthier.engine.asked import BadRequest, Body, EmbeddingBody, messages, parse, prompts


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -1),
        ("temperature", "warm"),
        ("temperature", float("nan")),
        ("top_p", 0),
        ("top_p", 1.5),
        ("max_tokens", -1),
        ("max_tokens", "many"),
        ("max_tokens", 1.5),
        ("n", 0),
        ("n", 1000),
        ("stop", 7),
        ("stop", ""),
        ("stop", ["a", ""]),
        ("seed", "x"),
        ("logprobs", 21),
        ("top_logprobs", 21),
        ("prompt", {"text": "x"}),
        ("prompt", [1, "a"]),
        ("messages", "hello"),
        ("stream_options", 3),
        ("best_of", 5),
        ("tools", [{"type": "function"}]),
        ("presence_penalty", 0.5),
        ("logit_bias", {"5": 1}),
        ("response_format", {"type": "json_object"}),
        ("guided_json", {}),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        parse(Body, {field: value})
    assert refused.value.param == field


@pytest.mark.parametrize("body", [None, [], "text", 3])
def test_a_body_is_an_object(body: Any) -> None:
    with pytest.raises(BadRequest, match="object"):
        parse(Body, body)


def test_nulls_and_neutral_and_unknown_fields_are_nothing() -> None:
    body = {"temperature": None, "tools": [], "presence_penalty": 0.0, "user": "u", "response_format": {"type": "text"}}
    assert parse(Body, body) == Body()


def test_choices_of_a_seeded_request_differ() -> None:
    body = parse(Body, {"seed": 5, "n": 2, "stop": "x", "top_k": -1, "logprobs": True, "top_logprobs": 3})
    first, second = (body.sampling(9, choice, chat=True) for choice in (0, 1))
    assert (first.seed, second.seed) == (5, 6)
    assert (first.stops, first.top_k, first.logprobs, first.max_tokens) == (("x",), 0, 3, 9)
    assert parse(Body, {"logprobs": 0}).sampling(1, 0, chat=False).logprobs == 0


def test_messages() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    given = [
        {"role": "developer", "content": "x"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None},
    ]
    assert [(one.role, one.content) for one in messages(given)] == [("system", "x"), ("user", "ab"), ("assistant", "")]


@pytest.mark.parametrize(
    "given",
    [
        [],
        [{"role": "bot", "content": "x"}],
        [{"content": "x"}],
        [{"role": "user", "content": 3}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    ],
)
def test_wrong_messages_are_refused(given: list[dict[str, Any]]) -> None:
    with pytest.raises(BadRequest) as refused:
        messages(given)
    assert refused.value.param == "messages"


def test_prompts() -> None:
    assert prompts("a") == ["a"]
    assert prompts(["a", "b"]) == ["a", "b"]
    assert prompts([1, 2]) == [[1, 2]]
    assert prompts([[1], [2, 3]]) == [[1], [2, 3]]
    with pytest.raises(BadRequest):
        prompts([])


def test_embeddings_take_text_alone() -> None:
    with pytest.raises(BadRequest):
        parse(EmbeddingBody, {"input": [1, 2]})
    assert parse(EmbeddingBody, {"input": "a"}).encoding_format == "float"
