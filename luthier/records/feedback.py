"""What people thought of an answer, and what becomes of it."""

from __future__ import annotations

from typing import ClassVar, Literal

from luthier.records.base import Happening


class ReviewItem(Happening):
    """An answer that a person should look at. Waiting, accepted or rejected: folded from its events."""

    kind: ClassVar[str] = "review"
    trace: str
    reason: Literal["thumb", "comment", "correction", "escalation"]
    rating: Literal["up", "down"] | None = None
    comment: str = ""
    correction: str = ""
    """The answer as it should have been, scrubbed."""
    by: str = ""


ReviewState = Literal["waiting", "accepted", "rejected"]
