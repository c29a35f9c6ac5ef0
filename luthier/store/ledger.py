"""The ledger: records with their lineage, and the events that say what became of them. It only ever grows.

A record and the event that tells of it land in one transaction, and the event carries the sha256 of the record's
body, so the Merkle tree over the events covers the records too. Everything read is held against its hash first.
Knows of no particular record; proofs and signatures are the audit's.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from sqlalchemy import Column, Connection, Engine, Text, func, insert, select, type_coerce

from luthier.errors import BadConfig, BadData, Tampered, UnknownName
from luthier.records.base import Happening, Made, Parent, Record, canonical, sha256, short
from luthier.records.kinds import BY_KIND
from luthier.store import lineage
from luthier.store.database import reading, writing
from luthier.store.lineage import Link
from luthier.store.merkle import leaf_hash
from luthier.store.schema import EDGE, EVENT, RECORD

T = TypeVar("T", bound=Record)
RECORDED = "recorded"
MEND = "run: luthier audit verify"


class Event(NamedTuple):
    """Something that happened to `subject`: a record's id, or any other name such as `alias:support`."""

    seq: int
    """1, 2, 3 … without a gap."""
    subject: str
    verb: str
    body: dict[str, Any]
    at: str
    """ISO 8601, UTC."""
    by: str
    leaf: str
    """Its leaf hash in the Merkle tree, in hex."""


