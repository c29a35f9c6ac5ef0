"""A person is forgotten: out of every dataset, trace, review, index and log of the workspace, shown by a byte scan.

    forgetting → replaced (each dataset version) → reviews, traces, documents, logs → blobs erased → scan → forgot

The events come first, and the blobs that say who stood where go last: killed anywhere, a second call finishes it.
The files that the owner keeps elsewhere are theirs: the lines that name the person are listed, not changed, and no
later build takes them. What is kept of the person is a keyed hash, so that their wish can be honoured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from luthier.data.spans import normal
from luthier.data.vault import Vault, vault_key
from luthier.errors import RunFailed, UnknownName
from luthier.records.data import DatasetVersion
from luthier.records.feedback import ReviewItem
from luthier.records.knowledge import IndexVersion
from luthier.records.labels import LabelSet
from luthier.store import erasure, scan
from luthier.store.files import replacing
from luthier.store.ledger import Ledger
from luthier.workflows.jobs import FILE as JOBS
from luthier.workflows.person import (
    ALL,
    Found,
    Subject,
    find,
    keeps_out,
    known,
    subject_of,
    theirs,
    weights_of,
)
from luthier.workflows.session import Session

WHY = "a person asked to be forgotten"


class Forgot(NamedTuple):
    """What was done."""

    found: Found
    earlier: str
    """When the same person was forgotten before, or ""."""
    files: int
    """Files of the workspace that the byte scan looked through, and found nothing in."""
    bytes: int


def forget(session: Session, asked: Sequence[str]) -> Forgot:
    """Remove the person from the workspace and prove it; the caller holds the workspace's lock.

    Raises UnknownName where nothing here, nor in the sources, names them; Busy where a server still reads;
    RunFailed where the scan finds something that cannot be taken out, naming the file. Call again to finish.
    """
    who = subject_of(session, asked)
    ledger = session.workspace.ledger
    found = find(session, who)
    earlier = next((event.at for event in told_about(ledger, who, erasure.FORGOT)), "")
    begun = bool(told_about(ledger, who, erasure.FORGETTING))
    if found.nothing() and not found.lines and not begun:
        raise UnknownName("nothing in this workspace or its sources names them", "give it as it was written")
    if not begun:
        ledger.tell(name_of(who), erasure.FORGETTING, {"keys": list(who.keys)}, session.by)
    remove(session, who, found)
    files, size = prove(session, who, found)
    if not (earlier and found.nothing()):
        counted = {"traces": len(found.traces), "reviews": len(found.reviews), "documents": len(found.documents)}
        body = counted | {"rows": {version: len(rows) for version, rows in found.rows.items()}}
        ledger.tell(name_of(who), erasure.FORGOT, body | {"files": files, "bytes": size}, session.by)
    erasure.emptied(ledger.engine)
    return Forgot(found, earlier, files, size)


def name_of(who: Subject) -> str:
    """The person's name in events."""
    return f"subject:{who.keys[0][:16]}"


def told_about(ledger: Ledger, who: Subject, verb: str) -> list[Any]:
    """Events of that verb about all of the person's keys."""
    known = erasure.forgotten(ledger)
    return ledger.events(name_of(who), verb) if set(who.keys) <= known else []


def remove(session: Session, who: Subject, found: Found) -> None:
    """Take everything out that was found. The blobs by which it is found go last."""
    workspace, by = session.workspace, session.by
    bare = who.needles()
    for version in found.rows:
        retire(session, known(workspace.ledger, version), who, found.rows[version], bare)
    callers = {normal(value) for value in who.values}
    for review in found.reviews:
        item = workspace.ledger.get(review, ReviewItem)
        fields = {"comment": "", "correction": "", "by": "" if normal(item.by) in callers else item.by}
        erasure.redact(workspace, item, fields, by)
    for trace in found.traces:  # after the reviews, which are found by their traces
        workspace.traces.delete(trace)
    erasure.emptied(workspace.traces.engine)
    undocument(session, found.documents)
    wanted = who.needles(found.texts)
    sealed(session, found)
    for each in found.labels:
        unlabel(session, workspace.ledger.get(each, LabelSet), who, found.ids, wanted)
    for file in found.files:
        unlined(workspace.folder / file, wanted)
    if (workspace.folder / JOBS).is_file():
        erasure.compacted(workspace.folder / JOBS)
    for going in (found.blobs, erasure.superseded(workspace)):  # those last by whose texts the others are found
        if going:
            erasure.erase(workspace, going, WHY, by)


