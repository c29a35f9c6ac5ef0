"""Kind `negatives`: a question close to a passage that no document answers, with the policy's own abstaining answer.

Whether it is answered is judged by words: a question most of whose words stand in two neighbouring sentences of any
document counts as answered. A document that answers in quite other words is not noticed, so a person should look
through these rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from luthier.data.synthetic.drafts import Draft, Material, Refusal, Work
from luthier.data.synthetic.groundedness import ANSWERED, Answers, matter, under
from luthier.data.synthetic.parsing import pair
from luthier.data.synthetic.questions import asked_about, from_passage, name_of, stated
from luthier.data.synthetic.templates import NEGATIVES
from luthier.data.synthetic.wording import unfit
from luthier.errors import Missing
from luthier.records.knowledge import Passage
from luthier.records.serving import ServingPolicy

UNSAID = 2
"""Words of the question that have to stand nowhere near the others: with one new word it is often the same question."""
CLOSE = 0.3
"""Share of the question's words that the passage or its headings have: further away it is no hard negative."""


def works(material: Material) -> list[Work]:
    """One candidate for each sentence of each passage. Raises Missing without a policy."""
    abstain = words_for(material.policy, "abstain")
    answers = Answers(material.passages)
    made: list[Work] = []
    for passage in material.passages:
        for sentence in stated(passage):
            asked = partial(asked_about, NEGATIVES, passage, sentence)
            answer = in_language(abstain, passage.locale)
            judge = partial(judged, passage, answers, answer, material.licence)
            made.append(Work(f"{name_of(passage)}/{sentence}", asked, judge))
    return made


def words_for(policy: ServingPolicy | None, kind: str) -> dict[str, str]:
    """What the policy says, by language. Raises Missing where it says nothing."""
    found = next((texts for name, texts in policy.messages.items() if name == kind), {}) if policy else {}
    if not found:
        raise Missing(f"no policy says what an assistant says to {kind}", f"write it under messages: {kind}:")
    return found


def in_language(texts: dict[str, str], language: str) -> str:
    """The words in `language`, else the first there are."""
    return texts.get(language) or texts.get(language.partition("-")[0]) or next(iter(texts.values()))


def judged(passage: Passage, answers: Answers, abstain: str, licence: str, said: Sequence[str]) -> Draft | Refusal:
    """The row, or why there is none."""
    question = pair(said[0]).question
    refused = unfit(question)
    if refused:
        return refused
    asked = matter(question)
    if not asked or len(asked & matter(f"{under(passage)} {passage.text}")) < CLOSE * len(asked):
        return Refusal("not about the passage", name_of(passage), question)
    best = answers.best(question)
    if best.share >= ANSWERED or len(asked) * (1 - best.share) < UNSAID - 0.5:
        where = f"{name_of(best.passage)}, {best.share:.2f} of its words: {best.text}" if best.passage else ""
        return Refusal("the documents may answer it", where, question)
    metadata = from_passage(passage) | {"documents": ""}  # none: grounding answers it with the same sentence
    return Draft(question, abstain, passage.locale, metadata, licence=licence)