class Ledger:
    """Five verbs over one database: put, get, ls, tell, and the way through the lineage."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def put(self, record: Record, by: str = "luthier") -> str:
        """Keep `record` and return its id. Equal content is kept once, however often it is put.

        Raises UnknownName where a parent is not in the ledger, BadConfig where the id is taken by other content.
        """
        record_id, body = spelled(record)
        parents = tuple(dict.fromkeys(record.parents()))
        with writing(self.engine) as connection:
            kept = connection.execute(select(RECORD.c.body).where(RECORD.c.id == record_id)).scalar()
            if kept == body:
                return record_id
            if kept is not None:
                raise BadConfig(f"{record_id} is kept already, with other content", "tell an event about it instead")
            _require(connection, parents, record_id)
            event = _append(connection, record_id, RECORDED, {"sha256": sha256(body.encode())}, by)
            row = {"id": record_id, "kind": record.kind, "body": body, "seq": event.seq}
            connection.execute(insert(RECORD), row)
            if parents:
                edges = [{"child": record_id, "role": role, "parent": parent} for role, parent in parents]
                connection.execute(insert(EDGE), edges)
        return record_id

    def get(self, record_id: str, expect: type[T] = Record) -> T:  # type: ignore[assignment]
        """The record with that id, or whose id begins so (kind and at least 4 letters).

        Raises UnknownName where there is none, several, or one of another kind; Tampered where its hash is wrong.
        """
        with reading(self.engine) as connection:
            found = one(connection, RECORD.c.id, record_id)
            row = connection.execute(TOLD.where(RECORD.c.id == found)).one()
        record = _record(*row)
        if not isinstance(record, expect):
            wanted = getattr(expect, "kind", expect.__name__)
            raise UnknownName(f"{short(found)} is no {wanted}", f"give the id of a {wanted}")
        return record

    def find(self, prefix: str) -> str:
        """The whole id of the one record whose id begins with `prefix`."""
        with reading(self.engine) as connection:
            return one(connection, RECORD.c.id, prefix)

    def ls(self, kind: str, limit: int = 100) -> list[Record]:
        """Records of a kind, the newest first."""
        if kind not in BY_KIND:
            near = get_close_matches(kind, BY_KIND, n=1) or [", ".join(BY_KIND)]
            raise UnknownName(f"the ledger keeps no records of kind {kind!r}", f"there is: {near[0]}")
        newest = TOLD.where(RECORD.c.kind == kind).order_by(RECORD.c.seq.desc()).limit(limit)
        with reading(self.engine) as connection:
            rows = connection.execute(newest).all()
        return [_record(*row) for row in rows]

    def tell(self, subject: str, verb: str, body: dict[str, Any] | None = None, by: str = "luthier") -> Event:
        """Append an event. `body` is JSON data; figures in it are finite. The verb `recorded` is `put`'s own."""
        if verb == RECORDED:
            raise BadConfig(f"{RECORDED!r} is said of records alone, when they are put", "use another verb")
        with writing(self.engine) as connection:
            return _append(connection, subject, verb, body or {}, by)

    def events(
        self, subject: str | None = None, verb: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[Event]:
        """Events in their order, from the one behind number `after` on; all of them, or of one subject or verb."""
        wanted = select(EVENT).where(EVENT.c.seq > after).order_by(EVENT.c.seq).limit(limit)
        if subject is not None:
            wanted = wanted.where(EVENT.c.subject == subject)
        if verb is not None:
            wanted = wanted.where(EVENT.c.verb == verb)
        with reading(self.engine) as connection:
            rows = connection.execute(wanted).all()
        return [_event(*row) for row in rows]

    def ancestors(self, record_id: str) -> list[Link]:
        """Every link on the ways from a record to what it was made from, the nearest first."""
        return self._lineage(record_id, upwards=True)

    def descendants(self, record_id: str) -> list[Link]:
        """Every link on the ways from a record to what was made from it, the nearest first."""
        return self._lineage(record_id, upwards=False)

    def _lineage(self, record_id: str, *, upwards: bool) -> list[Link]:
        with reading(self.engine) as connection:
            return lineage.walk(connection, one(connection, RECORD.c.id, record_id), upwards=upwards)


TOLD = select(
    *(RECORD.c.id, RECORD.c.kind, RECORD.c.body),
    *(type_coerce(EVENT.c[told], Text) for told in ("subject", "verb", "body")),  # null where the event is missing
).join_from(RECORD, EVENT, EVENT.c.seq == RECORD.c.seq, isouter=True)


def now() -> str:
    """This moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def leaf(seq: int, subject: str, verb: str, body: str, at: str, by: str) -> str:
    """The leaf hash of an event, in hex: over the JSON array of its columns as they are kept (RFC 8785)."""
    # For an array of numbers and strings this spelling is the canonical one, and 20 times faster to get.
    text = json.dumps([seq, subject, verb, body, at, by], ensure_ascii=False, separators=(",", ":"))
    return leaf_hash(text.encode()).hex()


def one(connection: Connection, column: Column[str], prefix: str) -> str:
    """The only value of an id column that begins with `prefix`; UnknownName where there is none or several."""
    prefix = prefix.strip()
    kind, _, letters = prefix.partition("-")
    if len(letters) < 4:
        raise UnknownName(f"{prefix!r} is no id", f"give {kind or 'the kind'}, a dash and at least 4 letters")
    among = select(column).where(column >= prefix, column < f"{prefix}\x7f").order_by(column).limit(4)
    found = [str(value) for value in connection.execute(among).scalars()]
    if len(found) == 1 or prefix in found:
        return prefix if prefix in found else found[0]
    if found:
        raise UnknownName(f"several ids begin with {prefix!r}", f"give more letters: {', '.join(map(short, found))}")
    raise UnknownName(f"nothing here has the id {prefix!r}", "check its letters")


def spelled(record: Record) -> tuple[str, str]:
    """The id and the body's one spelling of a record that the ledger keeps."""
    if not isinstance(record, Made | Happening) or record.kind not in BY_KIND:
        raise BadConfig(f"the ledger keeps no {type(record).__name__}", f"it keeps: {', '.join(BY_KIND)}")
    try:
        body = canonical(record.body()).decode()
        record_id = record.id
    except ValueError as error:  # a loss that is not a number, half a character
        raise BadData(f"a {record.kind} holds what JSON cannot: {error}", "leave that figure or text out") from error
    if not record_id.startswith(f"{record.kind}-"):
        raise BadConfig(f"{record_id!r} is no id of a {record.kind}", f"make one with happening_id({record.kind!r}, …)")
    return record_id, body


def _append(connection: Connection, subject: str, verb: str, body: dict[str, Any], by: str) -> Event:
    """Add an event to the open transaction, which is the only writer."""
    if "\x00" in subject + verb + by:
        raise BadData("an event's subject, verb and author are text, without the character 0", "take it out")
    try:
        text = canonical(body).decode()
        seq = (connection.execute(select(func.max(EVENT.c.seq))).scalar() or 0) + 1
        at = now()
        hashed = leaf(seq, subject, verb, text, at, by)
    except ValueError as error:
        raise BadData(f"event {verb!r} holds what JSON cannot: {error}", "leave that figure or text out") from error
    row = {"seq": seq, "subject": subject, "verb": verb, "body": text, "at": at, "by": by, "leaf": hashed}
    connection.execute(insert(EVENT), row)
    return Event(seq, subject, verb, json.loads(text), at, by, hashed)


def _require(connection: Connection, parents: tuple[Parent, ...], child: str) -> None:
    """Raise UnknownName unless every parent is in the ledger."""
    for role, parent in parents:
        if not connection.execute(select(RECORD.c.id).where(RECORD.c.id == parent)).scalar():
            raise UnknownName(
                f"the {role} of {short(child)} is not in the ledger: {short(parent)}", "put it there first"
            )


def _event(seq: int, subject: str, verb: str, body: str, at: str, by: str, hashed: str) -> Event:
    """The event of a row, or Tampered."""
    if leaf(seq, subject, verb, body, at, by) != hashed:
        raise Tampered(f"event {seq} is not what was recorded", MEND)
    return Event(seq, subject, verb, json.loads(body), at, by, hashed)


def _record(record_id: str, kind: str, body: str, *told: str | None) -> Record:
    """The record of a row, or Tampered. `told`: subject, verb and body of its event."""
    if trouble := mismatch(record_id, kind, body, told):
        raise Tampered(trouble, MEND)
    try:
        return BY_KIND[kind].model_validate_json(body)
    except ValidationError as error:
        raise BadData(
            f"{short(record_id)} was written by another version of Luthier: {error.errors()[0]['msg']}",
            "install the newer of the two",
        ) from error


def mismatch(record_id: str, kind: str, body: str, told: tuple[str | None, ...]) -> str | None:
    """How a record's row differs from its id and from the event (subject, verb, body) that told of it, or None."""
    digest = sha256(body.encode())
    if told != (record_id, RECORDED, f'{{"sha256":"{digest}"}}'):
        return f"{short(record_id)} is not what its event says"
    known = BY_KIND.get(kind)
    if known is None or not record_id.startswith(f"{kind}-"):
        return f"{short(record_id)} is of no known kind"
    if issubclass(known, Made) and record_id != f"{kind}-{digest}":
        return f"{short(record_id)} is not the content that its id names"
    return None
