"""Two versions of a dataset side by side: rows in, out and changed, why where that is known, and what each is made of.

Rows are streamed; what is kept is an id for each and a line for those that differ. Knows nothing of the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

from luthier.records.data import DatasetVersion
from luthier.records.labels import LabelType
from luthier.store.blobs import Blobs

LABELS = ("label", "topic", "intent", "category")
"""Metadata that says what a row is about, the first one counts."""
LENGTHS = (10, 50, 200, 1000)
"""Words up to which a row belongs to a bucket."""
FACETS = ("source", "label", "language", "length", "split")
KINDS = frozenset(get_args(LabelType))
"""With these words the changes begin that a label made."""
SHOWN = 1000
"""Rows of each side that are named; all are counted."""


class Line(NamedTuple):
    """A row that differs, and why where that is known."""

    id: str
    source: str
    line: int
    why: str = ""


class Side(NamedTuple):
    """Rows on one side of the difference."""

    rows: int
    why: dict[str, int]
    lines: tuple[Line, ...]
    """The first of them."""


class Diff(NamedTuple):
    """What became of the rows of one version in another."""

    same: int
    into: Side
    out: Side
    changed: Side
    sources: tuple[str, ...]
    """What is said of sources, one sentence each."""
    composition: dict[str, dict[str, tuple[int, int]]]
    """Facet → value → rows before and after."""


class Gathering:
    """Rows of one side as they go by."""

    def __init__(self) -> None:
        self.why: Counter[str] = Counter()
        self.lines: list[Line] = []

    def add(self, line: Line) -> None:
        """Count a row, and name it where there is room."""
        self.why[line.why or "not known"] += 1
        if len(self.lines) < SHOWN:
            self.lines.append(line)

    def side(self) -> Side:
        """All of it."""
        return Side(self.why.total(), dict(self.why.most_common()), tuple(self.lines))


def diff(before: DatasetVersion, after: DatasetVersion, blobs: Blobs, forgotten: int = 0) -> Diff:
    """How `after` differs from `before`, whose rows (or what is left of them) must be there.

    `forgotten`: rows of `before` that went when people asked to be forgotten; they are counted, for nobody names them.
    """
    composition: dict[str, tuple[Counter[str], Counter[str]]] = {name: (Counter(), Counter()) for name in FACETS}
    old = {int(row["id"], 16) for row in counted(before, blobs, composition, 0)}
    new, fresh = set(), {}
    for row in counted(after, blobs, composition, 1):
        new.add(int(row["id"], 16))
        if int(row["id"], 16) not in old:
            fresh[key_of(row)] = Line(row["id"], row["source"], row["line"], "; ".join(labels_of(row)))
    refused = refusals(after, blobs)
    stay = {source.name for source in after.sources}
    out, changed = Gathering(), Gathering()
    for row in blobs.lines(before.rows):
        if int(row["id"], 16) in new:
            continue
        twin = fresh.pop(key_of(row), None)
        place = row["source"], row["line"]
        if twin is not None:
            changed.add(Line(row["id"], *place, how_changed(before, after, row, twin)))
            continue
        gone = "" if row["source"] in stay else "its source was taken out"
        # Lines move when a file is edited: what stood at a place may not be what stands there now.
        moved = digest_of(before, row["source"]) != digest_of(after, row["source"])
        why = refused.get(place, "") or gone or ("its line left the source" if moved else "it is a duplicate now")
        out.add(Line(row["id"], *place, why))
    out.why.update({"forgotten": forgotten} if forgotten else {})
    into = Gathering()
    earlier, were = refusals(before, blobs), {source.name for source in before.sources}
    for line in fresh.values():
        why = "" if line.source in were else "its source is new"
        into.add(
            line._replace(why=why or (f"was refused: {earlier[line[1:3]]}" if line[1:3] in earlier else "new line"))
        )
    return Diff(
        len(old & new), into.side(), out.side(), changed.side(), about(before, after), side_by_side(composition)
    )


def counted(
    version: DatasetVersion, blobs: Blobs, into: dict[str, tuple[Counter[str], Counter[str]]], place: int
) -> Iterator[dict[str, Any]]:
    """The rows of a version, each counted under its facets."""
    for row in blobs.lines(version.rows):
        for facet, value in facets(row).items():
            into[facet][place][value] += 1
        yield row


def facets(row: dict[str, Any]) -> dict[str, str]:
    """What a row is counted under."""
    metadata = row.get("metadata", {})
    words = sum(len(message.get("content", "").split()) for message in row["messages"])
    rated = "" if row.get("good") is None else "wanted" if row["good"] else "not wanted"
    return {
        "source": row["source"],
        "label": next((metadata[name] for name in LABELS if metadata.get(name)), rated or "none"),
        "language": row.get("language") or "unknown",
        "length": bucket(words),
        "split": row["split"],
    }


def bucket(words: int) -> str:
    """The bucket of a length in words."""
    for low, high in zip((0, *LENGTHS), LENGTHS, strict=False):
        if words < high:
            return f"{low}-{high - 1} words"
    return f"{LENGTHS[-1]} words and more"


def key_of(row: dict[str, Any]) -> tuple[str, str]:
    """What stays when a row's words change: its dialogue's name, else its line, in its source."""
    named = row.get("metadata", {}).get("dialogue")
    return row["source"], f"dialogue {named}" if named else f"line {row['line']}"


def how_changed(before: DatasetVersion, after: DatasetVersion, row: dict[str, Any], twin: Line) -> str:
    """Why a row has other words: it was labelled, its source's file was edited, or it was cleaned otherwise."""
    if twin.why and twin.why != "; ".join(labels_of(row)):
        return "it was labelled"
    if digest_of(before, row["source"]) != digest_of(after, twin.source):
        return "its source was edited"
    return "cleaned by another builder" if before.builder != after.builder else "cleaned by other settings"


def labels_of(row: dict[str, Any]) -> list[str]:
    """What annotators' labels changed of a row."""
    return [done for done in row.get("changes", ()) if done.partition(" ")[0] in KINDS]


def digest_of(version: DatasetVersion, source: str) -> str:
    """The digest of a source as a version read it."""
    return next((use.digest for use in version.sources if use.name == source), "")


def refusals(version: DatasetVersion, blobs: Blobs) -> dict[tuple[str, int], str]:
    """Why each line that was quarantined was: no dialogue, its licence, its consent."""
    lines = blobs.lines(version.quarantine) if version.quarantine else ()
    return {(line["source"], line["line"]): line["reason"] for line in lines}


def about(before: DatasetVersion, after: DatasetVersion) -> tuple[str, ...]:
    """What changed about the sources."""
    old, new = ({source.name: source for source in version.sources} for version in (before, after))
    said = [f"{name} was taken out" for name in old if name not in new]
    said += [f"{name} is new ({new[name].licence}, {new[name].consent})" for name in new if name not in old]
    for name in (name for name in new if name in old):
        for field in ("licence", "consent"):
            was, now = getattr(old[name], field), getattr(new[name], field)
            said += [f"{name}: {field} {was} → {now}"] if was != now else []
        said += [f"{name} was edited"] if old[name].digest != new[name].digest else []
    return tuple(said)


def side_by_side(
    composition: dict[str, tuple[Counter[str], Counter[str]]],
) -> dict[str, dict[str, tuple[int, int]]]:
    """Before and after of every value of every facet."""
    return {
        facet: {value: (old[value], new[value]) for value in sorted({*old, *new})}
        for facet, (old, new) in composition.items()
    }
