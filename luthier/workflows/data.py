"""Sources and accepted reviews → dataset version; looking into files and measuring the scrubber."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier import plugins
from luthier.access import Principal, require
from luthier.data import build as building
from luthier.data import score as scoring
from luthier.data.leakage import Protected
from luthier.data.protected import read_protected
from luthier.data.raw import Raw
from luthier.data.semantic import Embed
from luthier.data.sources import Extra
from luthier.data.vault import Vault, restored, vault_key
from luthier.errors import UnknownName
from luthier.feedback import reviews
from luthier.gateway.desk import Scrubber
from luthier.lm.pull import local
from luthier.records.base import Parent
from luthier.records.data import DatasetVersion, Row
from luthier.store import erasure
from luthier.workflows.session import Session
from luthier.workflows.settled import settled_labels

REVIEWS = "accepted-reviews"
VAULT = "vault.jsonl"
REVEALED = "revealed"
"""The verb of the event that says who looked into the vault."""


class Revealed(NamedTuple):
    """A row as it was before it was scrubbed."""

    dataset: str
    row: str
    values: dict[str, str]
    """What stands in the row → what stood there."""
    turns: tuple[tuple[str, str], ...]
    """Roles and texts."""


def build(session: Session, previous: DatasetVersion | None = None) -> DatasetVersion:
    """The next version of the project's dialogues, accepted reviews included; `previous` where nothing has changed.

    What the vault is to keep is added to it once the version is recorded: killed before, it holds nothing of a version
    that is not there; killed between, building again adds it.
    """
    workspace, part = session.workspace, session.project.data
    vault = vault_of(session, create=True) if part.vault else None
    version = building.build(
        part,
        session.root,
        workspace.blobs,
        key=workspace.pseudonym_key,
        previous=previous,
        now=building.Now(
            accepted(session),
            datetime.now(UTC).date().isoformat(),
            forgotten=erasure.forgotten(workspace.ledger),
            protected=protected(session),
            labels=settled_labels(session),
            embed=embedder(session) if part.semantic is not None else None,
            embedder=embedder_name(session),
            vault=vault,
        ),
        progress=session.progress,
    )
    workspace.ledger.put(version, session.by)
    if vault is not None:
        vault.commit()
    return version


def vault_of(session: Session, *, create: bool = False) -> Vault:
    """The vault of the workspace. Raises Missing where its key is lost, or where there is none and none is made."""
    folder = session.workspace.folder
    return Vault(folder / VAULT, vault_key(folder / "keys", create=create))


def embedder_name(session: Session) -> str:
    """What embeds the rows: the project's embedder, unless the data names one of its own."""
    return session.project.data.embedder or session.project.knowledge.embedder


def embedder(session: Session) -> Embed:
    """Texts → unit vectors. The model is looked for now, and read when it is first asked. Raises Missing."""
    folder = local(embedder_name(session))

    @cache
    def model() -> Embed:
        from luthier.lm.embed import Embedder

        return Embedder(folder)

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        return model()(texts)

    return embed


def reveal(session: Session, who: Principal, row: str) -> Revealed:
    """What stood in a row before it was scrubbed. The audit log says first who looked.

    Raises Forbidden without the right `admin`, UnknownName where no version has the row or the vault nothing of it,
    and what the vault raises.
    """
    require(who, "admin")
    ledger = session.workspace.ledger
    versions = (version for version in ledger.ls("dataset", limit=10_000) if isinstance(version, DatasetVersion))
    found = next(((version, line) for version in versions if (line := line_in(session, version, row))), None)
    if found is None:
        raise UnknownName(f"no dataset has a row {row!r}", "give its id: luthier data export shows them")
    version, line = found
    kept = (session.workspace.folder / VAULT).exists()
    values = vault_of(session).reveal(version.name, row) if kept else {}
    if not values:
        mend = "it had no personal data, was built without data.vault, or somebody in it was forgotten"
        raise UnknownName(f"the vault holds nothing of row {row}", mend)
    told = {"dataset": version.id, "values": len(values)}
    ledger.tell(f"row:{row}", REVEALED, told, who.name)
    spoken = [(turn["role"], turn.get("content", "")) for turn in (*line["messages"], *line.get("rejected", ()))]
    texts = restored([text for _, text in spoken], values)
    return Revealed(version.id, row, values, tuple(zip((role for role, _ in spoken), texts, strict=True)))


def line_in(session: Session, version: DatasetVersion, row: str) -> dict[str, Any] | None:
    """A row of what is left of a version, as JSON data."""
    left = erasure.left_of(session.workspace.ledger, version)
    return next((line for line in session.workspace.blobs.lines(left.rows) if line["id"] == row), None)


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
