"""Traces of answers: a database apart from the ledger, with its own volume and retention, from which rows can go.

A trace that was deleted is gone from the disk too, not just from the tables.
"""

from __future__ import annotations

from sqlalchemy import Engine, delete, insert, select

from luthier.errors import BadConfig, BadData, Busy, Tampered
from luthier.records.base import canonical, sha256
from luthier.records.serving import Ending, Trace
from luthier.store.database import reading, understood, writing
from luthier.store.ledger import one
from luthier.store.schema import TRACE


class Traces:
    """What was asked and answered, scrubbed, by the id that the caller was given."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def put(self, trace: Trace) -> str:
        """Keep `trace` and return its id. Raises BadConfig where the id is taken by other content."""
        try:
            body = canonical(trace.body()).decode()
        except ValueError as error:
            raise BadData(f"trace {trace.id} holds what JSON cannot: {error}", "leave it out") from error
        with writing(self.engine) as connection:
            kept = connection.execute(select(TRACE.c.body).where(TRACE.c.id == trace.id)).scalar()
            if kept not in (None, body):
                raise BadConfig(f"{trace.id} is kept already, with other content", "give each answer its own id")
            if kept is None:
                row = {"id": trace.id, "model": trace.model, "ending": trace.ending, "body": body}
                connection.execute(insert(TRACE), row | {"digest": sha256(body.encode())})
        return trace.id

    def get(self, trace_id: str) -> Trace:
        """The trace with that id, or whose id begins so. Raises UnknownName, or Tampered where its hash is wrong."""
        with reading(self.engine) as connection:
            found = one(connection, TRACE.c.id, trace_id)
            body, digest = connection.execute(select(TRACE.c.body, TRACE.c.digest).where(TRACE.c.id == found)).one()
        return _trace(found, body, digest)

    def ls(self, limit: int = 50, ending: Ending | None = None, model: str | None = None) -> list[Trace]:
        """Traces, the newest first; all of them, or of one ending or model."""
        wanted = select(TRACE.c.id, TRACE.c.body, TRACE.c.digest).order_by(TRACE.c.id.desc()).limit(limit)
        if ending is not None:
            wanted = wanted.where(TRACE.c.ending == ending)
        if model is not None:
            wanted = wanted.where(TRACE.c.model == model)
        with reading(self.engine) as connection:
            rows = connection.execute(wanted).all()
        return [_trace(*row) for row in rows]

    def delete(self, trace_id: str) -> None:
        """Erase a trace. Its bytes are overwritten, and the write-ahead log that still held them is emptied.

        Raises Busy where a long reader keeps the old pages: the row is gone, and a later delete wipes them.
        """
        with writing(self.engine) as connection:
            found = one(connection, TRACE.c.id, trace_id)
            connection.execute(delete(TRACE).where(TRACE.c.id == found))
        with understood(self.engine), self.engine.connect() as connection:
            bare = connection.connection.driver_connection  # a checkpoint does not run inside a transaction
            kept, *_ = bare.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # type: ignore[union-attr]
        if kept:
            raise Busy(f"{found} is deleted, but a reader holds the pages that it stood on", "delete again later")


def _trace(trace_id: str, body: str, digest: str) -> Trace:
    """The trace of a row, or Tampered."""
    trace = Trace.model_validate_json(body) if sha256(body.encode()) == digest else None
    if trace is None or trace.id != trace_id:
        raise Tampered(f"trace {trace_id} is not what was recorded", "restore traces.db from a backup")
    return trace
