"""Where a person stands in a workspace: rows, traces, reviews, documents, labels, logs, and the owner's own files.

Reads everything and changes nothing. A person is looked for by their keyed hash, by the bytes of their name, and by
what only they said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from luthier.data.spans import normal, subject_key
from luthier.errors import BadConfig
from luthier.records.base import Made, Record
from luthier.records.data import DatasetVersion
from luthier.records.feedback import ReviewItem
from luthier.records.kinds import BY_KIND
from luthier.records.knowledge import IndexVersion
from luthier.records.labels import LabelSet
from luthier.records.serving import Deployment
from luthier.records.training import ModelVersion, Run
from luthier.store import erasure, scan
from luthier.store.ledger import Ledger
from luthier.workflows.session import Session

ALL = 1_000_000
IDENTIFYING = 40
"""A text of so many letters is nobody else's: whoever says it elsewhere says it for this person."""
PLAIN = (".log", ".jsonl", ".json", ".txt", ".csv", ".md", ".html")
"""Endings of files in the workspace from which a line can be taken."""
NOT_FED = ("previous", "labelled", "labels")
"""Roles of parents whose rows are not in what came of them: labels are of rows that stand there themselves, or not."""
HOUSE = ("checkpoints.jsonl", "index.json", "vault.jsonl")
"""Files of the workspace that are never rewritten here."""


class Subject(NamedTuple):
    """A person, as somebody wrote their name, number or address."""

    values: tuple[str, ...]
    """Empty where only keys were given."""
    keys: tuple[str, ...]
    """Keyed hashes, the person's name in this workspace."""

    def needles(self, texts: Sequence[str] = ()) -> scan.Needles:
        """What a byte scan looks for."""
        return scan.needles(self.values, texts)


class Seen(NamedTuple):
    """A record that was made from the person's rows, and the command that makes it anew without them."""

    record: Record
    id: str
    mend: str


class Found(NamedTuple):
    """Everything in the workspace that is about a person, and where their own files name them."""

    rows: dict[str, frozenset[str]]
    """Dataset version → ids of the rows that go."""
    texts: tuple[str, ...]
    """What stands in those rows and in no other."""
    traces: tuple[str, ...]
    reviews: tuple[str, ...]
    documents: tuple[str, ...]
    blobs: tuple[str, ...]
    """Other blobs that hold the value or the texts: samples of reports, questions, rows that no version names."""
    labels: tuple[str, ...]
    """Sets of labels in which somebody labelled those rows, or named the person."""
    files: tuple[str, ...]
    """Logs and the like, below the workspace."""
    lines: dict[str, tuple[int, ...]]
    """The owner's files, and the lines in them that name the person: not touched."""
    seen: tuple[Seen, ...]
    ids: frozenset[str] = frozenset()
    """Of all rows that go or went."""
    dialogues: frozenset[tuple[str, str]] = frozenset()
    """Dataset and dialogue of each: what the vault files its entries under."""

    def nothing(self) -> bool:
        """Whether the workspace knows the person not at all."""
        return not any((self.rows, self.traces, self.reviews, self.documents, self.blobs, self.labels, self.files))


def subject_of(session: Session, asked: Sequence[str]) -> Subject:
    """The person whom `asked` names: names, numbers, addresses as they were written, or keys of rows."""
    values = [value for each in asked if (value := " ".join(each.split()))]
    if not values or any(len(normal(value)) < 3 for value in values):
        raise BadConfig("there is nobody of so short a name", "give the whole name, number or address")
    for value in (value for value in values if is_one_word(value)):
        raise BadConfig(f"{value!r} may be a word like any other", "give first and last name, or the row's subject key")
    keys = {value for value in values if is_key(value)}
    spelled = tuple(value for value in values if value not in keys)
    keys |= {subject_key(session.workspace.pseudonym_key, value) for value in spelled}
    return Subject(spelled, tuple(sorted(keys)))


def is_one_word(value: str) -> bool:
    """Whether a value is a single word of a script that has spaces: rows would go in which nobody is called so."""
    return value.isalpha() and " " not in value and value.lower() != value.upper()


def is_key(value: str) -> bool:
    """Whether `value` looks like a keyed hash and not like anything that a person is called."""
    return len(value) == 64 and all(letter in "0123456789abcdef" for letter in value)


