"""The JSON that goes out, in OpenAI's shapes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from luthier.gateway.exchange import Exchange, Route
from luthier.lm.grounding import without_markers
from luthier.lm.sentences import sentences
from luthier.records.base import short
from luthier.records.knowledge import Citation

Json = dict[str, Any]
WORDS_A_CHUNK = 6
DONE = "data: [DONE]\n\n"
WAITING = ": waiting\n\n"


def completion(exchange: Exchange) -> Json:
    """A whole chat completion."""
    message = {"role": "assistant", "content": exchange.answer, "refusal": None, "annotations": url_citations(exchange)}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(exchange)}
    return _envelope("chat.completion", exchange, [choice]) | {"usage": usage(exchange)}


def chunks(exchange: Exchange) -> Iterator[str]:
    """The same as server-sent events: a role, the text in pieces, the annotations, why it ended, usage where asked."""
    yield _chunk(exchange, {"role": "assistant", "content": "", "refusal": None})
    for piece in re.findall(rf"(?:\S+\s*){{1,{WORDS_A_CHUNK}}}|\s+", exchange.answer):
        yield _chunk(exchange, {"content": piece})
    if cited := url_citations(exchange):
        yield _chunk(exchange, {"annotations": cited})
    yield _chunk(exchange, {}, finish_reason(exchange))
    if exchange.asked.include_usage:
        yield event(_envelope("chat.completion.chunk", exchange, []) | {"usage": usage(exchange)})
    yield DONE


def event(data: Mapping[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data)}\n\n"


def finish_reason(exchange: Exchange) -> str:
    """`content_filter` for a refusal, `length` for an answer that was cut off, else `stop`."""
    if exchange.ending == "refused":
        return "content_filter"
    return exchange.finish if exchange.ending == "answered" else "stop"


def usage(exchange: Exchange) -> Json:
    """Tokens that the engine read and wrote."""
    read, wrote = exchange.prompt_tokens, exchange.completion_tokens
    return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


def url_citations(exchange: Exchange) -> list[Json]:
    """The verified citations as OpenAI's url_citation: which characters of the answer rest on which of a document."""
    cited = {(citation.claim, citation.marker): citation for citation in exchange.citations}
    found: list[Json] = []
    for sentence in sentences(exchange.answer):
        claim = without_markers(sentence.text)
        for citation in (cited[key] for key in cited if key[0] == claim):
            place = {"start_index": sentence.start, "end_index": sentence.end}
            found.append(
                {"type": "url_citation", "url_citation": place | {"title": citation.title, "url": url(citation)}}
            )
    return found


def url(citation: Citation) -> str:
    """Where the quote stands: document, version and characters."""
    return f"luthier://documents/{quote(citation.document)}@{citation.digest}#{citation.start}-{citation.end}"


def model(name: str, route: Route) -> Json:
    """One entry of /v1/models."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "luthier", "root": route.model_id, "parent": None}


def _chunk(exchange: Exchange, delta: Json, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    extra = {"usage": None} if exchange.asked.include_usage else {}
    return event(_envelope("chat.completion.chunk", exchange, [choice]) | extra)


def _envelope(kind: str, exchange: Exchange, choices: list[Json]) -> Json:
    return {
        "id": exchange.id,
        "object": kind,
        "created": int(datetime.fromisoformat(exchange.at).timestamp()),
        "model": exchange.asked.model,
        "system_fingerprint": short(exchange.route.model_id),
        "choices": choices,
    }
