"""What the databases' own errors mean to a user, and the mend: one table for SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3

from luthier.errors import BadConfig, Busy, LuthierError, NoRoom, RunFailed, Tampered, Unavailable
from luthier.store.files import no_room

Meaning = tuple[type[LuthierError], str, str]
BUSY: Meaning = (Busy, "{where} has been held by another writer for too long ({said})", "try again when it is done")
FULL: Meaning = (NoRoom, "", "")
DAMAGED: Meaning = (Tampered, "{where} is damaged, or not a database at all ({said})", "restore it from a backup")
CLOSED: Meaning = (BadConfig, "{where} does not let us in ({said})", "check its path or URL, and the rights to it")
AWAY: Meaning = (Unavailable, "{where} cannot be reached ({said})", "start the server, or mend LUTHIER_LEDGER_URL")
OTHER: Meaning = (RunFailed, "{where}: {said}", "run: luthier audit verify; if it is whole, check disk and server")

MEANINGS: dict[int | str, Meaning] = {
    # SQLite's result codes, extended or primary: https://sqlite.org/rescode.html
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR_WRITE: FULL,  # a quota or a file-size limit
    sqlite3.SQLITE_IOERR_SHMSIZE: FULL,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_CANTOPEN: CLOSED,
    sqlite3.SQLITE_READONLY: CLOSED,
    sqlite3.SQLITE_PERM: CLOSED,
    # PostgreSQL's SQLSTATE, whole or its class: https://www.postgresql.org/docs/current/errcodes-appendix.html
    "40": BUSY,
    "55": BUSY,
    "53100": FULL,
    "XX": DAMAGED,
    "28": CLOSED,
    "3D": CLOSED,
    "42501": CLOSED,
    "08": AWAY,
    "53": AWAY,
    "57": AWAY,
}


def meaning(error: BaseException, where: str) -> LuthierError:
    """Our error for the driver's `error` at the database `where`."""
    said = next(iter(str(error).strip().splitlines()), type(error).__name__)
    kind, what, mend = _look_up(error, said)
    if kind is NoRoom:
        return no_room(where)
    return kind(what.format(where=where, said=said), mend)


def _look_up(error: BaseException, said: str) -> Meaning:
    if isinstance(error, UnicodeDecodeError) or "decode to UTF-8" in said:  # the module's own complaint, without a code
        return DAMAGED
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)
        return MEANINGS.get(code) or MEANINGS.get(code & 0xFF) or OTHER
    state = getattr(error, "sqlstate", None)
    if state is None:  # an operation without one had no answer that could have carried it
        return AWAY if type(error).__name__ == "OperationalError" else OTHER
    return MEANINGS.get(state) or MEANINGS.get(state[:2]) or OTHER
