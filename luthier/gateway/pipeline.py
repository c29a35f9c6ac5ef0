"""Question → screened, grounded, cited, guarded answer. Each stage is a function of the desk and one Exchange.

    screen the question → retrieve → generate → screen the answer → verify citations → record

A stage may end the exchange (refused, escalated, abstained); then only the recording follows. Where a stage cannot do
its work it raises: nothing is answered unscreened, and nothing leaves unrecorded.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from luthier.access import Principal, may_read
from luthier.errors import BadConfig, LuthierError, RunFailed, Unavailable
from luthier.gateway.desk import Desk
from luthier.gateway.exchange import Exchange
from luthier.gateway.failures import TooSlow
from luthier.gateway.grounded import grounded, says_not_found, whole_sentences
from luthier.gateway.nearness import nearness, pieces
from luthier.gateway.personal import black_out, personal, stands_in
from luthier.gateway.plain import visible
from luthier.gateway.policy import Side, decide, matches, spans
from luthier.gateway.recorded import trace_of
from luthier.gateway.requests import MOST_CHARACTERS, Asked
from luthier.lm.client import Reply
from luthier.lm.grounding import TURNS_KEPT, compose
from luthier.lm.language import language_of
from luthier.records.base import happening_id
from luthier.records.data import Found, Message
from luthier.records.knowledge import Passage
from luthier.records.serving import Decision, Rule, Trace

LOG = logging.getLogger(__name__)
FEW_WORDS = 5
"""A question of fewer words is looked up together with the one before it: `And for Gold?`"""

Stage = Callable[[Desk, Exchange], Exchange]


def answer(desk: Desk, caller: Principal, asked: Asked, exchange_id: str = "") -> Exchange:
    """The whole way of one request, at the end of which its trace is kept.

    Raises UnknownName, Forbidden, BadConfig for the request; Unavailable, TooSlow, RunFailed for the engine; and what
    keeping the trace raises.
    """
    exchange = begin(desk, caller, asked, exchange_id or new_id())
    for stage in (screen_question, retrieve, generate, screen_answer, verify):
        if exchange.ending is None:
            exchange = timed(stage, desk, exchange)
    return timed(record, desk, exchange)


def new_id() -> str:
    """The id of an exchange: of its trace and of the completion that the caller gets."""
    return happening_id(Trace.kind, time.time_ns() // 1_000_000, os.urandom(10))


def begin(desk: Desk, caller: Principal, asked: Asked, exchange_id: str) -> Exchange:
    """An exchange with its route, its language and its deadline."""
    route = desk.route(asked.model, caller)
    question = visible(asked.question)
    return Exchange(
        id=exchange_id,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        until=time.monotonic() + desk.seconds,
        caller=caller,
        route=route,
        asked=asked,
        question=question,
        history=_history(asked),
        language=language_of(question, route.policy.languages),
    )


def timed(stage: Stage, desk: Desk, exchange: Exchange) -> Exchange:
    """`stage` done, with its milliseconds. Raises TooSlow where the deadline has passed."""
    began = time.perf_counter()
    try:
        done = stage(desk, exchange)
    except LuthierError as error:
        raise told(desk, exchange, stage, error) from error
    if time.monotonic() >= exchange.until and stage is not record:  # what is recorded was answered
        raise _late(desk)
    spent = round((time.perf_counter() - began) * 1e3, 2)
    return done.but(milliseconds=exchange.milliseconds | {stage.__name__: spent})


def screen_question(desk: Desk, exchange: Exchange) -> Exchange:
    """Hold the question against the policy. What went before it is left out of the prompt where a rule fires on it.

    Only the question decides: somebody who was handed on or refused may go on to ask something else.
    """
    earlier = [visible(message.content) for message in exchange.history]
    if desk.learnt(exchange.route, "input"):  # one call to the encoder; search finds the question there, too
        desk.embed([piece for text in [exchange.question, *earlier] for piece in pieces(text)])
    found = _personal(desk, exchange, exchange.question, "input")
    decision = _decided(desk, exchange, exchange.question, "input", found)
    if any(_decided(desk, exchange, text, "input", _personal(desk, exchange, text, "input")) for text in earlier):
        exchange = exchange.but(history=())
    if decision is None:
        return exchange
    redacted = _redacted(exchange, decision, exchange.question, found)
    return exchange.decided(decision).but(question=redacted)


def retrieve(desk: Desk, exchange: Exchange) -> Exchange:
    """The passages that the caller may read, without those that try to give orders."""
    search = exchange.route.search or desk.search
    found = search(_query(exchange), exchange.caller.audience, exchange.language, desk.passages)
    readable = [passage for passage in found if may_read(exchange.caller.audience, passage.audience)]
    if len(readable) < len(found):
        LOG.error("search gave %s a passage that is not for its eyes", exchange.caller.audience)
    kept: list[Passage] = []
    for passage in readable:
        rule = _broken_rule(exchange, passage)
        if rule is None:
            kept.append(passage)
            continue
        evidence = f"pattern in document {passage.document}"
        taken_out = Decision(rule=rule.id, action="redact", side="input", why=rule.why, evidence=evidence)
        exchange = exchange.decided(taken_out)
    exchange = exchange.but(passages=tuple(kept))
    strict = exchange.route.policy.citations == "required"
    return exchange.abstained() if strict and not kept else exchange


def generate(desk: Desk, exchange: Exchange) -> Exchange:
    """The model's draft; abstained where it says itself that it found nothing."""
    route = exchange.route
    instructions = desk.instructions if route.instructions is None else route.instructions
    messages = [*exchange.history, Message(role="user", content=exchange.question)]
    prompt = compose(messages, exchange.passages, instructions)
    reply = _reply(desk, exchange, [{"role": turn.role, "content": turn.content} for turn in prompt])
    exchange = exchange.but(
        draft=visible(reply.text).strip(),
        finish="length" if reply.finish == "length" else "stop",
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
    )
    exchange = exchange.but(answer=exchange.draft)
    return exchange.abstained() if says_not_found(exchange.draft, route.policy) else exchange


