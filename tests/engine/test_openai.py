"""The unmodified `openai` client against the server."""

from __future__ import annotations

import openai
import pytest

from tests.engine.conftest import Server

QUESTION = [{"role": "user", "content": "How do I block my card?"}]


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_chat(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="rooted", messages=QUESTION, max_tokens=6, temperature=0, logprobs=True, top_logprobs=2
    )
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage
    assert reply.usage.completion_tokens == 6
    content = reply.choices[0].logprobs.content
    assert len(content) == 6
    assert all(one.logprob == pytest.approx(one.top_logprobs[0].logprob) for one in content)


def test_stream(client: openai.OpenAI) -> None:
    asked = {"model": "plain", "messages": QUESTION, "max_tokens": 6, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    stream = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        == whole.choices[0].message.content
    )
    assert chunks[-1].usage == whole.usage


def test_completions_and_models(client: openai.OpenAI) -> None:
    reply = client.completions.create(model="tiny", prompt=["Call the", "A card"], max_tokens=3, temperature=0, n=2)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    assert reply.choices[0].text == reply.choices[1].text
    assert {model.id for model in client.models.list()} >= {"tiny", "plain", "encoder"}


def test_embeddings_in_the_clients_own_encoding(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="encoder", input="a card").data[0].embedding
    plain = client.embeddings.create(model="encoder", input="a card", encoding_format="float").data[0].embedding
    assert packed == pytest.approx(plain, abs=1e-6)


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nobody", messages=QUESTION)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="tiny", messages=QUESTION, max_tokens=9999)
    assert long.value.code == "context_length_exceeded"
