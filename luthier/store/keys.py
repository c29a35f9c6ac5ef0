"""API keys: issued, recognised and revoked. Their state is folded from events; of a secret only its sha256 is kept.

A secret has 256 random bits, so its plain hash cannot be guessed back.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import NamedTuple, get_args

from luthier.access import Audience, Principal, known_roles
from luthier.errors import BadConfig, UnknownName
from luthier.records.base import sha256
from luthier.store.ledger import Event, Ledger

PREFIX = "sk-luthier-"
SUBJECT = "key:"


class Key(NamedTuple):
    """What is known of a key."""

    id: str
    """First 12 letters of its hash: how people name it."""
    name: str
    """Whose it is. One person may have several keys and is still one person."""
    roles: tuple[str, ...]
    audience: Audience
    at: str
    by: str
    revoked: str | None
    """When it was revoked."""


def issue(ledger: Ledger, name: str, roles: Sequence[str], audience: Audience, by: str) -> str:
    """A new key for `name`. The secret is returned here and never again."""
    if not name.strip() or not roles:
        raise BadConfig("a key has a name and at least one role", "give both")
    if audience not in get_args(Audience):
        raise BadConfig(f"no audience is called {audience!r}", f"there are: {', '.join(get_args(Audience))}")
    secret = PREFIX + secrets.token_urlsafe(32)
    body = {"name": name, "roles": list(known_roles(roles)), "audience": audience}
    ledger.tell(_subject(secret), "issued", body, by)
    return secret


def recognise(ledger: Ledger, secret: str) -> Principal | None:
    """Who holds `secret`; None for one that was never issued, or revoked."""
    if not secret.startswith(PREFIX) or not secret.isascii():
        return None
    key = next(iter(_fold(ledger.events(subject=_subject(secret)))), None)
    return Principal(key.name, key.roles, key.audience) if key and not key.revoked else None


def revoke(ledger: Ledger, key: str, by: str) -> None:
    """Revoke a key by its id, or all that a name holds."""
    issued = {event.subject: event for event in ledger.events(verb="issued") if event.subject.startswith(SUBJECT)}
    live = {known.id: known for known in ls(ledger) if not known.revoked}
    chosen = {known.id for known in live.values() if key in (known.id, known.name)}
    if not chosen:
        there = ", ".join(f"{known.id} ({known.name})" for known in live.values()) or "none"
        raise UnknownName(f"no key in use is called {key!r}", f"in use: {there}")
    for subject in issued:
        if subject.removeprefix(SUBJECT)[:12] in chosen:
            ledger.tell(subject, "revoked", by=by)


def ls(ledger: Ledger) -> list[Key]:
    """Every key that was ever issued, in the order of issue."""
    events = [*ledger.events(verb="issued"), *ledger.events(verb="revoked")]
    return _fold(event for event in events if event.subject.startswith(SUBJECT))


def _fold(events: Iterable[Event]) -> list[Key]:
    """The keys that `events` tell of."""
    keys: dict[str, Key] = {}
    for _, subject, verb, body, at, by, _leaf in events:
        if verb == "issued":
            short = subject.removeprefix(SUBJECT)[:12]
            keys[subject] = Key(short, body["name"], tuple(body["roles"]), body["audience"], at, by, None)
        elif verb == "revoked" and subject in keys:
            keys[subject] = keys[subject]._replace(revoked=at)
    return list(keys.values())


def _subject(secret: str) -> str:
    return SUBJECT + sha256(secret.encode())
