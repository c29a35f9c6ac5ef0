"""Two questions of a compliance officer: why did it say that, and what did this person's data touch?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from luthier.data.build import impact as rows_of_subject
from luthier.data.spans import subject_key
from luthier.errors import UnknownName
from luthier.records.base import Record
from luthier.records.data import DatasetVersion, Row
from luthier.records.knowledge import IndexVersion
from luthier.records.serving import Deployment, Trace
from luthier.records.training import ModelVersion
from luthier.store import erasure
from luthier.store.ledger import Event
from luthier.workflows.session import Session


class Step(NamedTuple):
    """One record on the way from an answer to its sources: as what it took part, and what it says in a few words."""

    role: str
    id: str
    depth: int
    record: Record


class Why(NamedTuple):
    """An answer and everything that it was made from."""

    trace: Trace
    steps: tuple[Step, ...]
    rows: tuple[Row, ...]
    """Training rows that cite the documents of this answer."""
    approvals: tuple[Event, ...]


class Impact(NamedTuple):
    """What a person's data, or a document, stands in."""

    asked: str
    rows: dict[str, tuple[str, ...]]
    """Dataset version → the rows that it stood in."""
    touched: tuple[Step, ...]
    """Every record made from them: datasets, runs, models, verdicts, deployments."""
    aliases: tuple[str, ...]
    """Where such a model is or was served."""
    forgotten: dict[str, int] = {}
    """Of a person who was forgotten: dataset version → rows of theirs that were erased from it."""


def why(session: Session, answer: str) -> Why:
    """The whole chain behind the answer with that id. Raises UnknownName."""
    ledger = session.workspace.ledger
    trace = session.workspace.traces.get(answer)
    roots = [("deployment", trace.deployment), ("model", trace.model), ("policy", trace.policy), ("index", trace.index)]
    steps: dict[str, Step] = {}
    for role, root in roots:
        if not root or root in steps:
            continue
        steps[root] = Step(role, root, 0, ledger.get(root))
        for link in ledger.ancestors(root):
            steps.setdefault(link.parent, Step(link.role, link.parent, link.depth, ledger.get(link.parent)))
    documents = {citation.document for citation in trace.citations if citation.verified}
    approvals = [event for event in ledger.events(subject=trace.model) if event.verb in ("proposed", "approved")]
    return Why(trace, tuple(steps.values()), tuple(rows_about(session, steps.values(), documents)), tuple(approvals))


def rows_about(session: Session, steps: Iterable[Step], documents: set[str], most: int = 5) -> list[Row]:
    """Training rows, of the version that the model was trained on, whose dialogue is about one of `documents`."""
    if not documents:
        return []
    trained = [step.record for step in steps if step.role == "dataset"]
    found: list[Row] = []
    for version in trained:
        if not isinstance(version, DatasetVersion):
            continue
        for line in session.workspace.blobs.lines(erasure.left_of(session.workspace.ledger, version).rows):
            named = set(line.get("metadata", {}).get("documents", "").split(","))
            if line["split"] == "train" and named & documents:
                found.append(Row.model_validate(line))
                if len(found) == most:
                    return found
    return found


def impact(session: Session, asked: str) -> Impact:
    """What stands on a person (name, IBAN, e-mail …), a row (its id) or a document (its name)."""
    rows: dict[str, tuple[str, ...]] = {}
    ledger = session.workspace.ledger
    key = session.workspace.pseudonym_key
    forgotten = erasure.remembered(ledger, subject_key(key, asked))
    starts: list[str] = list(forgotten)
    for version in ledger.ls("dataset", limit=10_000):
        assert isinstance(version, DatasetVersion)
        left = erasure.left_of(ledger, version)
        found = rows_of_subject(left, session.workspace.blobs, key, asked)
        found = found or [asked] * row_in(session, version, asked)
        if found:
            rows[version.id] = tuple(found)
            starts.append(version.id)
    for index in ledger.ls("index", limit=10_000):
        if isinstance(index, IndexVersion) and any(asked == document.name for document in index.documents):
            starts.append(index.id)
    if not starts:
        raise UnknownName(
            f"nothing in this workspace stands on {asked!r}",
            "give a name, IBAN, row id or document as it was written",
        )
    touched: dict[str, Step] = {start: Step("start", start, 0, ledger.get(start)) for start in starts}
    for start in starts:
        for link in ledger.descendants(start):
            touched.setdefault(link.child, Step(link.role, link.child, link.depth, ledger.get(link.child)))
    aliases = {step.record.alias for step in touched.values() if isinstance(step.record, Deployment)}
    return Impact(asked, rows, tuple(touched.values()), tuple(sorted(aliases)), forgotten)


def row_in(session: Session, version: DatasetVersion, asked: str) -> bool:
    """Whether the version has a row of that id."""
    if len(asked) != 16 or not all(letter in "0123456789abcdef" for letter in asked):
        return False
    left = erasure.left_of(session.workspace.ledger, version)
    return any(line["id"] == asked for line in session.workspace.blobs.lines(left.rows))


def models_in(found: Impact) -> list[ModelVersion]:
    """The models among what was touched."""
    return [step.record for step in found.touched if isinstance(step.record, ModelVersion)]
