"""Detector `templated`: answers that say nothing, or what a form would say. Pure.

The score is the share of an answer's words that stock phrases make up, so a greeting before a real answer costs little.
Knows English, German, Spanish, French, Italian, Portuguese and Dutch.
"""

from __future__ import annotations

import re

from luthier.data.detectors.said import answers, clipped, patterns, words
from luthier.records.data import Row

NOTHING = re.compile(
    r"(?i)\W*(?:n/?a|none|null|nil|nan|undefined|empty|tbd|tba|to be (?:done|defined|announced)|"
    r"no (?:answer|response|comment|reply)|keine antwort|sin respuesta|sans réponse|(?:sem|nessuna) rispost[ao]|"
    r"(?:your |the )?(?:answer|response|text) (?:goes )?here|placeholder|test(?:ing)?|asdf\w*|foo ?bar|string|"
    r"object object)?\W*"
)
REPEAT = re.compile(r"[\W_]+")


def templated(row: Row) -> float:
    """The share of stock phrases in the worst answer: 1 where it is empty or says nothing."""
    asked = {REPEAT.sub(" ", each.content).strip().casefold() for each in row.messages if each.role == "user"}
    return max((hollow(text, asked) for text in answers(row)), default=0.0)


def hollow(text: str, asked: set[str]) -> float:
    """1 for nothing at all or for a question given back, else the share of words that are stock phrases."""
    if NOTHING.fullmatch(text) or REPEAT.sub(" ", text).strip().casefold() in asked:
        return 1.0
    stock = sum(len(words(match.group())) for match in patterns("stock").finditer(text.lower()))
    return clipped(stock / len(words(text))) if stock else 0.0