def find(session: Session, who: Subject) -> Found:
    """Where the person stands. Reads everything, changes nothing."""
    workspace = session.workspace
    bare = who.needles()
    lines = lines_of(session, bare) if who.values else {}
    versions = [v for v in workspace.ledger.ls(DatasetVersion.kind, ALL) if isinstance(v, DatasetVersion)]
    rows, texts, parents, dialogues = rows_of(session, versions, who, bare)
    ids = frozenset(row for _, row, _ in dialogues)
    wanted = who.needles(texts) if texts else bare
    callers = {normal(value) for value in who.values}

    def theirs(trace: dict[str, Any], body: str) -> bool:
        known = set(trace.get("subjects", ())) & set(who.keys) or trace["id"] in parents
        return bool(known) or normal(trace.get("caller", "")) in callers or wanted.place(body.encode()) is not None

    traces = tuple(erasure.traces_where(workspace, theirs))
    reviews = tuple(item.id for item in reviews_of(session, wanted, {*traces, *parents}, callers))
    labels = tuple(each.id for each in label_sets(session) if any(keeps_out(session, each, ids, wanted)))
    known_as = (*texts, *(f'"id":"{row}"' for row in ids))  # how a row begins in a blob that no version names
    documents, blobs = others(session, who.needles(known_as), {*rows, *labels})
    files = tuple(path for path in logs(session, wanted))
    held = dict.fromkeys(
        [*rows, *(version for key in who.keys for version in erasure.remembered(workspace.ledger, key))]
    )
    pairs = frozenset((dataset, named) for dataset, *names in dialogues for named in names if named)
    history = seen(session, held)
    return Found(rows, texts, traces, reviews, documents, blobs, labels, files, lines, history, ids, pairs)


def rows_of(
    session: Session, versions: Sequence[DatasetVersion], who: Subject, bare: scan.Needles
) -> tuple[dict[str, frozenset[str]], tuple[str, ...], set[str], set[tuple[str, str, str]]]:
    """Of each version the rows to go; the texts that stand in no other row; the traces and reviews they came from;

    and dataset, id and dialogue of every row that goes or went.
    """
    ledger = session.workspace.ledger
    going: set[str] = set()
    for digest in {d for version in versions for state in erasure.states(ledger, version) if (d := state.subjects)}:
        going |= {row for line in lines_in(session, digest) if line["key"] in who.keys for row in line["rows"]}
    rows: dict[str, frozenset[str]] = {}
    said: set[str] = set()
    kept: set[int] = set()
    parents: set[str] = set()
    dialogues: set[tuple[str, str, str]] = set()
    for version, state in ((v, state) for v in versions for state in erasure.states(ledger, v)):
        mine: set[str] = set()
        for line in lines_in(session, state.rows):
            texts = [turn.get("content", "") for turn in (*line["messages"], *line.get("rejected", ()))]
            if line["id"] in going or theirs(line, who, bare):
                mine.add(line["id"])
                dialogues.add((version.name, line["id"], line.get("metadata", {}).get("dialogue", "")))
                said.update(text for text in texts if len(text) >= IDENTIFYING)
                metadata = line.get("metadata", {})
                parents |= {metadata[name] for name in ("trace", "review") if name in metadata}
            else:
                kept.update(map(hash, texts))
        if state == erasure.left_of(ledger, version) and (mine or touched(session, version, who, bare)):
            rows[version.id] = frozenset(mine)
    own = tuple(sorted(text for text in said if hash(text) not in kept))
    return rows, own, parents, dialogues


def lines_in(session: Session, digest: str) -> Iterator[dict[str, Any]]:
    """The lines of a blob; none where an erasure that was cut off has deleted it already."""
    if session.workspace.blobs.has(digest):
        yield from session.workspace.blobs.lines(digest)


def theirs(line: dict[str, Any], who: Subject, bare: scan.Needles) -> bool:
    """Whether a row comes from the person, or the scrubber missed them in it."""
    return line.get("subject") in who.keys or bare.place(json.dumps(line, ensure_ascii=False).encode()) is not None


def touched(session: Session, version: DatasetVersion, who: Subject, bare: scan.Needles) -> bool:
    """Whether the other blobs of a version name the person."""
    left = erasure.left_of(session.workspace.ledger, version)
    subjects = lines_in(session, left.subjects) if left.subjects else ()
    refused = lines_in(session, left.quarantine) if left.quarantine else ()
    return any(line["key"] in who.keys for line in subjects) or any(theirs(line, who, bare) for line in refused)


def reviews_of(session: Session, wanted: scan.Needles, gone: set[str], callers: set[str]) -> list[ReviewItem]:
    """Reviews about one of the traces in `gone`, by the person, or with their words, that hold any text still."""
    found = []
    for item in session.workspace.ledger.ls(ReviewItem.kind, ALL):
        assert isinstance(item, ReviewItem)
        words = item.comment or item.correction
        own = normal(item.by) in callers or wanted.place(item.model_dump_json().encode()) is not None
        if own or (words and ({item.trace, item.id} & gone)):
            found.append(item)
    return found


