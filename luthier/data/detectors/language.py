"""Detector `language`: a question in one language, answered in another. Pure.

By py3langid (luthier.lm.language). It guesses from a dozen words on; shorter turns are left alone, and so are code and
placeholders. Does not know what a row is for: in a set of translations every row scores high, and should.
"""

from __future__ import annotations

from luthier.data.detectors.said import answers, prose, questions, words
from luthier.lm.language import COMMON, identifier_of
from luthier.lm.words import ENGLISH, GERMAN, SPANISH
from luthier.records.data import Row

ENOUGH = 12
"""Words below which a guess is too often wrong."""
CHARACTERS = 600
"""Of a long text, so many tell the language."""


OWN = {"en": ENGLISH - GERMAN - SPANISH, "de": GERMAN - ENGLISH - SPANISH, "es": SPANISH - ENGLISH - GERMAN}
"""Function words of one language alone."""


def language(row: Row) -> float:
    """How sure it is that user and assistant speak two languages: 0 where they speak one, or too little to tell."""
    asked, said = ("\n".join(prose(turn)[:CHARACTERS] for turn in turns) for turns in (questions(row), answers(row)))
    if plainly(asked) == plainly(said) != "":
        return 0.0
    one, other = guess(asked), guess(said)
    if one is None or other is None or one[0] == other[0]:
        return 0.0
    return min(one[1], other[1])


def plainly(text: str) -> str:
    """The language of most rows without asking the model, which takes a hundred times as long; "" where not plain."""
    spoken = [word.casefold() for word in words(text)]
    hits = {name: sum(map(own.__contains__, spoken)) for name, own in OWN.items()}
    best = max(hits, key=lambda name: hits[name])
    return best if hits[best] >= 3 and hits[best] > 2 * (sum(hits.values()) - hits[best]) else ""


def guess(text: str) -> tuple[str, float] | None:
    """The language of a text and how likely it is, or None where the text is too short."""
    identifier = identifier_of(COMMON)
    if identifier is None or len(words(text)) < ENOUGH:
        return None
    best = identifier.rank(text[:CHARACTERS])[0]
    return str(best[0]), float(best[1])
