"""Sources in, a DatasetVersion out: read, scrubbed, without duplicates, split, every row traceable to its line.

    rows read = rows kept + duplicates + quarantined

The same sources, settings and key give the same version. Knows nothing of the ledger: who calls puts the record there.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from luthier import __version__, plugins
from luthier.data.dedupe import row_id, same_key
from luthier.data.quarantine import Quarantined, check, excerpt_of
from luthier.data.raw import Raw
from luthier.data.sources import Extra, Source, opened
from luthier.data.spans import subject_key
from luthier.data.split import split_of
from luthier.data.texts import texts_of, with_texts
from luthier.data.workers import CHUNK, scrubbed, work
from luthier.errors import BadData
from luthier.lm.language import language_of
from luthier.progress import Progress, silent
from luthier.records.base import Parent
from luthier.records.data import DatasetVersion, Row, Scrubbed, Split
from luthier.records.project import DataPart
from luthier.store.blobs import Blobs

Thing = TypeVar("Thing")


def build(
    part: DataPart,
    root: Path,
    blobs: Blobs,
    *,
    key: bytes,
    previous: DatasetVersion | None = None,
    extra: Sequence[Extra] = (),
    progress: Progress = silent,
) -> DatasetVersion:
    """The version that `part`'s sources (paths below `root`) and `extra` make; `previous` itself where nothing changed.

    `key` makes the names under which people's rows can be found again. Raises BadConfig, BadData (unreadable, more
    refused than `part.most_quarantined`, no row left), Missing and whatever the store raises.
    """
    sources = opened(part.sources, root, extra)
    refused = [line for source in sources for line in source.refused]
    total = sum(source.total for source in sources)
    if not total:
        raise BadData("the sources hold no row at all", f"look into {', '.join(source.name for source in sources)}")
    check(refused, total, part.most_quarantined)
    gathered = Gathered(part, key)
    kept = gathered.rows(sources, total - len(refused), progress)
    rows = blobs.put_lines(row.model_dump(mode="json", exclude_defaults=True) for row in kept)
    if not gathered.used:
        raise BadData("no row is left", "every line of the sources was refused")
    excerpts = list(excerpted(refused, part))
    made = DatasetVersion(
        name=part.name,
        rows=rows,
        sources=tuple(source.use(gathered.used[source.name]) for source in sources),
        counts=dict(sorted(gathered.splits.items())),
        languages=dict(sorted(gathered.languages.items())),
        personal=dict(sorted(gathered.personal.items())),
        duplicates=gathered.duplicates,
        quarantined=len(refused),
        quarantine=blobs.put_lines(excerpts) if excerpts else None,
        subjects=blobs.put_lines(gathered.subject_lines()) if gathered.subjects else None,
        made_from=tuple(parent for some in extra for parent in some.parents),
        seed=part.seed,
        builder=builder(part),
    )
    if previous is None:
        return made
    if made.model_copy(update={"made_from": previous.made_from}) == previous:
        return previous
    return made.model_copy(update={"made_from": (Parent("previous", previous.id), *made.made_from)})


class Gathered:
    """What is counted while the rows go by."""

    def __init__(self, part: DataPart, key: bytes) -> None:
        self.part = part
        self.key = key
        self.ids: dict[str, str] = {}
        """The id of the row that said each thing first."""
        self.used: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.personal: Counter[str] = Counter()
        self.subjects: dict[str, set[str]] = {}
        self.duplicates = 0

    def rows(self, sources: Sequence[Source], total: int, progress: Progress) -> Iterator[Row]:
        """Every row that is kept, in the order of the sources. Raises BadData where one changes meanwhile."""
        read: deque[list[tuple[str, Raw]]] = deque()

        def texts() -> Iterator[list[tuple[list[str], str]]]:
            for chunk in chunked(dialogues(sources), CHUNK):
                read.append(chunk)
                yield [(texts_of(raw), spoken_in(raw)) for _, raw in chunk]

        done = 0
        for results in scrubbed(texts(), self.part.scrubber, self.part.allow, total):
            for (source, raw), found in zip(read.popleft(), results, strict=True):
                row = self.row(source, raw, found)
                if row is not None:
                    yield row
            done += len(results)
            progress("scrub", done, total)
        for changed in (source for source in sources if source.digest() != source.was):
            raise BadData(f"source {changed.name} changed while it was read", "wait until it is written, then repeat")

    def row(self, source: str, raw: Raw, found: Sequence[Scrubbed]) -> Row | None:
        """A dialogue as a row, or None where an earlier one says the same: its people then belong to that one."""
        messages, metadata = with_texts(raw, [text.text for text in found])
        same = same_key(messages)
        fresh = same not in self.ids
        name = self.ids.setdefault(same, row_id(messages))
        for item in (item for text in found for item in text.found):
            self.subjects.setdefault(subject_key(self.key, item.text), set()).add(name)
            self.personal[item.type] += fresh
        if not fresh:
            self.duplicates += 1
            return None
        split = split_of(raw.metadata.get("dialogue") or name, self.part.validation, self.part.test, self.part.seed)
        self.used[source] += 1
        self.splits[split] += 1
        self.languages[spoken_in(raw)] += 1
        return Row(
            id=name,
            split=split,
            source=source,
            line=raw.line,
            messages=messages,
            language=spoken_in(raw),
            metadata=metadata,
        )

    def subject_lines(self) -> Iterator[dict[str, Any]]:
        """The lines of the subjects blob, by key."""
        for key in sorted(self.subjects):
            yield {"key": key, "rows": sorted(self.subjects[key])}


def dialogues(sources: Iterable[Source]) -> Iterator[tuple[str, Raw]]:
    """What the sources hold, without what is refused, each with its source's name."""
    return ((source.name, row) for source in sources for row in source.rows() if isinstance(row, Raw))


