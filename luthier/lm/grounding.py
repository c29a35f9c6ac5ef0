"""The one place where passages go into a prompt and where citations are read out of an answer. Pure.

Training labels its answers with the same judgement that serving verifies them by, so that what was learnt is what is
checked; `claims.py` has the judgement. No clock, disk, network or model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from luthier.errors import BadData
from luthier.lm.claims import Claim
from luthier.lm.sentences import MARKER, Sentence, sentences
from luthier.records.data import Message
from luthier.records.knowledge import Citation, Passage

LONGEST_SPAN = 3
"""Sentences in a span."""
TURNS_KEPT = 2
"""Messages before the question that go into the prompt."""

_STOP = re.compile(r"\s*[.!?…][.!?…\"'”’»)\]]*$")


class Span(NamedTuple):
    """Whole sentences of a passage: characters [start, end) of the DOCUMENT, and the share of the claim's words."""

    start: int
    end: int
    quote: str
    share: float


def compose(messages: Sequence[Message], passages: Sequence[Passage], instructions: str) -> list[Message]:
    """The conversation as the model sees it: instructions, a little history, the passages and the question.

    Several user messages in a row are one question. What stands after it (the answer, in training) is kept as it
    is. The caller's own system messages are dropped: the instructions are what was trained with.
    Raises BadData where nobody asks anything.
    """
    turns = [message for message in messages if message.role != "system"]
    last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=-1)
    if last < 0:
        raise BadData("the conversation has no user message", "send at least one message with the role 'user'")
    first = last
    while first > 0 and turns[first - 1].role == "user":
        first -= 1
    question = "\n".join(turn.content for turn in turns[first : last + 1])
    system = [Message(role="system", content=instructions)] if instructions else []
    asked = Message(role="user", content=_with_passages(question, passages))
    return [*system, *_history(turns[:first]), asked, *turns[last + 1 :]]


def cite(answer: str, passages: Sequence[Passage]) -> tuple[Citation, ...]:
    """One citation for each marker [n] of each sentence, verified or not.

    A marker without a passage gives an unverified citation of no document.
    """
    found: list[Citation] = []
    for sentence in sentences(answer):
        numbers = dict.fromkeys(int(n) for marker in MARKER.finditer(sentence.text) for n in marker[1].split(","))
        claim = without_markers(sentence.text)
        found += [_citation(number, claim, passages) for number in numbers]
    return tuple(found)


def support(sentence: str, passage: Passage) -> Span | None:
    """The fewest whole sentences of `passage` that carry `sentence`, or None where nothing does."""
    span, carried = _best(without_markers(sentence), passage)
    return span if carried else None


def with_citations(answer: str, passages: Sequence[Passage]) -> str:
    """`answer` with [n] put before the full stop of each sentence that passage n carries.

    A sentence gets the marker of the passage that carries most of its words, the earlier one where two are equal.
    Questions, sentences that already have a marker and sentences that nothing carries are left alone.
    """
    pieces: list[str] = []
    left = 0
    for sentence in sentences(answer):
        number = _carrier(sentence, passages)
        if number:
            stop = _STOP.search(sentence.text)
            at = sentence.start + stop.start() if stop else sentence.end
            pieces += [answer[left:at], f" [{number}]"]
            left = at
    return "".join([*pieces, answer[left:]])


def without_markers(text: str) -> str:
    """`text` without its [n], and without the space that stood before each."""
    return re.sub(r"[ \t]*" + MARKER.pattern, "", text).strip()


def stands(citation: Citation, document: str) -> bool:
    """Does the quote stand word for word at its place of the document's text?"""
    return bool(citation.quote) and document[citation.start : citation.end] == citation.quote


def _with_passages(question: str, passages: Sequence[Passage]) -> str:
    if not passages:
        return question
    shown = [f"[{n}] {_headline(passage)}\n{passage.text.strip()}" for n, passage in enumerate(passages, start=1)]
    return "\n\n".join([*shown, f"Question: {question}"])


def _headline(passage: Passage) -> str:
    """`Title › Heading`; a title that opens the headings already is not said twice."""
    if not passage.heading or passage.heading == passage.title:
        return passage.title
    known = passage.heading.startswith(f"{passage.title} › ")
    return passage.heading if known else f"{passage.title} › {passage.heading}"


def _history(turns: Sequence[Message]) -> Sequence[Message]:
    """The last question and its answer, or nothing: templates refuse a history that does not alternate."""
    kept = turns[-TURNS_KEPT:]
    return kept if [turn.role for turn in kept] == ["user", "assistant"] else []


def _citation(number: int, claim: str, passages: Sequence[Passage]) -> Citation:
    if not 1 <= number <= len(passages):
        return Citation(
            marker=number, claim=claim, document="", title="", digest="", start=0, end=0, quote="", verified=False
        )
    passage = passages[number - 1]
    span, carried = _best(claim, passage)
    return Citation(
        marker=number,
        claim=claim,
        document=passage.document,
        title=passage.title,
        digest=passage.digest,
        start=span.start,
        end=span.end,
        quote=span.quote,
        verified=carried and passage.end - passage.start == len(passage.text),
    )


def _carrier(sentence: Sentence, passages: Sequence[Passage]) -> int:
    """The number of the passage that carries `sentence` best, or 0."""
    if MARKER.search(sentence.text) or sentence.text.endswith("?"):
        return 0
    spans = [(number, support(sentence.text, passage)) for number, passage in enumerate(passages, start=1)]
    shares = [(span.share, -number) for number, span in spans if span]
    return -max(shares)[1] if shares else 0


def _best(text: str, passage: Passage) -> tuple[Span, bool]:
    """The span that comes nearest to carrying the claim `text`, and whether it does. Empty where no word is common."""
    claim = Claim.of(text)
    best = Span(passage.start, passage.start, "", 0.0)
    best_key: tuple[bool, float, float] = (False, 0.0, 0.0)
    if not claim:
        return best, False
    whole = sentences(passage.text)
    under = f"{passage.title} {passage.heading}"
    for length in range(1, LONGEST_SPAN + 1):
        for at in range(len(whole) - length + 1):
            start, end = whole[at].start, whole[at + length - 1].end
            quote = passage.text[start:end]
            share = claim.share(quote)
            # A carried claim takes the fewest sentences, then the most words; otherwise words come first.
            key = (True, -length, share) if claim.carried_by(quote, under) else (False, share, -length)
            if share > 0 and key > best_key:
                best, best_key = Span(passage.start + start, passage.start + end, quote, share), key
    return best, best_key[0]
