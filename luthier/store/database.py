"""Databases by URL, SQLite or PostgreSQL: opening and transactions. Knows no table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from luthier.errors import BadConfig, Busy, Missing
from luthier.store.faults import meaning

PATIENCE = 30.0
"""Seconds that a writer waits for the one before it."""
WRITERS = 0x6C757468
"""The PostgreSQL advisory lock that puts writers in a queue, as BEGIN IMMEDIATE does in SQLite."""


def connect(url: str | URL, *, erasable: bool = False) -> Engine:
    """An engine for `url`; nothing is read yet.

    An append-only database syncs each commit: what was recorded outlives a power cut. An `erasable` one overwrites
    what it deletes and syncs now and then: a power cut may cost it the last moments, a killed process nothing.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise BadConfig("the database URL cannot be read", "write it like postgresql://user@host/name") from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise BadConfig(f"databases of kind {parsed.drivername!r} are not supported", "use postgresql:// or sqlite:///")
    try:
        if parsed.get_backend_name() == "postgresql":
            return create_engine(parsed, pool_pre_ping=True, connect_args={"connect_timeout": 10})
        engine = create_engine(parsed, connect_args={"timeout": PATIENCE})
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise Missing(
            f"no driver for {parsed.drivername} is installed", "run: pip install 'luthier[postgres]'"
        ) from error
    pragmas = (
        "journal_mode=WAL",
        f"synchronous={'NORMAL' if erasable else 'FULL'}",
        f"secure_delete={'ON' if erasable else 'OFF'}",
        "foreign_keys=ON",
        "cell_size_check=ON",
        "trusted_schema=OFF",
    )

    @event.listens_for(engine, "connect")
    def _set(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun by us, below
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one moment of the database from end to end."""
    options = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with understood(engine), engine.execution_options(**options).begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that is the only writer from its beginning: all of it lands, or nothing does."""
    with understood(engine), engine.execution_options(writes=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITERS})
        yield connection


@contextmanager
def understood(engine: Engine) -> Iterator[None]:
    """Turn the database's errors into ours."""
    try:
        yield
    except DBAPIError as error:
        raise meaning(error.orig or error, name(engine)) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:  # from `_set`, and from text that is none: not wrapped
        raise meaning(error, name(engine)) from error
    except PoolTimeout as error:
        raise Busy(f"too many threads use {name(engine)} at once", "try again") from error


def name(engine: Engine) -> str:
    """The database as a person knows it: a path, or a URL without its password."""
    return str(engine.url.database if engine.dialect.name == "sqlite" else engine.url.render_as_string())
