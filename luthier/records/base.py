"""What every record is: a frozen value with an identity and parents. No clock, no disk, no network.

A *made thing* is named by its content: kind + sha256 of canonical JSON (RFC 8785). Fields at their default are
left out of that JSON, so a field that is added later renames nothing. A *happening* is named by its moment.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, NamedTuple

import rfc8785
from pydantic import BaseModel, ConfigDict

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def canonical(value: Any) -> bytes:
    """`value` as RFC 8785 JSON: one spelling for one meaning, so that it can be hashed."""
    return rfc8785.dumps(value)


def sha256(data: bytes) -> str:
    """The sha256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def happening_id(kind: str, milliseconds: int, entropy: bytes) -> str:
    """`kind-` + 10 letters of time + 16 of entropy (80 bits), Crockford base 32: sorts by time, as ULIDs do."""
    number = (milliseconds << 80) | int.from_bytes(entropy[:10], "big")
    letters = "".join(CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
    return f"{kind}-{letters}"


def short(record_id: str) -> str:
    """An id as people read it: kind and 12 letters. Every command takes it in place of the whole."""
    kind, _, rest = record_id.partition("-")
    return f"{kind}-{rest[:12]}" if len(rest) == 64 else record_id


class Value(BaseModel):
    """A part of a record: frozen, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def body(self) -> dict[str, Any]:
        """The value as JSON data, fields at their default left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Parent(NamedTuple):
    """`id` took part in making a record, as its `role`."""

    role: str
    id: str


class Record(Value):
    """Something the ledger keeps."""

    kind: ClassVar[str]

    def parents(self) -> tuple[Parent, ...]:
        """The records that this one was made from."""
        return ()

    def blobs(self) -> tuple[str, ...]:
        """The digests of the blobs that this record names; an audit asks for each."""
        return ()


class Made(Record):
    """A record named by its content: equal content is the same thing."""

    @property
    def id(self) -> str:
        return f"{self.kind}-{sha256(canonical(self.body()))}"


class Happening(Record):
    """A record named by its moment: each is its own."""

    id: str