def excerpted(refused: Sequence[Quarantined], part: DataPart) -> Iterator[dict[str, Any]]:
    """The lines of the quarantine blob."""
    for lines in chunked(refused, CHUNK):
        results = work(part.scrubber, part.allow, [([line.refused.excerpt], "") for line in lines])
        for line, (text,) in zip(lines, results, strict=True):
            yield excerpt_of(line, text)


def spoken_in(raw: Raw) -> str:
    """The language that the source names, else the one that the words look like."""
    return raw.language or language_of("\n".join(message.content for message in raw.messages))


def chunked(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    """Lists of `size` things, the last one shorter."""
    left = iter(things)
    while chunk := list(islice(left, size)):
        yield chunk


def builder(part: DataPart) -> str:
    """Luthier's version and that of everything that took part."""
    used = {("source", spec.format) for spec in part.sources} | {("scrubber", part.scrubber)}
    made_with: Callable[[], str] | None = getattr(plugins.find("scrubber", part.scrubber), "made_with", None)
    extensions = [f"{kind} {name} ({plugins.version(kind, name)})" for kind, name in sorted(used)]
    return "; ".join([f"luthier {__version__}", *extensions, *([made_with()] if made_with else [])])


def rows(dataset: DatasetVersion, blobs: Blobs, split: Split | None = None) -> Iterator[Row]:
    """The rows of a version, of one split or of all."""
    for line in blobs.lines(dataset.rows):
        row = Row.model_validate(line)
        if split in (None, row.split):
            yield row


def impact(dataset: DatasetVersion, blobs: Blobs, key: bytes, value: str) -> list[str]:
    """The ids of the rows in which a person's name, address or number stood before it was replaced.

    `value` is compared as a whole, upper and lower case and the grouping of figures aside.
    """
    if dataset.subjects is None:
        return []
    wanted = subject_key(key, value)
    return next((line["rows"] for line in blobs.lines(dataset.subjects) if line["key"] == wanted), [])
