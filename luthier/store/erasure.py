"""Erasure of blobs: a tombstone first, then the bytes. Records stay, and say what was there."""

from __future__ import annotations

from collections.abc import Iterable

from luthier.errors import UnknownName
from luthier.store.blobs import DIGEST
from luthier.store.ledger import Event
from luthier.store.workspace import Workspace


def erase(workspace: Workspace, digests: Iterable[str], why: str, by: str) -> Event:
    """Delete blobs for good; killed on the way, the audit says which are still there, and erasing again finishes it.

    `why` stands in the ledger for ever, so it names nobody.
    """
    going = sorted(set(digests))
    for digest in going:
        if not DIGEST.fullmatch(digest):
            raise UnknownName(f"{digest[:80]!r} is no blob's name", "a blob is named by 64 hexadecimal digits")
    tombstone = workspace.ledger.tell("blobs", "erased", {"blobs": going, "why": why}, by)
    for digest in going:
        workspace.blobs.delete(digest)
    workspace.blobs.sweep(older_than=3600)
    return tombstone
