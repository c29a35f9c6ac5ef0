"""What a recogniser reports, and the small tools that all of them share. Knows no type of personal data itself."""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Hit(NamedTuple):
    """Characters [start, end) look like a `type`. `score`: 1 where a checksum agrees, else less."""

    start: int
    end: int
    type: str
    score: float


def _upper_letters() -> str:
    """Every upper-case letter outside ASCII as ranges for a character class: `re` has no class for them."""
    ranges: list[list[int]] = []
    for code in range(0xC0, 0x590):
        if chr(code).isupper():
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(chr(low) if low == high else f"{chr(low)}-{chr(high)}" for low, high in ranges)


UP = f"[A-Z{_upper_letters()}]"
"""One upper-case letter of any European alphabet."""
BLANK = r"[^\S\n]"
"""A space that does not end the line."""


def one_line(pattern: str) -> str:
    """A regular expression that is written over several lines: the breaks and the blanks behind them are dropped."""
    return re.sub(r"\n *", "", pattern)


@cache
def words(name: str) -> frozenset[str]:
    """The words of `name`.txt beside this module; lines that begin with # are remarks."""
    lines = files("luthier.data.recognisers").joinpath(f"{name}.txt").read_text("utf-8").splitlines()
    return frozenset(sys.intern(word) for line in lines if not line.startswith("#") for word in line.split())


def near(text: str, start: int, end: int, cue: re.Pattern[str], before: int = 40, after: int = 0) -> bool:
    """Whether `cue` occurs in the `before` characters ahead of [start, end), or in the `after` ones behind it."""
    if cue.search(text, max(0, start - before), start):
        return True
    return bool(after) and cue.search(text, end, min(len(text), end + after)) is not None
