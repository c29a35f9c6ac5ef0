"""Detector `encoding`: text that was decoded wrongly on its way: `fÃ¼r`, lost letters, control characters. Pure.

Mojibake is found by ftfy's heuristic (Robyn Speer 2019, ftfy, doi:10.5281/zenodo.2591652).
"""

from __future__ import annotations

import re

from luthier.data.detectors.said import clipped, words
from luthier.records.data import Row

LOST = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufdd0-\ufdef\ue000-\uf8ff]")
"""Replacement, control and private characters."""
QUESTIONED = re.compile(r"\?(?<=\w\?)\w{2,}(?!\w)")
"""A letter that became a question mark, as in `f?r`."""


def encoding(row: Row) -> float:
    """0 where nothing is damaged, from 0.5 on where something is, 1 where every eighth word is."""
    from ftfy.badness import badness

    text = "\n".join(message.content for message in row.messages)
    damage = broken(text) + (badness(text) if not text.isascii() else 0)
    if not damage:
        return 0.0
    return clipped(0.5 + 4 * damage / max(len(words(text)), 1))


def broken(text: str) -> int:
    """Characters that no keyboard makes, and letters that became question marks, where there are several."""
    marks = len(QUESTIONED.findall(text))
    return len(LOST.findall(text)) + (marks if marks > 1 else 0)  # `is it?yes` happens
