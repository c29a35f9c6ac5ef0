"""Where a row comes from and whether it may be used: licence, basis of its use, person, date. Pure.

A row says these itself, in its metadata (a column of a table, a key of a line), or its source says them for all of its
rows. A basis may end: `newsletter until 2027-01-31`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from luthier.data.raw import Raw, Refused
from luthier.records.project import SourceSpec

KEYS = {"licence": "licence", "consent": "consent", "collected": "collected"}
"""Metadata that says it where a source does not name others. `subject` has none: in tickets that is a headline."""
END = re.compile(r"\buntil (\d{4}-\d{2}-\d{2})$")


class Rules(NamedTuple):
    """Which rows may be used. An empty list allows everything."""

    licences: Sequence[str] = ()
    consents: Sequence[str] = ()
    today: str = ""
    """ISO date; without it no basis ends."""
    forgotten: frozenset[str] = frozenset()
    """Keyed hashes of people whose rows are not to be used again."""


def told(raw: Raw, require: Sequence[str], spec: SourceSpec) -> Raw | Refused:
    """`raw` with what its metadata says of its origin, or a refusal where something required is said nowhere."""
    metadata = dict(raw.metadata)
    said = {field: metadata.pop(key, "") for field, key in (KEYS | spec.origin).items()}
    made = raw._replace(
        metadata=metadata,
        licence=raw.licence or said["licence"],
        consent=raw.consent or said["consent"],
        subject=raw.subject or said.get("subject", ""),
        collected=raw.collected or said["collected"],
    )
    for field in require:
        if not (getattr(made, field) or getattr(spec, field, "")):
            return Refused(raw.line, f"neither the row nor its source names its {field}", raw.messages[0].content)
    return made


def barred(licence: str, consent: str, rules: Rules) -> str:
    """Why a row of this licence and basis is left out, or "" where it may be used."""
    if rules.licences and licence not in rules.licences:
        return f"the licence {licence or '(none)'} is not among those allowed"
    basis = END.sub("", consent).strip()
    if rules.consents and basis not in rules.consents:
        return f"the consent {basis or '(none)'} is not among those that hold"
    end = END.search(consent)
    return f"the consent ended on {end[1]}" if end and rules.today > end[1] else ""
