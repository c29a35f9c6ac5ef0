"""The audit: sign what the log is, and later hold everything that is kept against its hash and those signatures.

What it cannot see: somebody with the signing key who rewrites the ledger and every copy of its tree heads. So copy
`checkpoints.jsonl` to where they cannot write, and give that copy to `verify` as its anchor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, text

from luthier.errors import BadConfig, RunFailed, Tampered, UnknownName
from luthier.records.base import sha256
from luthier.records.kinds import BY_KIND
from luthier.store import heads, schema
from luthier.store.database import reading, writing
from luthier.store.heads import SignedHead
from luthier.store.ledger import MEND, RECORDED, leaf, mismatch, now
from luthier.store.merkle import Tree
from luthier.store.schema import CHECKPOINT, EDGE, EVENT, RECORD, TRACE
from luthier.store.workspace import Workspace

FILE = "checkpoints.jsonl"
ERASED = "erased"


class AuditReport(NamedTuple):
    """What an audit counted, and every problem that it found, one sentence each."""

    ok: bool
    events: int
    records: int
    blobs: int
    problems: tuple[str, ...]


class Log(NamedTuple):
    """The events from first to last, as one pass over them sees them."""

    tree: Tree
    recorded: dict[int, tuple[str, str, str]]
    """Number of each `recorded` event: its subject, verb and body."""
    problems: list[str]
    redacted: set[str]
    """Records that an erasure took text out of: an earlier `recorded` event speaks of what they were."""


class Kept(NamedTuple):
    """The records, as one pass over them sees them."""

    records: int
    named: dict[str, str]
    """Each blob that a record names, and that record."""
    links: set[tuple[str, str, str]]
    """Child, role and parent, as the records themselves say."""
    problems: list[str]


def checkpoint(workspace: Workspace) -> SignedHead:
    """Sign the tree of all events so far; the head goes into the ledger and to `checkpoints.jsonl`.

    Raises Tampered rather than sign a log that its earlier heads, or its own hashes, speak against.
    """
    if heads.public(workspace.signing_key) != workspace.public_key:
        raise Tampered("signing.key and signing.pub do not belong together", "restore both from a backup")
    file = workspace.folder / FILE
    filed, problems = heads.read(file)
    with reading(workspace.ledger.engine) as connection:
        stored = signed_heads(connection)
        log = replay(connection, [*stored, *filed], workspace.public_key)
    problems += log.problems + strangers(filed, stored, FILE)
    if problems:
        raise Tampered(f"this log is not signed: {problems[0]}", MEND)
    head = heads.sign(log.tree.size, log.tree.root().hex(), now(), workspace.signing_key)
    with writing(workspace.ledger.engine) as connection:
        twin = next((other for other in signed_heads(connection) if other.size == head.size), None)
        if twin is None:
            connection.execute(insert(CHECKPOINT), head._asdict())
    heads.append(file, [*stored, twin or head])
    return twin or head


def verify(workspace: Workspace, anchor: Path | None = None) -> AuditReport:
    """Hold every event, record, link, signed head and blob against what it must be.

    `anchor`: a copy of `checkpoints.jsonl` that was kept elsewhere. Reads all there is; writes nothing.
    """
    if anchor is not None and not anchor.is_file():
        raise BadConfig(f"there is no file {anchor}", "give a copy of checkpoints.jsonl")
    filed, problems = heads.read(workspace.folder / FILE)
    if anchor is not None:
        brought, garbled = heads.read(anchor)
        problems += garbled or ([] if brought else [f"{anchor} holds no signed tree head to compare with"])
        filed = [*filed, *brought]
    log, kept = Log(Tree(), {}, [], set()), Kept(0, {}, set(), [])
    with noting(problems), reading(workspace.ledger.engine) as connection:
        problems += integrity(connection) + schema.changed(connection)
        stored = signed_heads(connection)
        problems += strangers(filed, stored, FILE)
        log = replay(connection, [*stored, *filed], workspace.public_key)
        problems += log.problems
        kept = check_records(connection, log.recorded, log.redacted)
        problems += kept.problems + check_links(connection, kept.links)
    blobs = check_blobs(workspace, kept.named, problems)
    check_traces(workspace, problems)
    seen = tuple(dict.fromkeys(problems))
    return AuditReport(not seen, log.tree.size, kept.records, blobs, seen)


@contextmanager
def noting(problems: list[str]) -> Iterator[None]:
    """Note the error that damaged rows or pages lead to, and go on behind the block."""
    try:
        yield
    except (Tampered, RunFailed, ValueError, TypeError, KeyError) as error:
        problems.append(f"there is something that cannot be read: {error}")


def replay(connection: Connection, signed: Iterable[SignedHead], key: str) -> Log:
    """Recompute every leaf, and the root wherever one was signed; `key` is the only one that may have signed."""
    connection.execution_options(yield_per=1000)  # a log may be larger than memory
    log = Log(Tree(), {}, [], set())
    waiting: dict[int, list[SignedHead]] = {}
    for head in dict.fromkeys(signed):
        if head.key != key or not head.holds():
            log.problems.append(f"the checkpoint at {head.size} events is not signed by this workspace")
        waiting.setdefault(head.size, []).append(head)
    log.problems.extend(other_roots(log.tree, waiting.pop(0, [])))
    for seq, subject, verb, body, at, by, hashed in connection.execute(select(EVENT).order_by(EVENT.c.seq)):
        if seq != log.tree.size + 1:
            log.problems.append(f"event {log.tree.size + 1} is missing; {seq} stands in its place")
        true = leaf(seq, subject, verb, body, at, by)
        if true != hashed:
            log.problems.append(f"event {seq} is not what was recorded")
        log.tree.add(bytes.fromhex(true))
        log.problems.extend(other_roots(log.tree, waiting.pop(log.tree.size, [])))
        if verb == RECORDED:
            log.recorded[seq] = (subject, verb, body)
        elif verb == ERASED and true == hashed:
            log.redacted.update(json.loads(body).get("records", ()))
    for size, (head, *_) in waiting.items():
        left = log.tree.size
        log.problems.append(f"the log was cut: {size} events were signed on {head.at}, and {left} are left")
    return log


def other_roots(tree: Tree, signed: list[SignedHead]) -> list[str]:
    """A sentence for each head that was signed at this size over another log."""
    other = [head for head in signed if head.root != tree.root().hex()]
    return [f"the first {head.size} events are not those that were signed on {head.at}" for head in other]


def integrity(connection: Connection) -> list[str]:
    """What SQLite's own check of pages, indexes and foreign keys finds; PostgreSQL keeps its own checksums."""
    if connection.dialect.name != "sqlite":
        return []
    found = [row[0] for row in connection.execute(text("PRAGMA integrity_check(20)")) if row[0] != "ok"]
    dangling = [f"a row of {row[0]} points nowhere" for row in connection.execute(text("PRAGMA foreign_key_check"))]
    return [f"the database is damaged: {line}" for line in found + dangling]


