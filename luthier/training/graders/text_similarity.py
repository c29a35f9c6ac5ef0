"""Marks how much an answer is like its reference: by letters or by words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal

from luthier.errors import BadConfig
from luthier.records.base import Value
from luthier.training.graders.grader import Folders, Grade, Grader, Sample, filled, understood


class TextSimilarity(Value):
    """A likeness from 0 to 1."""

    name: str = ""
    """What people call it."""
    input: str = "{{sample.output_text}}"
    """The text that is looked at."""
    reference: str = "{{item.reference_answer}}"
    """The text that it is compared with."""
    evaluation_metric: Literal["fuzzy_match", "token_f1"] = "fuzzy_match"
    """`fuzzy_match`: share of letters in common runs; `token_f1`: precision and recall of words."""


def ratio(text: str, wanted: str) -> float:
    """2 M / T for M letters in common runs of T in both (Ratcliff and Obershelp 1988)."""
    return SequenceMatcher(None, text, wanted, autojunk=False).ratio()


def token_f1(text: str, wanted: str) -> float:
    """Harmonic mean of precision and recall over words (Rajpurkar et al. 2016, arXiv:1606.05250), articles kept."""
    said, meant = (Counter(re.findall(r"\w+", each.casefold())) for each in (text, wanted))
    if not said or not meant:
        return float(said == meant)
    return 2 * (said & meant).total() / (said.total() + meant.total())


METRICS: dict[str, Callable[[str, str], float]] = {"fuzzy_match": ratio, "token_f1": token_f1}


def grader(spec: Mapping[str, Any], folders: Folders) -> Grader:
    """The likeness of each answer to its reference."""
    given = understood(TextSimilarity, spec, "text_similarity")

    def grade(samples: Sequence[Sample]) -> list[Grade]:
        return [mark(given, sample) for sample in samples]

    return grade


def mark(given: TextSimilarity, sample: Sample) -> Grade:
    """The mark of one answer."""
    try:
        text, wanted = filled(given.input, sample).strip(), filled(given.reference, sample).strip()
    except BadConfig as error:
        return Grade(0.0, error.what)
    if not wanted:
        return Grade(0.0, f"row {sample.row} has no text to compare with")
    return Grade(METRICS[given.evaluation_metric](text, wanted))
