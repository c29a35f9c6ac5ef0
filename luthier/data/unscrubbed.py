"""Scrubber `none`: takes nothing out. For rows that are public or were scrubbed before; the version keeps saying so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from luthier.records.data import Scrubbed


class Unscrubbed:
    """Gives every text back as it came."""

    def __init__(self, *, allow: Iterable[str] = ()) -> None:
        """`allow` is there for what takes something out."""

    def dialogue(self, texts: Sequence[str], language: str = "en") -> list[Scrubbed]:
        """The texts, in which nothing was looked for."""
        return [Scrubbed(text, ()) for text in texts]
