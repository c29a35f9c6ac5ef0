"""What people think of answers: given, queued, decided, and handed on as rows for the next dataset version.

Every text passes the scrubber before it is kept. Knows nothing of training, and nothing of how answers are made.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from luthier.access import Principal, require
from luthier.errors import BadConfig, UnknownName
from luthier.lm.grounding import without_markers
from luthier.records.base import happening_id
from luthier.records.data import Message, Scrubbed
from luthier.records.feedback import ReviewItem, ReviewState
from luthier.records.serving import Trace
from luthier.store.ledger import Event, Ledger
from luthier.store.traces import Traces
from luthier.store.workspace import Workspace

Scrub = Callable[[Sequence[str]], Sequence[Scrubbed]]
"""Scrubs the texts of one dialogue, so that one person has one placeholder in all of them."""
Rating = Literal["up", "down"]
ACCEPTED, REJECTED = "accepted", "rejected"
ALL = 1_000_000


class Queued(NamedTuple):
    """A review and what became of it."""

    item: ReviewItem
    state: ReviewState
    by: str = ""
    """Who decided."""
    note: str = ""
    at: str = ""


class Accepted(NamedTuple):
    """A dialogue that a person approved of, as a source of rows: fields as `data` reads them."""

    seq: int
    """Number of the event that accepted it: the next call goes on from the highest."""
    messages: tuple[Message, ...]
    language: str
    metadata: dict[str, str]
    """`review`, `trace` and, between commas, the `documents` whose passages the answer was given."""


def give(
    workspace: Workspace,
    trace_id: str,
    *,
    rating: Rating | None = None,
    comment: str = "",
    correction: str = "",
    by: str,
    scrub: Scrub,
) -> ReviewItem:
    """Queue what somebody thinks of an answer. Raises BadConfig where they say nothing and nothing was escalated."""
    trace = workspace.traces.get(trace_id)
    comment, correction = comment.strip(), correction.strip()
    reason = reason_for(trace, rating, comment, correction)
    # The dialogue goes along, so that a name in the correction gets the placeholder that it has there.
    texts = [*(message.content for message in trace.messages), trace.answer, comment, correction]
    *_, clean_comment, clean_correction = (scrubbed.text for scrubbed in scrub(texts))
    item = ReviewItem(
        id=happening_id(ReviewItem.kind, time.time_ns() // 1_000_000, os.urandom(10)),
        trace=trace.id,
        reason=reason,
        rating=rating,
        comment=clean_comment,
        correction=clean_correction,
        by=by,
    )
    workspace.ledger.put(item, by=by)
    return item


def reason_for(
    trace: Trace, rating: Rating | None, comment: str, correction: str
) -> Literal["thumb", "comment", "correction", "escalation"]:
    """Why a person should look at it: the weightiest thing that was said."""
    if correction:
        return "correction"
    if comment:
        return "comment"
    if rating:
        return "thumb"
    if trace.ending == "escalated":
        return "escalation"
    raise BadConfig("this feedback says nothing", "give a rating, a comment or a correction")


def queue(ledger: Ledger, state: ReviewState | None = "waiting", limit: int = ALL) -> list[Queued]:
    """Reviews in that state (None: in any), the oldest first, so that nobody waits for ever."""
    verdicts = decided(ledger)
    items = (item for item in reversed(ledger.ls(ReviewItem.kind, limit=ALL)) if isinstance(item, ReviewItem))
    found = (queued(item, verdicts.get(item.id)) for item in items)
    return [review for review in found if state in (None, review.state)][:limit]


def decide(
    ledger: Ledger, review_id: str, accept: bool, by: Principal, note: str = "", *, scrub: Scrub | None = None
) -> Queued:
    """Accept or reject a review, once. Raises Forbidden without the right, BadConfig where it is decided already.

    A note is kept for good, so it takes a scrubber to leave one.
    """
    require(by, "review")
    item = ledger.get(review_id, ReviewItem)
    if earlier := decided(ledger, item.id).get(item.id):
        raise BadConfig(f"{earlier.by} {earlier.verb} {item.id} at {earlier.at}", "give a review of your own")
    if note.strip() and scrub is None:
        raise BadConfig("a note without a scrubber is not kept", "pass the scrubber, or leave the note out")
    body = {"note": scrub([note.strip()])[0].text} if note.strip() and scrub else None
    event = ledger.tell(item.id, ACCEPTED if accept else REJECTED, body, by=by.name)
    return queued(item, event)


def accepted_rows(workspace: Workspace, since: int = 0) -> list[Accepted]:
    """Dialogues to learn from, out of the reviews that were accepted after event number `since`.

    One for each answer, as the latest accepted review would have it: the correction, or the answer itself where it
    got a thumb up. Comments and thumbs down teach no answer. An erased trace takes its dialogue along.
    """
    rows: dict[str, Accepted] = {}
    for event in decided(workspace.ledger).values():
        if event.verb != ACCEPTED or event.seq <= since:
            continue
        item = workspace.ledger.get(event.subject, ReviewItem)
        trace = trace_of(workspace.traces, item.trace)
        answer = item.correction or (trace.answer if trace and item.rating == "up" else "")
        if trace is not None and trace.messages and (answer := without_markers(answer)):
            rows[trace.id] = row(event, item, trace, answer)
    return list(rows.values())


def row(event: Event, item: ReviewItem, trace: Trace, answer: str) -> Accepted:
    """The dialogue of a trace with the answer that it should have had."""
    documents = dict.fromkeys(passage.document for passage in trace.passages)
    metadata = {"review": item.id, "trace": trace.id, "documents": ",".join(documents)}
    messages = (*trace.messages, Message(role="assistant", content=answer))
    return Accepted(event.seq, messages, "", {name: value for name, value in metadata.items() if value})


def decided(ledger: Ledger, review: str | None = None) -> dict[str, Event]:
    """The event that decided each review (or that one), in their order. Of two at once, the first one counts."""
    events = [event for verb in (ACCEPTED, REJECTED) for event in ledger.events(review, verb)]
    first: dict[str, Event] = {}
    for event in sorted(events, key=lambda event: event.seq):
        if event.subject.startswith(f"{ReviewItem.kind}-"):
            first.setdefault(event.subject, event)
    return first


def queued(item: ReviewItem, event: Event | None) -> Queued:
    """A review with the state that its decision, if any, put it in."""
    if event is None:
        return Queued(item, "waiting")
    state: ReviewState = "accepted" if event.verb == ACCEPTED else "rejected"
    return Queued(item, state, event.by, str(event.body.get("note", "")), event.at)


def trace_of(traces: Traces, trace_id: str) -> Trace | None:
    """The trace, or None where it was erased."""
    try:
        return traces.get(trace_id)
    except UnknownName:
        return None
