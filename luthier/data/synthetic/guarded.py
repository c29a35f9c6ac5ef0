"""Does a candidate give the evaluation away? The rules are those of `data/leakage.py`, asked for one row at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.data.leakage import USUAL, Protected, Runs, Turns, key_of, worth
from luthier.data.shingles import normal


class Guard:
    """The protected questions, indexed once."""

    def __init__(self, protected: Sequence[Protected]) -> None:
        asked = list({key_of(each.text): each for each in reversed(protected) if worth(each.text)}.values())[::-1]
        self.turns = Turns(asked, USUAL)
        self.runs = Runs(asked, USUAL)

    def given_away(self, turns: Sequence[str]) -> str:
        """Which protected question the turns of a row give away, and how; "" for none."""
        spelt = [normal(turn) for turn in turns if turn]
        for _, name, kind, _ in self.turns.found(spelt):
            return f"{name}, {kind}"
        self.runs.look(spelt, np.zeros(len(spelt), np.int64), ["candidate"], 0)
        found = [leak for _, leak in self.runs.leaks()]
        self.runs.hits.clear()
        self.runs.rows[:] = 0  # what is common is counted among training rows, not among candidates
        return f"{found[0].protected}, ngram" if found else ""
