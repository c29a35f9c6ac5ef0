"""Tags: names for dataset versions. A tag may be moved; where it pointed before stays in the ledger."""

from __future__ import annotations

import re
from typing import NamedTuple

from luthier.errors import BadConfig, UnknownName
from luthier.records.data import DatasetVersion
from luthier.store.ledger import Event, Ledger

TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TAGGED, UNTAGGED = "tagged", "untagged"


class Tag(NamedTuple):
    """A name and the version that it points to."""

    name: str
    version: str
    by: str
    at: str


def put(ledger: Ledger, name: str, version: DatasetVersion, by: str) -> Tag:
    """Point `name` to `version`; nothing is told where it does already. Raises BadConfig for what is no name."""
    if not TAG.fullmatch(name) or name.startswith(f"{DatasetVersion.kind}-"):
        raise BadConfig(f"{name[:80]!r} is no name for a tag", "use letters, figures, dots, dashes; not dataset-…")
    now = ls(ledger).get(name)
    if now and now.version == version.id:
        return now
    return of(ledger.tell(f"tag:{name}", TAGGED, {"version": version.id}, by))


def remove(ledger: Ledger, name: str, by: str) -> None:
    """Take a tag away. Raises UnknownName where there is none."""
    if name not in ls(ledger):
        raise UnknownName(f"there is no tag {name[:80]!r}", f"there are: {', '.join(ls(ledger)) or 'none'}")
    ledger.tell(f"tag:{name}", UNTAGGED, by=by)


def ls(ledger: Ledger) -> dict[str, Tag]:
    """Every tag as it points now, by name."""
    told = sorted([*ledger.events(verb=TAGGED), *ledger.events(verb=UNTAGGED)])
    newest = {event.subject.removeprefix("tag:"): event for event in told if event.subject.startswith("tag:")}
    return {name: of(event) for name, event in sorted(newest.items()) if event.verb == TAGGED}


def history(ledger: Ledger, name: str) -> list[Tag]:
    """Where a tag pointed, the earliest first."""
    return [of(event) for event in ledger.events(f"tag:{name}", TAGGED)]


def resolve(ledger: Ledger, name: str) -> DatasetVersion:
    """The version of a tag, or of an id or its beginning. Raises UnknownName."""
    tag = ls(ledger).get(name)
    if tag is None and not name.startswith(f"{DatasetVersion.kind}-"):
        raise UnknownName(f"no dataset version is called {name[:80]!r}", "give a tag, or an id as `dataset-…`")
    return ledger.get(tag.version if tag else name, DatasetVersion)


def of(event: Event) -> Tag:
    """The tag that an event tells of."""
    return Tag(event.subject.removeprefix("tag:"), event.body["version"], event.by, event.at)