def screen_answer(desk: Desk, exchange: Exchange) -> Exchange:
    """Hold the draft against the policy; what a rule redacts is blacked out.

    A value that the caller wrote, or that stands in a public document at hand, is no secret.
    """
    asked = [message.content for message in exchange.asked.messages if message.role == "user"]
    public = [passage.text for passage in exchange.passages if passage.audience == "public"]
    found = _personal(desk, exchange, exchange.draft, "output")
    secret = [hit for hit in found if not stands_in(hit.text, [*asked, *public])]
    decision = _decided(desk, exchange, exchange.draft, "output", secret)
    if decision is None:
        return exchange
    redacted = _redacted(exchange, decision, exchange.draft, secret)
    return exchange.but(answer=redacted).decided(decision)


def verify(desk: Desk, exchange: Exchange) -> Exchange:
    """Keep what the passages support. Nothing supported where citations are required: abstained."""
    strict = exchange.route.policy.citations == "required"
    draft = whole_sentences(exchange.answer) if exchange.finish == "length" else exchange.answer
    held = grounded(draft, exchange.passages, strict=strict)
    if not held.text or (strict and not held.citations):
        return exchange.abstained()
    return exchange.but(answer=held.text, citations=held.citations, ending="answered")


def record(desk: Desk, exchange: Exchange) -> Exchange:
    """Keep the trace. An answer that cannot be recorded is not given."""
    desk.keep(trace_of(exchange, desk.scrubber, desk.keyed))
    return exchange


def told(desk: Desk, exchange: Exchange, stage: Stage, error: LuthierError) -> LuthierError:
    """What the caller hears of `error`: what can be done, and no inner address or path. The log has the rest."""
    LOG.error("%s: %s: %s", exchange.id, stage.__name__, error)
    model = exchange.asked.model
    if time.monotonic() >= exchange.until:
        return _late(desk)
    if isinstance(error, Unavailable):
        return Unavailable(f"{model} cannot be reached at the moment", "try again in a few seconds")
    if stage is generate and type(error) is BadConfig:
        return BadConfig(f"{model} cannot take this request", "shorten it, or ask for fewer tokens")
    return RunFailed(f"{model} failed to answer", f"tell its operator the number {exchange.id}")


def _late(desk: Desk) -> TooSlow:
    return TooSlow(f"there was no answer within {desk.seconds:g} s", "try again, or ask for fewer tokens")


def _history(asked: Asked) -> tuple[Message, ...]:
    """The turn before the question and its answer, as far as `compose` would take them; nothing of a long one."""
    turns = [message for message in asked.messages if message.role != "system"]
    while turns and turns[-1].role == "user":
        turns.pop()
    kept = tuple(turns[-TURNS_KEPT:])
    return kept if all(len(turn.content) <= MOST_CHARACTERS for turn in kept) else ()


def _decided(desk: Desk, exchange: Exchange, text: str, side: Side, found: Sequence[Found]) -> Decision | None:
    learnt = desk.learnt(exchange.route, side)
    near = nearness(learnt, desk.embed(pieces(text))) if learnt and text.strip() else {}
    return decide(text, exchange.route.policy, side, near, found)


def _personal(desk: Desk, exchange: Exchange, text: str, side: Side) -> list[Found]:
    """The personal data in `text`; not looked for where no rule of that side asks for any."""
    if not any(rule.side == side and rule.entities for rule in exchange.route.policy.rules):
        return []
    return personal(text, lambda plain: desk.scrubber.find(plain, exchange.language))


def _redacted(exchange: Exchange, decision: Decision, text: str, found: Sequence[Found]) -> str:
    if decision.action != "redact":
        return text
    return black_out(text, spans(exchange.route.policy, decision.side, text, found))


def _query(exchange: Exchange) -> str:
    """What is looked up: the question, and the one before it where the question is too short to stand alone."""
    before = [message.content for message in exchange.history if message.role == "user"]
    if len(exchange.question.split()) >= FEW_WORDS or not before:
        return exchange.question
    return f"{before[-1]}\n{exchange.question}"


def _broken_rule(exchange: Exchange, passage: Passage) -> Rule | None:
    """The refusing rule that a public passage breaks: a document must not give orders to the model.

    Staff documents may well speak of what customers must not ask for, and are written in the house.
    """
    refusing = [rule for rule in exchange.route.policy.rules if rule.side == "input" and rule.action == "refuse"]
    return next((rule for rule in refusing if passage.audience == "public" and matches(rule, passage.text)), None)


def _reply(desk: Desk, exchange: Exchange, messages: list[dict[str, str]]) -> Reply:
    asked = exchange.asked
    return desk.engine.chat(
        messages,
        exchange.route.engine_model,
        max_tokens=min(asked.max_tokens or desk.max_tokens, desk.most_tokens),
        temperature=asked.temperature,
        seed=asked.seed,
        stop=list(asked.stop) or None,
        extra=dict(asked.extra),
    )
