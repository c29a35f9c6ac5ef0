"""Sources and accepted reviews → dataset version."""

from __future__ import annotations

from typing import NamedTuple

from luthier.records.data import DatasetVersion
from luthier.workflows.session import Session


class Checked(NamedTuple):
    """What a look into a file found."""

    rows: int
    refused: list[tuple[int, str]]
    """Line and reason."""


def latest(session: Session) -> DatasetVersion | None:
    """The newest version of the project's dialogues."""
    versions = [v for v in session.workspace.ledger.ls("dataset") if isinstance(v, DatasetVersion)]
    return next((v for v in versions if v.name == session.project.data.name), None)