def signed_heads(connection: Connection) -> list[SignedHead]:
    """The tree heads in the ledger, the earliest first."""
    columns = [CHECKPOINT.c[field] for field in SignedHead._fields]
    return [SignedHead(*row) for row in connection.execute(select(*columns).order_by(CHECKPOINT.c.size))]


def strangers(filed: list[SignedHead], stored: list[SignedHead], where: str) -> list[str]:
    """A sentence for each filed head that the ledger lacks. It is written there first, so it was removed."""
    lost = sorted(set(filed) - set(stored))
    return [f"the checkpoint at {head.size} events stands in {where} and not in the ledger" for head in lost]


def check_records(
    connection: Connection, recorded: dict[int, tuple[str, str, str]], redacted: Set[str] = frozenset()
) -> Kept:
    """Hold every record against its id and its event, and every event of a record against the record.

    Of a `redacted` record the last event counts: the ones before it speak of a body that was erased.
    """
    named: dict[str, str] = {}
    links: set[tuple[str, str, str]] = set()
    problems: list[str] = []
    records, untold = 0, dict(recorded)
    for record_id, kind, body, seq in connection.execute(select(RECORD).order_by(RECORD.c.seq)):
        records += 1
        if trouble := mismatch(record_id, kind, body, untold.pop(seq, (None, None, None))):
            problems.append(trouble)
            continue
        with noting(problems):
            record = BY_KIND[kind].model_validate_json(body)
            links |= {(record_id, role, parent) for role, parent in record.parents()}
            named |= dict.fromkeys(record.blobs(), record_id)
    last = {subject: seq for seq, (subject, *_) in recorded.items()}
    erased = {seq for seq, (subject, *_) in untold.items() if subject in redacted and seq != last[subject]}
    problems += [
        f"{subject} was recorded as event {seq} and is missing"
        for seq, (subject, *_) in untold.items()
        if seq not in erased
    ]
    return Kept(records, named, links, problems)


def check_links(connection: Connection, due: set[tuple[str, str, str]]) -> list[str]:
    """Hold the lineage against the links that the records speak of."""
    kept = {(child, role, parent) for child, role, parent in connection.execute(select(EDGE))}
    removed = [f"the link from {child} to its {role} was removed" for child, role, _ in sorted(due - kept)]
    return removed + [f"a link from {child} to a {role} was added" for child, role, _ in sorted(kept - due)]


def check_blobs(workspace: Workspace, named: dict[str, str], problems: list[str]) -> int:
    """Hold every blob against its name, and look for each that a record names; how many there are."""
    there: set[str] = set()
    for digest in workspace.blobs.all():
        try:
            for _ in workspace.blobs.chunks(digest):
                pass
        except Tampered as error:
            problems.append(error.what)
        except UnknownName:
            continue  # it was erased while we looked
        there.add(digest)
    erased: set[str] = set()
    with noting(problems):  # the tombstones come last, for the same reason
        for event in workspace.ledger.events(verb=ERASED):
            erased.update(event.body.get("blobs", ()))
    problems += [f"blob {digest[:12]} was erased and is there" for digest in sorted(there & erased)]
    missing = sorted(named.keys() - there - erased)
    problems += [f"blob {digest[:12]}, which {named[digest]} names, is missing" for digest in missing]
    return len(there)


def check_traces(workspace: Workspace, problems: list[str]) -> None:
    """Hold every trace against its hash. Rows may go from there, so what is missing cannot be told."""
    with noting(problems), reading(workspace.traces.engine) as connection:
        problems += integrity(connection)
        for trace, body, digest in connection.execute(select(TRACE.c.id, TRACE.c.body, TRACE.c.digest)):
            if sha256(body.encode()) != digest or json.loads(body).get("id") != trace:
                problems.append(f"trace {trace} is not what was recorded")
