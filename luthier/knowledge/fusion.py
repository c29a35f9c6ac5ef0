"""Two rankings → one. Pure; knows nothing of texts or indexes.

A convex combination of scores (Bruch, Gai and Ingber 2022, arXiv:2210.11934), each divided by the best of its list.
Ranks alone would let a weak list outvote a strong one: an English embedding model asked in Spanish cost reciprocal
rank fusion .14 of mean reciprocal rank, and this nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

WEIGHT = 0.5  # of the vectors; equal parts: no set that was measured asks for others clearly enough to fit to it
PREFERENCE = 0.1  # what the asker's language counts, where the best score in meaning and words counts 1


def fused(bm25: Mapping[int, float], cosine: Mapping[int, float]) -> dict[int, float]:
    """A score from 0 to 1 for each row of either. A row that one of them lacks has 0 there.

    With one of the two empty the other counts whole.
    """
    weight = WEIGHT if bm25 and cosine else float(not bm25)
    words, meaning = of_best(bm25), of_best(cosine)
    rows = [*bm25, *(row for row in cosine if row not in bm25)]
    return {row: (1 - weight) * words.get(row, 0.0) + weight * meaning.get(row, 0.0) for row in rows}


def of_best(scores: Mapping[int, float]) -> dict[int, float]:
    """Each score as a share of the best one; what is below 0 (opposed in meaning) is 0."""
    best = max(scores.values(), default=0.0)
    return {row: max(0.0, score / best) if best > 0 else 0.0 for row, score in scores.items()}


def preferring(scores: Mapping[int, float], languages: Mapping[int, str], language: str) -> dict[int, float]:
    """`scores` with rows in `language` put forward: enough to win between translations of one text.

    It does not shut out the other languages: not every document is translated, and the language of a question is
    a guess.
    """
    return {
        row: (score + PREFERENCE * (languages[row] == language)) / (1 + PREFERENCE) for row, score in scores.items()
    }
