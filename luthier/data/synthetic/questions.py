"""Kind `questions`: a question that one sentence of a passage answers, with that passage as its gold.

The row is a plain dialogue whose metadata names document and passage: grounding searches and cites for it as for any
other dialogue. Where the model gives no answer, the sentence it was asked about is the answer, word for word.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from luthier.data.synthetic.drafts import Draft, Material, Refusal, Work
from luthier.data.synthetic.groundedness import belongs, carriers, given_away, uncarried, unmeasured, whole
from luthier.data.synthetic.parsing import pair
from luthier.data.synthetic.templates import QUESTIONS, Messages, Template
from luthier.data.synthetic.wording import same, similarity, unfit, unsaid
from luthier.lm.claims import Claim
from luthier.lm.grounding import without_markers
from luthier.lm.sentences import sentences
from luthier.records.knowledge import Passage

FEWEST_WORDS = 5
"""Of a sentence that is worth a question."""
COPIED = 0.8
"""Similarity of a question and its sentence from which on nothing was asked."""


def works(material: Material) -> list[Work]:
    """One candidate for each sentence of each passage that states something."""
    made: list[Work] = []
    for passage in material.passages:
        for sentence in stated(passage):
            asked = partial(asked_about, QUESTIONS, passage, sentence)
            unit = f"{name_of(passage)}/{sentence}"
            made.append(Work(unit, asked, partial(judged, passage, sentence, material.licence)))
    return made


def asked_about(template: Template, passage: Passage, sentence: str) -> Messages:
    """What is asked about a sentence: it comes under its headings, but alone. Small models lose it among others."""
    above = passage.heading or passage.title
    known = above == passage.title or above.startswith(f"{passage.title} › ")
    title = above if known else f"{passage.title} › {above}"
    return template.messages(passage.locale, title=title, sentence=sentence)


def stated(passage: Passage) -> list[str]:
    """The sentences of a passage that say something to ask about."""
    found = (sentence.text for sentence in sentences(passage.text))
    return [
        text
        for text in found
        if len(text.split()) >= FEWEST_WORDS and Claim.of(text) and not text.endswith("?") and not text.startswith("#")
    ]


def name_of(passage: Passage) -> str:
    """A passage's name: document, and the characters of its text (RFC 5147). No scrubber takes it for a telephone."""
    return f"{passage.document}#char={passage.start},{passage.end}"


def judged(passage: Passage, sentence: str, licence: str, answers: Sequence[str]) -> Draft | Refusal:
    """The row, or why there is none."""
    question, answer = pair(answers[0])
    answer = without_markers(answer)
    refused = unfit(question) or (unsaid(question, answer) if answer else None)
    if refused:
        return refused
    if same(question.rstrip("?"), sentence) or similarity(question, sentence) >= COPIED:
        return Refusal("repeats the sentence instead of asking", "", question, answer)
    if answer and (left := uncarried(answer, passage)):
        return Refusal("the passage does not carry the answer", left, question, answer)
    quote = carriers(answer, passage) if answer else sentence
    quoted = not whole(answer, quote)
    answer = quote if quoted else answer
    if refused := beside(question, answer, quote, passage):
        return refused
    metadata = from_passage(passage) | {"documents": passage.document, "answer": "quoted" if quoted else "written"}
    return Draft(question, answer, passage.locale, metadata, licence=licence)


def beside(question: str, answer: str, quote: str, passage: Passage) -> Refusal | None:
    """Why `answer`, which `quote` carries, is none to `question`."""
    if not belongs(question, quote, passage):
        return Refusal("the answer is about something else", quote, question, answer)
    if unmeasured(question, answer):
        return Refusal("a number is asked for and none is said", "", question, answer)
    if given_away(question, answer):
        return Refusal("the question gives its own answer", "", question, answer)
    return None


def from_passage(passage: Passage) -> dict[str, str]:
    """The metadata that names a passage and the very text of its document."""
    return {"passage": name_of(passage), "digest": passage.digest[:12]}
