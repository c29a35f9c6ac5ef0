"""Erasure: a tombstone first, then the bytes. Records stay, and say what was there.

A version whose rows went is retired: its own blobs are gone, and `left_of` says where the rest of its rows stands.
What is told here stands for ever, so it names nobody: people are keyed hashes.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, select, text, update

from luthier.errors import BadConfig, Busy, UnknownName
from luthier.records.base import Made, Record, canonical, sha256, short
from luthier.records.kinds import BY_KIND
from luthier.store import ledger as ledgers
from luthier.store.blobs import DIGEST
from luthier.store.database import connect, understood, writing
from luthier.store.ledger import Event, Ledger
from luthier.store.schema import RECORD, TRACE, guards
from luthier.store.workspace import Workspace

T = TypeVar("T", bound=Made)
SPEAKING = ("dataset", "labels")
"""Kinds of records whose blobs are lines about people, and may be replaced by others without some."""
ERASED, REPLACED, FORGETTING, FORGOT = "erased", "replaced", "forgetting", "forgot"
REBUILD = "build a new version: luthier data build"
BLOBS = ("rows", "subjects", "quarantine")
"""Blobs of a dataset version that may speak of people."""


def erase(workspace: Workspace, digests: Iterable[str], why: str, by: str) -> Event:
    """Delete blobs for good; killed on the way, the audit says which are still there, and erasing again finishes it.

    `why` stands in the ledger for ever, so it names nobody.
    """
    going = sorted(set(digests))
    for digest in going:
        if not DIGEST.fullmatch(digest):
            raise UnknownName(f"{digest[:80]!r} is no blob's name", "a blob is named by 64 hexadecimal digits")
    tombstone = workspace.ledger.tell("blobs", ERASED, {"blobs": going, "why": why}, by)
    for digest in going:
        workspace.blobs.delete(digest)
    workspace.blobs.sweep(older_than=3600)
    return tombstone


def forgotten(ledger: Ledger) -> frozenset[str]:
    """The keys of every person who asked to be forgotten: a build leaves their rows out. Empty for most projects."""
    return frozenset(key for event in ledger.events(verb=FORGETTING) for key in event.body["keys"])


def remembered(ledger: Ledger, key: str) -> dict[str, int]:
    """Of a person who was forgotten: each dataset version that had held them, and how many rows went. Else nothing."""
    held: Counter[str] = Counter()
    for event in ledger.events(verb=REPLACED):
        if key in event.body["keys"]:
            held[event.subject] += event.body["rows"]
    return dict(held)


def left_of(ledger: Ledger, version: T) -> T:
    """`version` (or a set of labels) with the blobs and counts that are left of it: itself, if nobody was forgotten.

    For whoever looks (diff, show, export, impact); who trains asks `require_whole`. What is left has another `id`:
    name the version by its own.
    """
    return states(ledger, version)[-1]


def states(ledger: Ledger, version: T) -> list[T]:
    """`version` as it was made, and as it stood after each erasure."""
    return [version, *(version.model_copy(update=told.body["left"]) for told in ledger.events(version.id, REPLACED))]


def require_whole(ledger: Ledger, version: Made) -> None:
    """Raise BadConfig where a version is retired: a run on what is left of it would not be a run on this version."""
    if ledger.events(version.id, REPLACED):
        raise BadConfig(f"{short(version.id)} is retired: somebody in it asked to be forgotten", REBUILD)


def replace(workspace: Workspace, version: Made, left: dict[str, Any], gone: dict[str, Any], by: str) -> None:
    """Retire `version`: `left` are its new blobs and counts, `gone` says how much went and on whose account."""
    workspace.ledger.tell(version.id, REPLACED, {"left": left} | gone, by)


def superseded(workspace: Workspace) -> set[str]:
    """Blobs of retired versions that are no longer needed by anything, and are there."""
    ledger = workspace.ledger
    old: set[str] = set()
    needed: set[str] = set()
    for record in (record for kind in SPEAKING if kind in BY_KIND for record in ledger.ls(kind, limit=1_000_000)):
        assert isinstance(record, Made)
        *before, left = states(ledger, record)
        needed |= set(left.blobs())
        old.update(digest for state in before for digest in state.blobs())
    return {digest for digest in old - needed if workspace.blobs.has(digest)}


def traces_where(workspace: Workspace, wanted: Callable[[dict[str, Any], str], bool]) -> list[str]:
    """The ids of the traces for which `wanted` (the trace as JSON data, and its text) holds."""
    engine = workspace.traces.engine
    with understood(engine), engine.execution_options(stream_results=True, yield_per=500).begin() as connection:
        rows = connection.execute(select(TRACE.c.id, TRACE.c.body))
        return [trace for trace, body in rows if wanted(json.loads(body), body)]


def redact(workspace: Workspace, record: Record, fields: dict[str, Any], by: str) -> None:
    """Take text out of a record that is a happening: `fields` in place of its own, the old body overwritten.

    Its id and its links stay. The log says that it was redacted (`erased`), and then what it is now (`recorded`): the
    tree over the events, which holds hashes alone, stands as it was signed. Raises Busy where a long reader holds on.
    """
    ledger = workspace.ledger
    record_id, _ = ledgers.spelled(record)
    body = canonical(record.model_copy(update=fields).body()).decode()
    engine = connect(ledger.engine.url, erasable=True)
    try:
        with writing(engine) as connection:
            ledgers._append(connection, record_id, ERASED, {"records": [record_id], "fields": sorted(fields)}, by)
            told = {"sha256": sha256(body.encode())}
            event = ledgers._append(connection, record_id, ledgers.RECORDED, told, by)
            unguarded(connection, lambda: rewritten(connection, record_id, body, event.seq))
    finally:
        engine.dispose()
    emptied(ledger.engine)


def rewritten(connection: Connection, record_id: str, body: str, seq: int) -> None:
    """Put another body in the place of a record's."""
    connection.execute(update(RECORD).where(RECORD.c.id == record_id).values(body=body, seq=seq))


def unguarded(connection: Connection, change: Callable[[], None]) -> None:
    """Lift the guard of `record` for one change within the open transaction: nobody else ever sees it lifted."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("ALTER TABLE record DISABLE TRIGGER record_no_change"))
        change()
        connection.execute(text("ALTER TABLE record ENABLE TRIGGER record_no_change"))
        return
    guard = next(line for line in guards("sqlite") if line.startswith("CREATE TRIGGER record_no_update "))
    connection.execute(text("DROP TRIGGER record_no_update"))
    change()
    connection.execute(text(guard))


def emptied(engine: Engine) -> None:
    """Empty the write-ahead log of a SQLite database, which holds pages as they were. Raises Busy behind a reader."""
    if engine.dialect.name != "sqlite":
        return
    with understood(engine), engine.connect() as connection:
        bare = connection.connection.driver_connection  # a checkpoint does not run inside a transaction
        assert bare is not None
        busy, *_ = bare.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise Busy("a reader holds old pages of the database", "stop what serves from this workspace, then repeat")


def compacted(path: Path) -> None:
    """Rewrite a SQLite file of another library without its deleted rows, and empty its write-ahead log."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        raise Busy(f"{path} is in use: {error}", "stop what works in this workspace, then repeat") from error
    finally:
        connection.close()
