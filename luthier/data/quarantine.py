"""Refused lines as they are kept: source, line, reason, and how the line begins, scrubbed like everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from luthier.data.raw import Refused
from luthier.errors import BadData
from luthier.records.data import Scrubbed

SHOWN = 80
"""Characters of a refused line that are kept."""


class Quarantined(NamedTuple):
    """A line of a source that was refused or left out."""

    source: str
    refused: Refused
    detail: str = ""
    """What is special about this one, beside the reason that is counted."""


def excerpt_of(line: Quarantined, scrubbed: Scrubbed) -> dict[str, Any]:
    """A line of the quarantine blob. The excerpt is cut after it was scrubbed, so that no half number is left."""
    source, refused, detail = line
    said = {"detail": detail} if detail else {"excerpt": scrubbed.text[:SHOWN]}
    return {"source": source, "line": refused.line, "reason": refused.reason} | said


def check(lines: Sequence[Quarantined], rows: int, most: float) -> None:
    """Raise BadData where more than the share `most` of `rows` lines was refused, naming the first of each reason."""
    if len(lines) <= most * rows:
        return
    first: dict[str, Quarantined] = {}
    for line in lines:
        first.setdefault(line.refused.reason, line)
    examples = "; ".join(f"{each.source}:{each.refused.line}: {reason}" for reason, each in list(first.items())[:5])
    raise BadData(
        f"{len(lines)} of {rows} lines are no dialogues ({examples})",
        "mend the source, or raise data.most_quarantined if that many may be left out",
    )
