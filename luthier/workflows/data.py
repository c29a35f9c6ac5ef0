"""Sources and accepted reviews → dataset version; looking into files and measuring the scrubber."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from luthier import plugins
from luthier.data import build as building
from luthier.data import score as scoring
from luthier.data.leakage import Protected
from luthier.data.protected import read_protected
from luthier.data.raw import Raw
from luthier.data.sources import Extra
from luthier.feedback import reviews
from luthier.gateway.desk import Scrubber
from luthier.records.base import Parent
from luthier.records.data import DatasetVersion, Row
from luthier.store import erasure
from luthier.workflows.session import Session

REVIEWS = "accepted-reviews"


def build(session: Session, previous: DatasetVersion | None = None) -> DatasetVersion:
    """The next version of the project's dialogues, accepted reviews included; `previous` where nothing has changed."""
    workspace = session.workspace
    version = building.build(
        session.project.data,
        session.root,
        workspace.blobs,
        key=workspace.pseudonym_key,
        previous=previous,
        now=building.Now(
            accepted(session),
            datetime.now(UTC).date().isoformat(),
            forgotten=erasure.forgotten(workspace.ledger),
            protected=protected(session),
        ),
        progress=session.progress,
    )
    workspace.ledger.put(version, session.by)
    return version


def protected(session: Session) -> list[Protected]:
    """The questions that training must not see: those of the evaluation, and of the files that the project names."""
    named = dict.fromkeys((*session.project.evaluation.questions, *session.project.data.protect))
    return [question for name in named for question in read_protected(session.root / name)]


def accepted(session: Session) -> list[Extra]:
    """The dialogues of accepted reviews as one more source, each a parent of the version that it goes into."""
    found = reviews.accepted_rows(session.workspace)
    if not found:
        return []
    rows = [Raw(number, row.messages, row.language, row.metadata) for number, row in enumerate(found, start=1)]
    parents = tuple(Parent("review", row.metadata["review"]) for row in found)
    return [Extra(REVIEWS, rows, parents=parents)]


def scrubber(session: Session) -> Scrubber:
    """The project's scrubber, which leaves alone what the project says is nobody's."""
    part = session.project.data
    made: Scrubber = plugins.find("scrubber", part.scrubber)(allow=part.allow)
    return made


def latest(session: Session) -> DatasetVersion | None:
    """The newest version of the project's dialogues."""
    versions = [v for v in session.workspace.ledger.ls("dataset") if isinstance(v, DatasetVersion)]
    return next((v for v in versions if v.name == session.project.data.name), None)


def questions(session: Session, most: int) -> list[str]:
    """Opening questions of the newest dialogues, scrubbed: what customers usually ask."""
    version = latest(session)
    if version is None:
        return []
    asked: list[str] = []
    for line in session.workspace.blobs.lines(erasure.left_of(session.workspace.ledger, version).rows):
        row = Row.model_validate(line)
        asked += [message.content for message in row.messages if message.role == "user"][:1]
        if len(asked) >= most:
            break
    return asked


def score(dialogues: Path, gold: Path, name: str = "presidio") -> dict[str, scoring.Score]:
    """Recall and precision of the scrubber on marked dialogues, by type of personal data."""
    texts: dict[str, tuple[list[str], str]] = {}
    for found in plugins.find("source", "chat-jsonl")(dialogues, {}):
        if isinstance(found, Raw):
            dialogue = found.metadata.get("dialogue", str(found.line))
            texts[dialogue] = ([message.content for message in found.messages], found.language)
    return scoring.score(texts, scoring.read_marked(gold), plugins.find("scrubber", name)())
