"""Detector `repetition`: answers that go in circles. Pure.

The measures and limits are those of Rae et al. 2021 (Gopher, arXiv:2112.11446, table A1): characters in the most
frequent 2-, 3- and 4-gram, in all repeated 5- to 10-grams, and in repeated lines and paragraphs. A score of 0.5 is
the paper's limit of whichever measure is the worst, 1 twice that. Unlike there, texts are answers and not web pages:
under 50 words an n-gram counts from its third time on only, under 12 words nothing but one word over and over does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from luthier.data.detectors.said import answers, clipped, words
from luthier.records.data import Row

TOP = {2: 0.20, 3: 0.18, 4: 0.16}
"""Largest share of the characters in the most frequent n-gram."""
REPEATED = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
"""Largest share of the characters in n-grams that occur again."""
LINES = 0.30
"""Largest share of lines, and of paragraphs, that stood there before."""
LINE_CHARACTERS = 0.20
"""Largest share of the characters in them."""
ENOUGH = 12
"""Words below which n-grams say nothing."""
LONG = 50
"""Words from which on saying a thing twice is worth counting."""


def repetition(row: Row) -> float:
    """How far the worst answer goes in circles: 0.5 is the limit of Rae et al. 2021."""
    return max((clipped(circling(text) / 2) for text in answers(row)), default=0.0)


def circling(text: str) -> float:
    """The worst measure of a text, in units of its limit."""
    said = [word.casefold() for word in words(text)]
    if len(said) < ENOUGH:
        most = max(Counter(said).values(), default=0)
        return most / len(said) * 2 if most > 3 else 0.0
    return max(blocks(text, "\n"), blocks(text, "\n\n"), grams(said))


def blocks(text: str, mark: str) -> float:
    """Lines or paragraphs that stood there before: their number and their characters, against the limits."""
    if mark not in text:
        return 0.0
    parts = [part.strip() for part in text.split(mark) if part.strip()]
    if len(parts) < 3:
        return 0.0
    seen: set[str] = set()
    repeats = [part for part in parts if part in seen or seen.add(part)]  # type: ignore[func-returns-value]
    letters = sum(map(len, repeats)) / sum(map(len, parts))
    return max(len(repeats) / len(parts) / LINES, letters / LINE_CHARACTERS)


def grams(said: Sequence[str]) -> float:
    """The n-gram measures. Where no n-gram occurs twice no longer one does, and the count ends."""
    total = sum(map(len, said))
    times = 2 if len(said) >= LONG else 3
    worst = 0.0
    for n in (*TOP, *REPEATED):
        places = range(len(said) - n + 1)
        counts = Counter(tuple(said[at : at + n]) for at in places)
        gram, most = max(counts.items(), key=lambda item: item[1], default=((), 0))
        if most < times:
            return worst
        if n in TOP:  # twice is a turn of phrase, and in an answer soon a fifth of it
            worst = max(worst, most * sum(map(len, gram)) / total / TOP[n]) if most > 2 else worst
        else:
            again = {at + step for at in places if counts[tuple(said[at : at + n])] >= times for step in range(n)}
            worst = max(worst, sum(len(said[at]) for at in again) / total / REPEATED[n])
    return worst
