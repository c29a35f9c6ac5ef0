"""An exchange → the trace that is kept of it. Every text of a person or a model goes through the scrubber first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from luthier.gateway.exchange import Exchange
from luthier.gateway.personal import black_out, scattered
from luthier.gateway.plain import visible
from luthier.records.data import Message, Scrubbed
from luthier.records.serving import Trace

MOST_CHARACTERS = 24_000
"""Of the conversation that are kept."""


class Dialogues(Protocol):
    """What takes personal data out of the texts of one dialogue."""

    def dialogue(self, texts: Sequence[str], language: str = "") -> list[Scrubbed]:
        """The texts, scrubbed together: one placeholder for one value."""


def trace_of(exchange: Exchange, scrubber: Dialogues, keyed: Callable[[str], str] | None = None) -> Trace:
    """The trace of an exchange that has its ending. Passages are documents of the house and stay word for word.

    `keyed` makes the hash by which the trace of a person is found again: of every value that was replaced.
    """
    asked = _newest(exchange.asked.messages)
    said = [message.content for message in asked]
    claims = [citation.claim for citation in exchange.citations]
    draft = "" if exchange.draft == exchange.answer else exchange.draft
    plain = [visible(text) for text in (*said, exchange.answer, draft, *claims)]
    scrubbed = scrubber.dialogue([_whole(text) for text in plain], exchange.language)
    found = {hit.text for each in scrubbed for hit in each.found} | {
        hit.text for text in plain for hit in scattered(text)
    }
    clean = [each.text for each in scrubbed]
    messages, rest = clean[: len(said)], clean[len(said) :]
    pairs = zip(asked, messages, strict=True)
    cited = zip(exchange.citations, rest[2:], strict=True)
    return Trace(
        id=exchange.id,
        at=exchange.at,
        alias=exchange.asked.model,
        model=exchange.route.model_id,
        deployment=exchange.route.deployment,
        policy=exchange.route.policy_id,
        index=exchange.route.index_id,
        caller=exchange.caller.name,
        messages=tuple(message.model_copy(update={"content": text}) for message, text in pairs),
        answer=rest[0],
        draft=rest[1],
        ending=exchange.ending or "answered",
        passages=exchange.passages,
        citations=tuple(citation.model_copy(update={"claim": text}) for citation, text in cited),
        decisions=exchange.decisions,
        prompt_tokens=exchange.prompt_tokens,
        completion_tokens=exchange.completion_tokens,
        milliseconds=exchange.milliseconds,
        subjects=tuple(sorted({keyed(value) for value in found})) if keyed else (),
    )


def _newest(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The last messages, as far as they fit: what went long before shaped nothing, and scrubbing it takes time."""
    room, kept = MOST_CHARACTERS, list[Message]()
    for message in reversed(messages):
        room -= len(message.content)
        if kept and room < 0:
            break
        kept.append(message)
    return tuple(reversed(kept))


def _whole(text: str) -> str:
    """`text` without numbers whose groups stand apart: recognisers know them in one piece only."""
    return black_out(text, scattered(text))
