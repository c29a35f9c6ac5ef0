"""Does a quote carry a claim? A judgement by words and figures, in English, German and Spanish. Pure.

A quote carries a claim when it has every figure of it (number, amount, time), every name, and most of its words, and
does not say the opposite in the same words. It does not understand: a paraphrase without common words is not
recognised, and a falsehood made of the quote's own words may be.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from luthier.lm.figures import FIGURE_WORDS, Figure, figures, missing_figures
from luthier.lm.sentences import sentences
from luthier.lm.words import EMPTY, GERMAN, stem

LEAST_SHARE = 0.6
"""Share of a claim's words that the quote has to have."""
SAME_WORDS = 0.8
"""From this share on a sentence says the same or the opposite, and a negation more or less tells which."""

_WORD = re.compile(r"[^\W\d_]+")
_NAME = re.compile(r"(?<=[\w,;:\"“„(] )[A-ZÄÖÜÁÉÍÓÚÑ][\w-]+")
_NEGATION = re.compile(
    r"\b(?:not|no(?!\.? ?\d)|none|never|neither|nor|cannot|without|nicht|nie|niemals|kein\w*|ohne|nunca|jamás|tampoco"
    r"|sin|ni)\b|n['’]t\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Claim:
    """What a sentence states, taken apart once and held against many quotes."""

    words: frozenset[str]
    figures: tuple[Figure, ...]
    names: frozenset[str]
    negations: int

    @classmethod
    def of(cls, text: str) -> Claim:
        return cls(stems(text), figures(text), names(text), negations(text))

    def __bool__(self) -> bool:
        """Does it state anything at all?"""
        return bool(self.words or self.figures)

    def share(self, quote: str) -> float:
        """Share of the claim's words that `quote` has; 1 where the claim is a figure alone."""
        return len(self.words & stems(quote)) / len(self.words) if self.words else 1.0

    def carried_by(self, quote: str, under: str = "") -> bool:
        """Does `quote`, which stands under the headings `under`, carry the claim?"""
        return (
            self.share(quote) >= LEAST_SHARE
            and not missing_figures(self.figures, figures(quote))
            and self.names <= stems(f"{under} {quote}")
            and not self.denied_by(quote)
        )

    def denied_by(self, quote: str) -> bool:
        """Is the sentence of `quote` nearest to the claim made of the same words, with one negation more or less?"""
        shares = [(self.share(sentence.text), sentence.text) for sentence in sentences(quote)]
        share, nearest = max(shares, default=(0.0, ""))
        return share >= SAME_WORDS and negations(nearest) % 2 != self.negations % 2


@lru_cache(maxsize=8192)
def stems(text: str) -> frozenset[str]:
    """The stems of the words that say something: function words and the words of figures are left out."""
    found = (word.casefold() for word in _WORD.findall(unicodedata.normalize("NFC", text)))
    return frozenset(stem(word) for word in found if len(word) > 2 and word not in EMPTY | FIGURE_WORDS)


def names(text: str) -> frozenset[str]:
    """Stems of the words with a capital inside a sentence. None for German, where every noun has one."""
    words = [word.casefold() for word in _WORD.findall(text)]
    german = sum(word in GERMAN or bool(set("äöüß") & set(word)) for word in words)
    if 2 * german >= max(2, len(words) // 2):
        return frozenset()
    return frozenset().union(*(stems(name) for name in _NAME.findall(text)))


def negations(text: str) -> int:
    """How many words of `text` deny something."""
    return len(_NEGATION.findall(text))
