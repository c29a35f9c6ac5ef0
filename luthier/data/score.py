"""How much a scrubber finds: recall and precision by type against spans that a person marked.

Strict on leaks: a marked span counts as found only where every letter and figure of it is replaced. Mild on edges the
other way: a replaced span is right where it touches a marked one. Types are counted apart: a telephone number that
goes out as <ACCOUNT_1> does not leak.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from luthier.data.scrub import Scrubber, scrub_all
from luthier.errors import BadData
from luthier.records.data import Found


class Marked(NamedTuple):
    """Characters [start, end) of message number `message` of a dialogue are a `type`."""

    dialogue: str
    message: int
    start: int
    end: int
    type: str
    text: str


class Score(NamedTuple):
    """What was found of one type: `marked`, `covered`, `typed` count marked spans, `found` and `right` found ones."""

    marked: int = 0
    covered: int = 0
    """Marked spans of which nothing is left, whatever they were taken for."""
    typed: int = 0
    """Marked spans that were found as what they are."""
    found: int = 0
    right: int = 0

    @property
    def recall(self) -> float:
        """Share of the marked spans that do not leak; 1 where none is marked."""
        return self.covered / self.marked if self.marked else 1.0

    @property
    def precision(self) -> float:
        """Share of the found spans that touch a marked one; 1 where none was found."""
        return self.right / self.found if self.found else 1.0


def read_marked(path: Path) -> list[Marked]:
    """The lines {"dialogue", "message", "start", "end", "type", "text"} of a file."""
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        return [Marked(*(line[field] for field in Marked._fields)) for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadData(
            f"{path} cannot be read as marked spans: {error}", f"each line needs {', '.join(Marked._fields)}"
        ) from error


def score(
    dialogues: Mapping[str, tuple[Sequence[str], str]], marked: Iterable[Marked], scrubber: Scrubber
) -> dict[str, Score]:
    """Scores by type, and over `all` types. `dialogues`: by id, the texts of the messages and the language.

    Raises BadData where a marked text does not stand at its place: then the marks belong to another file.
    """
    spans: dict[tuple[str, int], list[Marked]] = {}
    for mark in marked:
        texts = dialogues.get(mark.dialogue, ((), ""))[0]
        if mark.message >= len(texts) or texts[mark.message][mark.start : mark.end] != mark.text:
            raise BadData(
                f"{mark.type} of dialogue {mark.dialogue}, message {mark.message}, does not stand at {mark.start}",
                "give the marks that belong to these dialogues",
            )
        spans.setdefault((mark.dialogue, mark.message), []).append(mark)
    scores: dict[str, Score] = {}
    for (name, (texts, _)), results in zip(dialogues.items(), scrub_all(scrubber, [*dialogues.values()]), strict=True):
        for message, scrubbed in enumerate(results):
            tally(texts[message], spans.get((name, message), []), scrubbed.found, scores)
    return scores


def tally(text: str, marked: Sequence[Marked], found: Sequence[Found], scores: dict[str, Score]) -> None:
    """Count one text into `scores`."""
    covered = {place for span in found for place in range(span.start, span.end)}
    for mark in marked:
        whole = all(place in covered for place in range(mark.start, mark.end) if text[place].isalnum())
        typed = any(span.type == mark.type and span.start < mark.end and span.end > mark.start for span in found)
        add(scores, mark.type, Score(marked=1, covered=whole, typed=typed))
    for span in found:
        right = any(span.start < mark.end and span.end > mark.start for mark in marked)
        add(scores, span.type, Score(found=1, right=right))


def add(scores: dict[str, Score], kind: str, more: Score) -> None:
    """Count `more` under its type and under `all`."""
    for name in (kind, "all"):
        scores[name] = Score(*map(sum, zip(scores.get(name, Score()), more, strict=True)))
