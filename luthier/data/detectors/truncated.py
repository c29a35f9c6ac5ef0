"""Detector `truncated`: answers that stop in the middle, as logs and exports with a limit of letters have them. Pure.

Judged by the end alone. A code block that nobody closes is sure; a last word that wants another (`and the`) nearly;
a missing full stop is a hint, and headings, list items and answers of a few words need none.
"""

from __future__ import annotations

import re

from luthier.data.detectors.said import CODE, FENCE, answers, words
from luthier.lm.words import words as as_set
from luthier.records.data import Row

PAIRS = {")": "(", "]": "[", "}": "{"}
ENDS = frozenset(".!?…。！？؟।:)]}\"'”’»›>*`|~」』】）")
"""What a finished text may end with."""
HANGING = as_set(
    """a an and are as at because but by can for from has have if in is my of on or our that the their to was will with
    your aber auf bei das dass dem den der des die durch ein eine einen einer für ihre ihren im ist mit oder sowie um
    und von wenn wird zu zum zur al con de del el en la las los para por que sin sobre su sus un una y au aux avec ce
    ces dans des du est et le les leur ou par pour sur une vos votre da di il nel per che e o em na no os um uma"""
)
"""Words after which another has to come, in English, German, Spanish, French, Italian and Portuguese."""
LIST = re.compile(r"[ \t]*(?:[-*•+]|\d{1,2}[.)]|#{1,6}|\|)[ \t]+\S")
ENOUGH = 10
"""Words from which on an answer without a full stop is unusual."""


def truncated(row: Row) -> float:
    """How much the end of an answer looks cut off; the worst of the row's answers counts."""
    return max(map(cut, answers(row)), default=0.0)


def cut(text: str) -> float:
    """1 an open code block, 0.9 a hanging word or comma, 0.7 an open bracket, 0.4 a long text without a full stop."""
    text = text.rstrip()
    if not text:
        return 0.0
    if len(FENCE.findall(text)) % 2:
        return 1.0
    ending = text[-1]
    last = words(text[-40:])[-1:]
    # letters of a list (`plan A`) and names of a thing alone are no hanging words: those are written small
    hanging = ending.isalpha() and last and last[0] in HANGING and len(words(text[:200])) > 3
    if ending in ",;-–—(/" or hanging:
        return 0.9
    if opened(CODE.sub(" ", text)):
        return 0.7
    line = text[text.rfind("\n") + 1 :]
    unfinished = ending not in ENDS and (ending.isalpha() or ending.isdigit()) and ending.isascii()
    return 0.4 if unfinished and not LIST.match(line) and len(words(line)) >= ENOUGH else 0.0


def opened(text: str) -> bool:
    """Whether a bracket is opened that nothing closes. Closing ones alone are list marks and smileys."""
    waiting: list[str] = []
    for letter in text:
        if letter in "([{":
            waiting.append(letter)
        elif letter in PAIRS and waiting and waiting[-1] == PAIRS[letter]:
            waiting.pop()
    return bool(waiting) and not re.search(r"[:;=]-?[(\[{]", text)  # :-( is no bracket
