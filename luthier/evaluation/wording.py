"""Whether an answer says a thing: texts and figures brought to one spelling. Pure; knows nothing of scores.

`2.000 EUR`, `2,000 EUR`, `2 000eur` and `2000.00 EUR` are one spelling; `0.8` does not stand in `10.8`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

GROUPED = re.compile(r"(?<![\d.,])(?<!\d )([1-9]\d{0,2})([.,' ])(\d{3}(?:\2\d{3})*)(?:[.,](\d{1,2}))?(?!\d|[.,]\d)")
"""Thousands apart: 1,234 or 1.234.567,89. Three digits behind one sign are thousands, unless a 0 leads: 0.125."""
DECIMAL = re.compile(r"(?<![\d.,])(\d+)[.,](\d+)(?!\d|[.,]\d)")
TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|\S")
DECORATION = re.compile(r"\s*\[\d+\]|[*`]|(?<![^\W_])_+|_+(?![^\W_])")
"""Citation markers, and emphasis in Markdown: `_` around a word, not the one in `card_arrival`."""
ONE_SIGN = str.maketrans({"’": "'", "‘": "'", "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-"})


def plain(text: str) -> str:
    """`text` in one spelling: lower case, one blank for many, figures without groups and idle zeros."""
    text = DECORATION.sub("", unicodedata.normalize("NFKC", text)).translate(ONE_SIGN).casefold()
    text = GROUPED.sub(lambda m: decimal(m[1] + re.sub(r"\D", "", m[3]), m[4] or ""), " ".join(text.split()))
    return DECIMAL.sub(lambda m: decimal(m[1], m[2]), text)


def decimal(whole: str, fraction: str) -> str:
    """A figure without zeros that change nothing: 8.50 is 8.5, and 8.00 is 8."""
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def words(text: str) -> list[str]:
    """Words and figures of `text` in one spelling, without punctuation."""
    return [token for token in TOKEN.findall(plain(text)) if token[0].isalnum()]


def says(text: str, fact: str) -> bool:
    """Whether `text` contains `fact`, whose spellings stand between `|`."""
    spelt = plain(text)
    return any(found(spelling).search(spelt) for spelling in fact.split("|") if spelling.strip())


@lru_cache(maxsize=4096)
def found(spelling: str) -> re.Pattern[str]:
    """The pattern that finds `spelling` in plain text: blanks are free, figures whole, words from their first letter.

    A word may go on (`day` is found in `days`) but not begin earlier (`able` is not found in `unable`).
    """
    tokens = TOKEN.findall(plain(spelling))
    if not tokens:  # neither a word nor a figure: it is found as it stands
        return re.compile(re.escape(plain(spelling).strip()))
    pattern = ""
    for before, token in zip(["", *tokens], tokens, strict=False):
        apart = r"\s+" if before[-1:].isdigit() and token[0].isdigit() else r"\s*"
        pattern += (apart if before else "") + re.escape(token)
    if tokens[0][0].isdigit():
        pattern = r"(?<!\d)(?<!\d\.)" + pattern
    elif tokens[0][0].isalpha():
        pattern = r"(?<![^\W\d_])" + pattern
    if tokens[-1][-1].isdigit():
        pattern += r"(?!\d|\.\d)"
    return re.compile(pattern)
