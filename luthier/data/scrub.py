"""The scrubber: personal data out, typed placeholders in, the same one for the same person all through a dialogue.

What it knows is what its recognisers know; `score.py` says how much that is. Scrubbing twice is scrubbing once: texts
are looked through until nothing more is found, for a language model sees other things once a name is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from luthier.data.placeholders import Draft
from luthier.data.recognisers.hit import Hit
from luthier.data.spans import normal, settle, subject_key
from luthier.errors import Missing
from luthier.lm.language import language_of
from luthier.lm.pull import local
from luthier.records.data import Found, Scrubbed

__all__ = ["PERSONAL", "PresidioScrubber", "Scrubber", "subject_key"]

PERSONAL = frozenset({"PERSON", "IBAN", "CARD", "EMAIL", "PHONE", "ADDRESS", "ID", "ACCOUNT", "IP", "SECRET"})
"""What is replaced unless the caller says otherwise; ORGANISATION, PLACE and URL are recognised on demand."""
MODEL = "en-core-web-sm"
"""The pulled model that is used unless a folder is given."""
WINDOW = 20_000
"""Characters that go through the language model at once."""
OVERLAP = 400
"""Characters that two windows share, so that nothing is cut in two."""


class Scrubber(Protocol):
    """What an extension of kind `scrubber` returns when it is called with `allow=` (words that are nobody's name)."""

    def dialogue(self, texts: Sequence[str], language: str = "en") -> list[Scrubbed]:
        """The texts of one dialogue, scrubbed together."""


def scrub_all(scrubber: Scrubber, batch: Sequence[tuple[Sequence[str], str]]) -> list[list[Scrubbed]]:
    """Several dialogues, each with its language: together where the scrubber can, else one after the other."""
    together: Callable[[Sequence[tuple[Sequence[str], str]]], list[list[Scrubbed]]] | None
    together = getattr(scrubber, "dialogues", None)
    return together(batch) if together else [scrubber.dialogue(texts, language) for texts, language in batch]


class PresidioScrubber:
    """Presidio with the small English spaCy model of `spacy_folder` (by default the pulled one) and our recognisers.

    `allow` holds what is nobody's: the company's and its products' names, its own telephone numbers. Raises Missing
    where the packages or the model are not there. May be shared by threads.
    """

    def __init__(
        self, spacy_folder: Path | None = None, *, allow: Iterable[str] = (), types: Iterable[str] = PERSONAL
    ) -> None:
        try:
            with absent("torch", "transformers", "tensorflow"):
                from luthier.data.analyzer import Analyzer
        except ModuleNotFoundError as error:
            raise Missing(
                f"personal data cannot be found without {error.name}", "run: pip install 'luthier[data]'"
            ) from error
        self.analyzer = Analyzer(spacy_folder or local(MODEL))
        self.types = frozenset(types)
        self.allowed = frozenset(normal(phrase) for phrase in allow)
        self.allowed_words = frozenset(word for phrase in self.allowed for word in phrase.split())

    @staticmethod
    def made_with() -> str:
        """The versions of what finds: written into every dataset."""
        return f"presidio-analyzer {version('presidio-analyzer')}, spacy {version('spacy')}, {MODEL}"

    def find(self, text: str, language: str = "") -> list[Found]:
        """The personal data in one text, in order, without overlaps."""
        spans = settle(text, self.hits([text], language or language_of(text))[0])
        return [Found(start, end, kind, text[start:end]) for start, end, kind in spans]

    def dialogue(self, texts: Sequence[str], language: str = "") -> list[Scrubbed]:
        """The texts of one dialogue, with one placeholder for one value throughout."""
        return self.dialogues([(texts, language)])[0]

    def dialogues(self, batch: Sequence[tuple[Sequence[str], str]]) -> list[list[Scrubbed]]:
        """Several dialogues, each with its language, through the model together: the same results, sooner."""
        drafts = [Draft(texts) for texts, _ in batch]
        languages = [language or language_of("\n".join(texts)) for texts, language in batch]
        while waiting := [(number, place) for number, draft in enumerate(drafts) for place in draft.waiting()]:
            for language in sorted({languages[number] for number, _ in waiting}):
                here = [(number, place) for number, place in waiting if languages[number] == language]
                found = self.hits([drafts[number].views[place] for number, place in here], language)
                for (number, place), hits in zip(here, found, strict=True):
                    drafts[number].add(place, hits)
            for number in {number for number, _ in waiting}:
                drafts[number].render()
        return [draft.scrubbed() for draft in drafts]

    def hits(self, texts: Sequence[str], language: str) -> list[list[Hit]]:
        """What is found in each text, overlaps included, less what is allowed. Long texts go window by window."""
        cuts = [(place, start) for place, text in enumerate(texts) for start in windows(text)]
        pieces = [texts[place][start : start + WINDOW] for place, start in cuts]
        hits: list[list[Hit]] = [[] for _ in texts]
        for (place, start), found in zip(cuts, self.analyzer.find(pieces, language, self.types), strict=True):
            moved = (hit._replace(start=hit.start + start, end=hit.end + start) for hit in found)
            hits[place] += [hit for hit in moved if not self.is_allowed(hit.type, texts[place][hit.start : hit.end])]
        return hits

    def is_allowed(self, kind: str, value: str) -> bool:
        """Whether `value` is on the caller's list: whole, or for names word by word."""
        if not self.allowed:
            return False
        if normal(value) in self.allowed:
            return True
        return kind in {"PERSON", "ORGANISATION"} and all(word in self.allowed_words for word in normal(value).split())


@contextmanager
def absent(*packages: str) -> Iterator[None]:
    """Imports inside see none of `packages` that is not loaded already.

    spaCy and Presidio import torch and transformers wherever they are installed, only to ask what they could do with
    them: seven seconds and half a gigabyte, in processes that are to run without tensors.
    """
    hidden = [package for package in packages if package not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how the import system says: not there
    try:
        yield
    finally:
        for package in hidden:
            sys.modules.pop(package, None)


def windows(text: str) -> Iterator[int]:
    """Where the windows of a long text begin, at a blank where there is one near."""
    start = 0
    yield start
    while start + WINDOW < len(text):
        blank = text.rfind(" ", start + WINDOW - 2 * OVERLAP, start + WINDOW - OVERLAP)
        start = blank + 1 if blank >= 0 else start + WINDOW - OVERLAP
        yield start
