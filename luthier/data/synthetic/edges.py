"""Kind `edges`: requests just inside and outside each clause of the serving policy, with what the policy wants said.

Inside means that the clause decides on the request, outside that no clause does: the policy itself is asked, not the
model. A request outside is answered with the one sentence of the documents that has its words, or with the abstaining
sentence where none comes near; in between it is refused, because nobody knows what is right. Clauses that look at
answers or take personal data out have no request and are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from luthier.data.synthetic.drafts import Draft, Material, Refusal, Work
from luthier.data.synthetic.groundedness import Answers
from luthier.data.synthetic.negatives import in_language, words_for
from luthier.data.synthetic.parsing import one
from luthier.data.synthetic.questions import from_passage
from luthier.data.synthetic.templates import EDGES
from luthier.data.synthetic.wording import same, similarity, unfit
from luthier.errors import Missing
from luthier.lm.language import language_of
from luthier.records.serving import Rule, ServingPolicy

SHOWN = 3
"""Examples of the clause in a prompt; which ones changes from prompt to prompt."""
DRAWS = 8
"""Prompts for each side of a clause and each language."""
UNCLEAR = 0.5
"""Share of a request's words in the documents from which on they may answer it in other words."""
COPIED = 0.8
"""Similarity to an example of the policy from which on nothing new was written."""


class Side(NamedTuple):
    """One side of a clause."""

    rule: Rule
    inside: bool
    examples: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.rule.id}/{'inside' if self.inside else 'outside'}"


def works(material: Material) -> list[Work]:
    """The candidates of each clause that decides on requests. Raises Missing where there is no such clause."""
    policy = material.policy
    sides = [side for rule in policy.rules for side in sides_of(rule)] if policy else []
    if policy is None or not sides:
        raise Missing("the policy has no clause that decides on requests by examples", "write some: like and unlike")
    answers = Answers(material.passages)
    made: list[Work] = []
    for side in sides:
        for language in policy.languages:
            there = [text for text in side.examples if language_of(text, policy.languages) == language]
            for draw in range(DRAWS if there else 0):
                shown = drawn(there, f"{side.name}/{language}/{draw}")
                asked = partial(
                    EDGES.messages,
                    language,
                    why=side.rule.why or side.rule.id.replace("-", " "),
                    side="fall" if side.inside else "do not fall",
                    examples="\n".join(f"- {text}" for text in shown),
                )
                judge = partial(judged, side, language, answers, material)
                made.append(Work(f"{side.name}/{language}/{draw}", asked, judge))
    return made


def sides_of(rule: Rule) -> list[Side]:
    """Both sides of a clause about requests, as far as it has examples of them."""
    if rule.side != "input" or rule.action == "redact":
        return []
    both = Side(rule, True, rule.like), Side(rule, False, rule.unlike)
    return [side for side in both if side.examples]


def drawn(texts: Sequence[str], seed: str) -> list[str]:
    """Some of the texts, by a hash."""
    return sorted(texts, key=lambda text: hashlib.sha256(f"{seed}/{text}".encode()).digest())[:SHOWN]


def judged(side: Side, language: str, answers: Answers, material: Material, said: Sequence[str]) -> Draft | Refusal:
    """The row, or why there is none."""
    request = one(said[0])
    refused = unfit(request, asks=False)
    if refused:
        return refused
    if any(same(request, text) or similarity(request, text) >= COPIED for text in (*side.rule.like, *side.rule.unlike)):
        return Refusal("copies an example of the policy", side.name, request)
    decided = material.decides(request)
    if side.inside and decided != side.rule.id:
        return Refusal("the clause does not decide on it", f"{side.name}: {decided or 'none does'}", request)
    if not side.inside and decided:
        return Refusal("a clause decides on it", f"{side.name}: {decided}", request)
    assert material.policy is not None
    metadata = {"clause": side.name}
    if side.inside:
        return inside(side.rule, language, material.policy, request, metadata)
    return outside(language, answers, material, request, metadata)


def inside(rule: Rule, language: str, policy: ServingPolicy, request: str, metadata: dict[str, str]) -> Draft | Refusal:
    """What the policy says to a request that the clause catches."""
    texts = words_for(policy, rule.action)
    return Draft(request, in_language(texts, language), language, metadata | {"action": rule.action})


def outside(
    language: str, answers: Answers, material: Material, request: str, metadata: dict[str, str]
) -> Draft | Refusal:
    """What is said to a request that no clause catches."""
    metadata = metadata | {"action": "answer"}
    if found := answers.sentence(request):
        passage, sentence = found
        if passage.locale.partition("-")[0] == language.partition("-")[0]:
            told = metadata | from_passage(passage) | {"documents": passage.document, "answer": "quoted"}
            return Draft(request, sentence, language, told, licence=material.licence)
    best = answers.best(request)
    if best.share >= UNCLEAR:
        return Refusal(
            "unclear whether the documents answer it", f"{best.share:.2f} of its words: {best.text}", request
        )
    abstain = in_language(words_for(material.policy, "abstain"), language)
    return Draft(request, abstain, language, metadata | {"documents": ""})