def retire(session: Session, version: DatasetVersion, who: Subject, rows: frozenset[str], bare: scan.Needles) -> None:
    """Write what is left of a version, and say that it took the version's place."""
    blobs = session.workspace.blobs
    now = erasure.left_of(session.workspace.ledger, version)
    counts: Counter[str] = Counter()

    def kept() -> Iterator[dict[str, Any]]:
        for line in blobs.lines(now.rows):
            if line["id"] not in rows:
                counts[line["split"]] += 1
                yield line

    def subjects(digest: str) -> Iterator[dict[str, Any]]:
        for line in blobs.lines(digest):
            left = sorted(set(line["rows"]) - rows)
            if left and line["key"] not in who.keys:
                yield line | {"rows": left}

    def refused(digest: str) -> Iterator[dict[str, Any]]:
        for line in blobs.lines(digest):
            yield line | {"excerpt": ""} if theirs(line, who, bare) else line

    left: dict[str, Any] = {"rows": blobs.put_lines(kept()), "counts": {}}
    left["counts"] = dict(sorted(counts.items()))
    left["subjects"] = blobs.put_lines(subjects(now.subjects)) if now.subjects else None
    left["quarantine"] = blobs.put_lines(refused(now.quarantine)) if now.quarantine else None
    if any(left[name] != getattr(now, name) for name in erasure.BLOBS):
        gone = {"rows": len(rows), "keys": list(who.keys)}
        erasure.replace(session.workspace, version, left, gone, session.by)


def undocument(session: Session, documents: Sequence[str]) -> None:
    """Take documents out of every index, and their bytes out of the blobs."""
    if documents:
        from luthier.knowledge import index  # needs LanceDB, which only a project with an index has

        kept = session.workspace.ledger.ls(IndexVersion.kind, ALL)
        indexes = [each for each in kept if isinstance(each, IndexVersion)]
        for document in documents:
            index.erase(session.workspace, indexes, document, WHY, session.by)


def sealed(session: Session, found: Found) -> None:
    """Take the entries of the person's dialogues out of the vault."""
    folder = session.workspace.folder
    for path in folder.glob("vault*.new"):
        path.unlink()  # of a rewriting that was cut off
    for path in folder.glob("vault*"):
        Vault(path, vault_key(folder / "keys")).forget(found.dialogues)


def unlabel(session: Session, labels: LabelSet, who: Subject, ids: frozenset[str], wanted: scan.Needles) -> None:
    """Write what is left of a set of labels, and say that it took the set's place."""
    now = erasure.left_of(session.workspace.ledger, labels)
    lines = session.workspace.blobs.lines(now.labels)
    kept = [line for line, out in zip(lines, keeps_out(session, labels, ids, wanted), strict=True) if not out]
    left = {"labels": session.workspace.blobs.put_lines(kept), "count": len(kept)}
    gone = {"rows": now.count - len(kept), "keys": list(who.keys)}
    erasure.replace(session.workspace, labels, left, gone, session.by)


def unlined(path: Path, wanted: scan.Needles) -> None:
    """Write a file of lines anew without those that hold one of the needles."""
    with path.open("rb") as old, replacing(path) as new:
        new.writelines(line for line in old if wanted.place(line) is None)


def prove(session: Session, who: Subject, found: Found) -> tuple[int, int]:
    """Look through every byte of the workspace; how many files and bytes. Raises RunFailed where something is left."""
    workspace = session.workspace
    erasure.emptied(workspace.ledger.engine)
    wanted = who.needles(found.texts)
    weights = weights_of(workspace.ledger)
    left, files, size = scan.scan(workspace.folder, wanted, weights)
    elsewhere = workspace.blobs.folder is None or not workspace.blobs.folder.is_relative_to(workspace.folder)
    for digest in workspace.blobs.all() if elsewhere else ():
        files += 1
        at = None if digest in weights else scan.found_in(workspace.blobs.chunks(digest), wanted)
        left += [] if at is None else [scan.Left(f"{workspace.blobs.where}/{digest}", at)]
    if left:
        places = ", ".join(f"{place.file} at byte {place.offset}" for place in left[:5])
        raise RunFailed(
            f"they are not forgotten yet: {len(left)} files still hold them ({places})",
            "what is not Luthier's own take out by hand; then run luthier forget again",
        )
    return files, size
