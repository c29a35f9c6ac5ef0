"""Kind `paraphrases`: the question of an existing row in other words; the answer stays as it is.

The row follows its origin into its split, keeps its documents and licence, and ends when the origin's basis ends.
Without a model that measures meaning, a paraphrase that shares no words with its origin cannot be told from a question
about something else, and is refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

from luthier.data.shingles import figures as plain_figures
from luthier.data.synthetic.drafts import Draft, Example, Material, Refusal, Work
from luthier.data.synthetic.groundedness import matter
from luthier.data.synthetic.parsing import one
from luthier.data.synthetic.templates import PARAPHRASES
from luthier.data.synthetic.wording import same, similarity, unfit
from luthier.lm.claims import names, negations
from luthier.lm.figures import figures, missing_figures

HARDLY_CHANGED = 0.65
"""Similarity from which on a paraphrase teaches nothing new."""
OF_THE_QUESTION = 0.3
"""Share of the question's words that stay."""
KNOWN = 0.5
"""Share of the paraphrase's words that stand in the question or its answer."""
ALIKE = 0.75
"""Cosine of question and paraphrase from which on they mean the same, where meaning can be measured."""

_PLACEHOLDER = re.compile(r"<[A-Z_]+_\d+>")


def works(material: Material) -> list[Work]:
    """One candidate for each row that opens with a question."""
    return [
        Work(
            example.row,
            partial(PARAPHRASES.messages, example.language, question=example.question),
            partial(judged, example, material),
        )
        for example in material.examples
        if unfit(example.question, asks=False) is None
    ]


def judged(example: Example, material: Material, answers: Sequence[str]) -> Draft | Refusal:
    """The row, or why there is none."""
    said = one(answers[0])
    refused = unfit(said, asks=example.question.rstrip().endswith("?")) or departs(example, said)
    if refused:
        return refused
    if material.alike is not None and (cosine := material.alike(example.question, said)) < ALIKE:
        return Refusal("means something else", f"cosine {cosine:.2f} to: {example.question}", said)
    metadata = {"from": example.row, "dialogue": example.dialogue}
    if example.documents is not None:
        metadata["documents"] = example.documents
    return Draft(said, example.answer, example.language, metadata, licence=example.licence, until=example.until)


def departs(example: Example, said: str) -> Refusal | None:
    """Why `said` is no paraphrase, by its words: it stays too near, or goes too far."""
    if same(said, example.question) or similarity(said, example.question) >= HARDLY_CHANGED:
        return Refusal("hardly changed", example.question, said)
    if changed := changed_figures(example.question, said):
        return Refusal("other numbers or names", changed, said)
    if negations(said) % 2 != negations(example.question) % 2:
        return Refusal("says the opposite", example.question, said)
    return None if related(example, said) else Refusal("about something else", example.question, said)


def changed_figures(question: str, said: str) -> str:
    """The number, placeholder or name that one of two texts has and the other has not, "" where there is none."""
    there, here = figures(question), figures(said)
    if missing_figures(there, here) or missing_figures(here, there) or plain_figures(question) != plain_figures(said):
        return "numbers"
    if Counter(_PLACEHOLDER.findall(question)) != Counter(_PLACEHOLDER.findall(said)):
        return "placeholders"
    gone = names(question) - matter(said)
    return ", ".join(sorted(gone))


def related(example: Example, said: str) -> bool:
    """Do enough words of the question stay, and do few come from nowhere?"""
    asked, now = matter(example.question), matter(said)
    if not asked or not now:
        return False
    stay = len(asked & now) >= OF_THE_QUESTION * len(asked)
    return stay and len(now & (asked | matter(example.answer))) >= KNOWN * len(now)
