"""Whole-set detector: one question, answered with figures that exclude each other. Pure.

Two turns ask the same where the words that say something are the same: order, endings, case and politeness aside, but
never `not`, a figure, or what was said before. Their answers contradict each other where each states a figure that the
other lacks: `9 EUR` and `9 EUR within 5 days` agree, `9 EUR` and `8 EUR` do not. Claims without figures are not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import combinations
from typing import NamedTuple

from luthier.data.detectors.said import PLACEHOLDER, words
from luthier.lm.figures import FIGURE_WORDS, Figure, figures, missing_figures
from luthier.lm.words import EMPTY, stem
from luthier.lm.words import words as as_set
from luthier.records.data import Row

NEGATIONS = as_set("not no never without cannot nicht kein keine keinen nie ohne nunca sin jamás ni")
ASKING = as_set(
    """how what when where which who why many much wie was wann wo warum wer viel cuánto cuánta cómo qué cuándo dónde
    quién"""
)
SILENT = EMPTY - NEGATIONS - ASKING
FEWEST = 2
"""Stems that a question needs: `And then?` is asked everywhere."""


class Said(NamedTuple):
    """An answer to a question that several rows ask."""

    row: str
    source: str
    line: int
    question: str
    answer: str
    figures: tuple[Figure, ...]


class Contradiction(NamedTuple):
    """Two answers to one question, and the figures that each has for itself."""

    one: Said
    other: Said
    only_one: tuple[str, ...]
    only_other: tuple[str, ...]


def contradictions(rows: Callable[[], Iterable[Row]], most: int = 1000) -> list[Contradiction]:
    """Every pair of contradicting answers, at most `most` of them, in the order of the rows.

    `rows` is called twice, so that of a million questions only those are kept that are asked again: 8 bytes each
    (about 100 with Python's own weight) on the first way through, the answers on the second.
    """
    seen: set[int] = set()
    again: set[int] = set()
    for row in rows():
        for key, _, _ in asked(row):
            (again if key in seen else seen).add(key)
    del seen
    groups: dict[int, dict[tuple[str, ...], Said]] = {}
    for row in rows():
        for key, question, answer in asked(row):
            if key in again and (found_figures := stated(answer)):
                said = Said(row.id, row.source, row.line, question, answer, found_figures)
                # one answer for each set of figures: a thousand equal answers are compared once
                groups.setdefault(key, {}).setdefault(tuple(sorted({figure.value for figure in found_figures})), said)
    found: list[Contradiction] = []
    for group in groups.values():
        for one, other in combinations(group.values(), 2):
            only_one, only_other = (
                missing_figures(one.figures, other.figures),
                missing_figures(other.figures, one.figures),
            )
            if only_one and only_other:
                found.append(Contradiction(one, other, values(only_one), values(only_other)))
                if len(found) == most:
                    return found
    return found


def stated(answer: str) -> tuple[Figure, ...]:
    """The figures that an answer states; those of placeholders are none."""
    return figures(PLACEHOLDER.sub(" ", answer))


def values(found: tuple[Figure, ...]) -> tuple[str, ...]:
    """The figures as they are read, each once."""
    return tuple(dict.fromkeys(figure.value for figure in found))


def asked(row: Row) -> Iterator[tuple[int, str, str]]:
    """Key, question and answer of every question of a row that says enough to be asked twice.

    Answers that nobody learns are none: those of weight 0, and that of a row which somebody rated as not wanted.
    """
    before: tuple[str, ...] = ()
    question = ""
    for message in row.messages:
        if message.role == "user":
            question = message.content
            before = (*before, meaning(question))
        elif message.role == "assistant" and question and message.content:
            learnt = message.weight != 0 and not (row.good is False and message is row.messages[-1])
            if learnt and len(before[-1].split()) >= FEWEST:
                # the system message belongs to the question: another product, another price
                head = row.messages[0].content if row.messages[0].role == "system" else ""
                digest = blake2b("\n".join((head, *before)).encode("utf-8", "replace"), digest_size=8).digest()
                yield int.from_bytes(digest, "big"), question, message.content
            question = ""


def meaning(question: str) -> str:
    """The stems of the words that say something, sorted, then the figures: equal for the same question."""
    text = PLACEHOLDER.sub(lambda match: f" {match.group()[1:].partition('_')[0]} ", question)
    stems = {
        stem(word)
        for word in words(text.casefold())
        if word not in SILENT and word not in FIGURE_WORDS and not any(letter.isdigit() for letter in word)
    }
    stated = sorted({" ".join((figure.value, *figure.units[:1])) for figure in figures(text)})
    return " ".join([*sorted(stems), *(each.replace(" ", "_") for each in stated)])
