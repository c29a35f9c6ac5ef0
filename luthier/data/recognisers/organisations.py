"""Companies and other bodies, by the form of law behind the name and by the words before it.

They are no personal data: this runs only where ORGANISATION is asked for. Knows no company by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from luthier.data.recognisers.hit import UP, Hit, one_line
from luthier.data.recognisers.names import everyday

WORD = rf"{UP}[\w'’&.]*[\w](?:-{UP}\w*)*"
FORM = one_line(
    r"""
    (?:Inc|Incorporated|Ltd|Limited|LLC|LLP|PLC|plc|Corp|Corporation|Co|Company|GmbH|gGmbH|AG|KG|KGaA|SE|eG|e\.V|OHG
    |S\.?A|S\.?L|S\.?r\.?l|S\.?p\.?A|SARL|SAS|B\.?V|N\.?V|A/S|ApS|AB|ASA|AS|Oy|Oyj|Kft|Zrt|Sp\. z o\.o|s\.r\.o|d\.o\.o
    |Pty|Group|Holdings?|Partners|and Sons|& Sons|Foundation|Institute|University|Bank)
    """
)
"""Forms of law, and words that end the names of bodies."""
AT = one_line(
    r"""
    (?:(?i:works? for|worked for|working for|works? at|worked at|working at|employed (?:by|at)|spent a year at|job at
    |employee of|ceo of|founder of|co-founder of|founders of|arbeite bei|arbeitet bei|trabajo en
    |trabaja en|travaille chez))
    """
)
"""Words that a place of work follows."""


@cache
def patterns() -> tuple[re.Pattern[str], ...]:
    """By the form of law; several names joined, as firms are called; by the words before."""
    several = rf"{WORD}(?: {WORD}){{0,3}}"
    return (
        re.compile(rf"(?<!\w)(?P<name>(?:{WORD},? (?:and |& )?){{1,4}}{FORM})(?!\w)\.?"),
        re.compile(rf"(?<!\w){AT} (?P<name>\d{{0,4}} ?{several})"),
        re.compile(rf"(?<!\w){AT} (?P<name>{WORD}(?:, {WORD})? and {WORD})"),
    )


def organisations(text: str, language: str) -> Iterator[Hit]:
    """Names of companies and other bodies."""
    for pattern in patterns():
        for match in pattern.finditer(text):
            words = re.findall(r"[^\W\d_]+", match.group("name"))
            if not all(everyday(word) for word in words):
                yield Hit(*match.span("name"), "ORGANISATION", 0.6)
