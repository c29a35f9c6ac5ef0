"""Detector `refusal`: answers that decline. Pure; English, German, Spanish, French, Italian, Portuguese, Dutch, Polish.

A company's assistant has to decline at times, so this is something to look at and to keep in proportion (Röttger et al.
2024, XSTest, arXiv:2308.01263), and a limit only where every refusal is unwanted. An answer that begins by declining
scores 1; one that declines on its way, 0.5.
"""

from __future__ import annotations

from luthier.data.detectors.said import answers, patterns
from luthier.records.data import Row

FIRST = 160
"""Characters that an answer begins with."""


def refusal(row: Row) -> float:
    """1 where an answer begins by declining, 0.5 where it declines later, else 0."""
    declines, worst = patterns("refusal"), 0.0
    for text in answers(row):
        found = declines.search(text.lower())
        if found:
            worst = max(worst, 1.0 if found.start() < FIRST else 0.5)
    return worst
