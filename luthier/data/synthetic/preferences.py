"""Kind `preferences`: two answers to the question of an existing row, ranked by a rule that anybody can check.

    carried     every sentence is carried by the passage that carries the row's own answer
    complete    it holds every figure of the row's own answer
    chosen      carried and complete
    rejected    not carried, or not complete

Other pairs are refused: no model is asked for its taste.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from luthier.data.synthetic.drafts import Draft, Example, Material, Refusal, Work
from luthier.data.synthetic.groundedness import Answers, uncarried
from luthier.data.synthetic.parsing import prose
from luthier.data.synthetic.questions import from_passage
from luthier.data.synthetic.templates import PREFERENCES
from luthier.data.synthetic.wording import same, unfit, unsaid
from luthier.lm.claims import LEAST_SHARE, Claim
from luthier.lm.figures import figures, missing_figures
from luthier.lm.grounding import without_markers
from luthier.records.knowledge import Passage


class Rank(NamedTuple):
    """How an answer fares by the rule."""

    carried: bool
    uncarried: bool
    """Not even by the milder rule of serving: what lies between is neither."""
    complete: bool

    @property
    def good(self) -> bool:
        return self.carried and self.complete

    @property
    def bad(self) -> bool:
        return self.uncarried or not self.complete

    def __str__(self) -> str:
        carried = "carried" if self.carried else "not carried" if self.uncarried else "hardly carried"
        return f"{carried}, {'complete' if self.complete else 'figures missing'}"


def works(material: Material) -> list[Work]:
    """One candidate for each row whose answer a passage of the documents carries as a whole."""
    made: list[Work] = []
    answers = Answers(material.passages)
    of: dict[str, list[Passage]] = defaultdict(list)
    for passage in material.passages:
        of[passage.document].append(passage)
    for example in material.examples:
        found = gold(example, answers, of)
        if found is None or unfit(example.question, asks=False):
            continue
        fields = {"title": found.title, "passage": found.text.strip(), "question": example.question}
        asked = partial(PREFERENCES.messages, example.language, **fields)
        made.append(Work(example.row, asked, partial(judged, example, found), samples=2))
    return made


def gold(example: Example, answers: Answers, of: Mapping[str, Sequence[Passage]]) -> Passage | None:
    """The first passage of the documents that the row names, or the best one of all, if it carries the row's answer."""
    if not Claim.of(example.answer).words:
        return None
    ours: Sequence[Passage | None]
    if example.documents is None:
        ours = [answers.best(example.answer).passage]
    else:
        ours = [passage for name in example.documents.split(",") for passage in of.get(name, ())]
    return next((each for each in ours if each is not None and not uncarried(example.answer, each)), None)


def rank(answer: str, example: Example, passage: Passage) -> Rank:
    """How `answer` fares."""
    missing = missing_figures(figures(example.answer), figures(answer))
    return Rank(not uncarried(answer, passage), bool(uncarried(answer, passage, LEAST_SHARE)), not missing)


def judged(example: Example, passage: Passage, answers: Sequence[str]) -> Draft | Refusal:
    """The pair, or why there is none."""
    said = [without_markers(prose(text)) for text in answers]
    for answer in said:
        if refused := unsaid(example.question, answer):
            return refused
    if same(*said):
        return Refusal("both answers say the same", "", example.question, said[0])
    ranks = [rank(answer, example, passage) for answer in said]
    better = 0 if ranks[0].good else 1
    if not (ranks[better].good and ranks[1 - better].bad):
        reason = "neither answer is good" if not ranks[better].good else "neither answer is bad"
        return Refusal(reason, f"{ranks[0]}; {ranks[1]}", example.question, " / ".join(said))
    metadata = from_passage(passage) | {
        "from": example.row,
        "dialogue": example.dialogue,
        "documents": passage.document,
        "ranked": f"{ranks[better]} over {ranks[1 - better]}",
    }
    return Draft(
        example.question, said[better], example.language, metadata, said[1 - better], example.licence, example.until
    )
