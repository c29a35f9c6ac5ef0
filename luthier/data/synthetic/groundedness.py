"""Does a passage carry an answer, belong to a question, or do no documents answer it? By words and figures. Pure.

The judgement is the house's own (`lm/claims.py`, `lm/grounding.py`): what is kept here can be cited when it is served.
It does not understand: an answer made of the passage's words may still be beside the question.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from luthier.lm import grounding
from luthier.lm.claims import names, stems
from luthier.lm.figures import figures, missing_figures
from luthier.lm.sentences import sentences
from luthier.records.knowledge import Passage

STRICT = 0.8
"""Share of the words of an answer that the sentences which carry it have to have."""
WHOLE = 0.6
"""Share of the words of these sentences that an answer has to say."""
BELONGS = 0.6
"""Share of a question's words that these sentences and the headings above them have to have."""
FEWEST = 2
"""Words that they have to share: “what does it cost?” belongs to nothing."""
ANSWERED = 0.75
"""From this share of a question's words in neighbouring sentences on, those may answer it."""
NEIGHBOURS = 2
ASKING = stems("much many long often soon far viel viele lange oft weit cuánto cuánta cuántos cuántas")
"""Words that ask and are about nothing: “how many” is answered by no “many”."""


class Place(NamedTuple):
    """Neighbouring sentences of a passage."""

    share: float
    """Of the question's words that stand there or in the headings above."""
    passage: Passage | None = None
    text: str = ""


_MEASURE = re.compile(
    r"\bhow (?:much|many|long|often|soon|old|far)\b|\bwie (?:viele?|lange|oft|hoch)\b|\bwieviele?\b|\bcu[aá]nt[oa]s?\b",
    re.I,
)


def matter(text: str) -> frozenset[str]:
    """The stems of the words that say what `text` is about."""
    return stems(text) - ASKING


def under(passage: Passage) -> str:
    """The words above a passage."""
    return f"{passage.title} {passage.heading}"


def uncarried(answer: str, passage: Passage, least: float = STRICT) -> str:
    """The first sentence of `answer` that no sentence of `passage` carries; "" where all are carried.

    `least` is the share of its words that the passage has to have. Serving is content with less (`lm/claims.py`): a
    caller sees the quote beside the claim, a model that learns from the row does not.
    """
    said = sentences(grounding.without_markers(answer))
    if not said:
        return answer or "(nothing)"
    for each in said:
        span = None if each.text.endswith("?") else grounding.support(each.text, passage)
        if span is None or span.share < least:
            return each.text
    return ""


def carriers(answer: str, passage: Passage) -> str:
    """The sentences of `passage` that carry an answer which is carried."""
    spans = [grounding.support(each.text, passage) for each in sentences(grounding.without_markers(answer))]
    return " ".join(dict.fromkeys(span.quote for span in spans if span))


def whole(answer: str, quote: str) -> bool:
    """Does `answer` say most of what `quote` says, so that no condition of it is lost?"""
    needed = stems(quote)
    return len(needed & stems(answer)) >= WHOLE * len(needed)


def belongs(question: str, quote: str, passage: Passage) -> bool:
    """Does `quote`, under the headings of its passage, speak of what is asked, names and figures included?"""
    asked = matter(question)
    shared = asked & (stems(under(passage)) | stems(quote))
    return (
        len(shared) >= FEWEST
        and bool(asked & stems(quote))
        and len(shared) >= BELONGS * len(asked)
        and names(question) <= stems(f"{under(passage)} {passage.text}")
        and not missing_figures(figures(question), figures(quote))
    )


def unmeasured(question: str, answer: str) -> bool:
    """Is a number asked for, and none is said?"""
    return bool(_MEASURE.search(question)) and not figures(answer)


def given_away(question: str, answer: str) -> bool:
    """Does the question say its own answer already?"""
    return matter(answer) <= matter(question) and not missing_figures(figures(answer), figures(question))


class Answers:
    """Where the documents may answer a question: an index from words to pairs of neighbouring sentences."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self.places: list[tuple[Passage, str]] = []
        self.of: dict[str, list[int]] = defaultdict(list)
        """The places in which a word stands."""
        for passage in passages:
            above = stems(under(passage))
            whole = sentences(passage.text)
            for at in range(len(whole)):
                last = whole[min(at + NEIGHBOURS, len(whole)) - 1]
                text = passage.text[whole[at].start : last.end]
                for stem in above | stems(text):
                    self.of[stem].append(len(self.places))
                self.places.append((passage, text))

    def best(self, question: str) -> Place:
        """The place that has most of the question's words; the first of equals."""
        asked = matter(question)
        if not asked:
            return Place(1.0)
        counted = Counter(place for stem in sorted(asked) for place in self.of.get(stem, ()))
        if not counted:
            return Place(0.0)
        place, count = min(counted.items(), key=lambda item: (-item[1], item[0]))
        return Place(count / len(asked), *self.places[place])

    def sentence(self, question: str) -> tuple[Passage, str] | None:
        """The one sentence that has nearly all of the question's words and every figure, where there is one."""
        found = self.best(question)
        if found.passage is None or found.share < ANSWERED:
            return None
        said: Sequence[str] = [each.text for each in sentences(found.text)]
        asked = matter(question) - stems(under(found.passage))
        best = max(said, key=lambda text: len(asked & stems(text)))
        short = len(asked & stems(best)) < ANSWERED * len(asked)
        return None if short or missing_figures(figures(question), figures(best)) else (found.passage, best)
