"""Detectors `short` and `long`: answers of a word or two, and dialogues that no context holds. Pure.

A score is linear in words, so a limit is a number of words: `long: 0.5` leaves out what has more than 1,280, `short:
0.7` what has fewer than 3.
"""

from __future__ import annotations

from luthier.data.detectors.said import answers, clipped, words
from luthier.records.data import Row

FEW = 8
"""Words from which on an answer is not short at all."""
MANY = 512
"""Words up to which a row is not long at all: some 700 tokens."""
MOST = 2048
"""Words from which on it is as long as can be."""


def short(row: Row) -> float:
    """How few words the shortest answer has: 0 from 8 words on, 1 where there is none."""
    said = answers(row)
    return max(clipped(1 - len(words(text)) / FEW) for text in said) if said else 0.0


def long(row: Row) -> float:
    """How many words all turns have together: 0 up to 512, 1 from 2,048 on."""
    return clipped((sum(len(words(message.content)) for message in row.messages) - MANY) / (MOST - MANY))
