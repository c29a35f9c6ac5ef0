"""Dataset versions side by side, as files, and by name; what people in them asked to be forgotten is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from luthier.data import build, croissant, tags
from luthier.data import diff as diffing
from luthier.data import export as exporting
from luthier.errors import Missing
from luthier.records.data import DatasetVersion, Split
from luthier.store import erasure
from luthier.workflows.data import latest
from luthier.workflows.session import Session


def resolved(session: Session, name: str | None) -> DatasetVersion:
    """The version of that tag or id; the newest where none is named. Raises UnknownName, Missing."""
    version = tags.resolve(session.workspace.ledger, name) if name else latest(session)
    if version is None:
        raise Missing("there is no dataset yet", "build one first: luthier data build")
    return version


def before(session: Session, version: DatasetVersion) -> DatasetVersion:
    """The version that was made before this one. Raises Missing."""
    parent = next((parent.id for parent in version.parents() if parent.role == "previous"), None)
    if parent is None:
        raise Missing("there is no version before this one", "name two versions: luthier data diff A B")
    return session.workspace.ledger.get(parent, DatasetVersion)


def diff(session: Session, old: DatasetVersion, new: DatasetVersion) -> diffing.Diff:
    """How `new` differs from `old`; both as far as they are left."""
    ledger = session.workspace.ledger
    kept, now = erasure.left_of(ledger, old), erasure.left_of(ledger, new)
    forgotten = sum(old.counts.values()) - sum(kept.counts.values())
    return diffing.diff(kept, now, session.workspace.blobs, forgotten)


def export(
    session: Session, version: DatasetVersion, to: Path, kind: str, split: Split | None = None
) -> exporting.Exported:
    """Write a version, or one split of it, in a format."""
    left = erasure.left_of(session.workspace.ledger, version)
    return exporting.export(build.rows(left, session.workspace.blobs, split), to, kind)


def card(session: Session, version: DatasetVersion, to: Path, url: str = "") -> tuple[dict[str, Any], Path]:
    """The Croissant card of a version, and the path of its rows, which are put into the folder `to` for it."""
    ledger, blobs = session.workspace.ledger, session.workspace.blobs
    left = erasure.left_of(ledger, version)
    rows = to / "rows.jsonl"
    blobs.fetch(left.rows, rows)
    made_on = ledger.events(version.id, "recorded")[0].at[:10]
    told = croissant.Published(session.project.name, made_on, rows.name, rows.stat().st_size, url)
    return croissant.card(left, told, version.id), rows
