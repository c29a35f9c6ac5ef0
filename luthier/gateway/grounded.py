"""What of a draft may leave: sentences whose citations hold. Pure; the judgement itself is `lm.grounding`'s.

Where citations are required, a sentence goes when all of its citations fail, and so does a sentence without one that
states a figure that stands in no passage: an invented amount is the worst thing that a bank can say, and so is a
yes to the amount that the asker would like to hear.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from luthier.lm.figures import figures, missing_figures
from luthier.lm.grounding import cite, without_markers
from luthier.lm.sentences import MARKER, sentences
from luthier.records.knowledge import Citation, Passage
from luthier.records.serving import ServingPolicy

_WIDE = re.compile(r"[［【〔](\s*\d[^］】〕]{0,20})[］】〕]")
_STRAY = re.compile(r"[ \t]*\[\s*\^?\d[\d\s,;:†–-]*\]")
_WORD = re.compile(r"\w+")
_ENDED = re.compile(r"[.!?…:][\"'”’»)]*$")
ALIKE_WORDS = 5
"""Words at the beginning by which a draft is known to say that nothing was found."""


class Grounded(NamedTuple):
    """The text that may leave, and the verified citations in it."""

    text: str
    citations: tuple[Citation, ...]


def grounded(draft: str, passages: Sequence[Passage], *, strict: bool) -> Grounded:
    """`draft` with the markers that hold. `strict` also drops the sentences that are not supported."""
    draft = _WIDE.sub(r"[\1]", draft)
    known = figures("\n".join(f"{passage.heading}\n{passage.text}" for passage in passages))
    kept: list[str] = []
    held: list[Citation] = []
    left = 0
    for sentence in sentences(draft):
        gap, left = draft[left : sentence.start], sentence.end
        found = cite(sentence.text, passages)
        good = [citation for citation in found if citation.verified]
        invented = not found and missing_figures(figures(_STRAY.sub("", sentence.text)), known)
        if strict and ((found and not good) or invented):
            continue
        kept += [gap, _with_markers(sentence.text, {citation.marker for citation in good})]
        held += good
    return Grounded("".join(kept).strip(), tuple(held))


def says_not_found(draft: str, policy: ServingPolicy) -> bool:
    """Does the model itself say that it found nothing, in the policy's words of any language?"""
    begins = _beginning(draft)
    texts = policy.messages.get("abstain", {}).values()
    return any(_beginning(text) == begins for text in texts) if begins else True


def whole_sentences(draft: str) -> str:
    """`draft` without a last sentence that was cut off: half of a figure is another figure."""
    found = sentences(draft)
    if not found or _ENDED.search(without_markers(found[-1].text)):
        return draft
    return draft[: found[-1].start].rstrip(" -*•\n\t")


def _beginning(text: str) -> list[str]:
    plain = re.sub(r"n['’]t\b", " not", without_markers(text).casefold())
    return _WORD.findall(plain)[:ALIKE_WORDS]


def _with_markers(sentence: str, numbers: set[int]) -> str:
    """`sentence` with only these numbers in its markers, and without anything else that looks like a marker."""

    def one(match: re.Match[str]) -> str:
        inside = MARKER.search(match[0])
        given = inside[1].split(",") if inside else []
        left = [number for number in dict.fromkeys(int(part) for part in given) if number in numbers]
        lead = match[0][: match[0].index("[")]
        return f"{lead}[{', '.join(map(str, left))}]" if left else ""

    return _STRAY.sub(one, sentence)