def others(session: Session, wanted: scan.Needles, handled: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of documents, and other blobs, that hold one of the needles. Blobs of retired versions are not counted."""
    ledger, blobs = session.workspace.ledger, session.workspace.blobs
    replaced = {digest for record in handled for digest in left_blobs(ledger, record)}
    replaced |= erasure.superseded(session.workspace)
    weights = weights_of(ledger)
    found = set()
    for digest in blobs.all():
        if digest in replaced or digest in weights:
            continue
        if scan.found_in(blobs.chunks(digest), wanted) is not None:
            found.add(digest)
    indexes = [index for index in ledger.ls(IndexVersion.kind, ALL) if isinstance(index, IndexVersion)]
    documents = {d.name for index in indexes for d in index.documents if d.digest in found}
    named = {d.digest for index in indexes for d in index.documents if d.name in documents}
    return tuple(sorted(documents)), tuple(sorted(found - named))


def left_blobs(ledger: Ledger, record: str) -> tuple[str, ...]:
    """The blobs that are left of a record."""
    kept: Made = ledger.get(record, Made)
    return erasure.left_of(ledger, kept).blobs()


def label_sets(session: Session) -> list[LabelSet]:
    """Every set of labels."""
    if LabelSet.kind not in BY_KIND:
        return []
    return [each for each in session.workspace.ledger.ls(LabelSet.kind, ALL) if isinstance(each, LabelSet)]


def keeps_out(session: Session, labels: LabelSet, ids: frozenset[str], wanted: scan.Needles) -> Iterator[bool]:
    """For each line of a set of labels whether it goes."""
    for line in lines_in(session, erasure.left_of(session.workspace.ledger, labels).labels):
        yield line["row"] in ids or wanted.place(json.dumps(line, ensure_ascii=False).encode()) is not None


def known(ledger: Ledger, version: str) -> DatasetVersion:
    """The dataset version of that id."""
    return ledger.get(version, DatasetVersion)


def weights_of(ledger: Ledger) -> frozenset[str]:
    """Blobs that are the weights of models: numbers, in which chance alone spells words."""
    models = (model for model in ledger.ls(ModelVersion.kind, ALL) if isinstance(model, ModelVersion))
    return frozenset(d for model in models for file, d in model.files.items() if file.endswith(scan.WEIGHTS))


def logs(session: Session, wanted: scan.Needles) -> Iterator[str]:
    """Files of lines below the workspace that hold one of the needles."""
    folder = session.workspace.folder
    for path in scan.files_of(folder):
        plain = path.suffix in PLAIN and path.name not in HOUSE
        if plain and scan.found_in(scan.pieces(path), wanted) is not None:
            yield str(path.relative_to(folder))


def lines_of(session: Session, bare: scan.Needles) -> dict[str, tuple[int, ...]]:
    """The files that the project is made from, and their lines that name the person."""
    project = session.project
    named = [spec.path for spec in project.data.sources] + [project.knowledge.documents, *project.evaluation.questions]
    paths = [session.root / path for path in dict.fromkeys(named)]
    files = [file for path in paths for file in (scan.files_of(path) if path.is_dir() else [path]) if file.is_file()]
    found = {relative(file, session.root): tuple(scan.lines_with(file, bare)) for file in files}
    return {name: numbers for name, numbers in found.items() if numbers}


def relative(file: Path, root: Path) -> str:
    """A file as the project names it."""
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)


def seen(session: Session, versions: Iterable[str]) -> tuple[Seen, ...]:
    """Every record that was made from these versions, the nearest first, with what makes it anew."""
    ledger = session.workspace.ledger
    ids = dict.fromkeys(versions)
    for version in tuple(ids):
        fed = {version}
        for link in ledger.descendants(version):  # the nearest first; the version after it may hold them no more
            if link.parent in fed and link.role not in NOT_FED:
                fed.add(link.child)
                ids[link.child] = None
    records: list[tuple[str, Record]] = [(record_id, ledger.get(record_id)) for record_id in ids]
    return tuple(Seen(record, record_id, mend(record)) for record_id, record in records)


def mend(record: Record) -> str:
    """The command that makes what took the record's place, or "" where that follows from another."""
    if isinstance(record, DatasetVersion):
        return "luthier data build"
    if isinstance(record, Run | ModelVersion):
        return "luthier data build && luthier train"
    if isinstance(record, Deployment):
        return f"luthier eval, then luthier release propose | approve | deploy MODEL --alias {record.alias}"
    return ""
