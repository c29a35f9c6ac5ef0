"""Sources in, a DatasetVersion out: read, scrubbed, without duplicates, split, every row traceable to its line.

    rows read = rows kept + duplicates + quarantined + left out by a rule

Knows nothing of the ledger: who calls puts the record there.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from luthier import __version__, plugins
from luthier.data.dedupe import row_id, same_key
from luthier.data.provenance import Rules, barred
from luthier.data.quarantine import Quarantined, check, excerpt_of
from luthier.data.raw import Raw, Refused
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
FORGOTTEN = "a person in it was forgotten"


class Now(NamedTuple):
    """What the house adds at the time of a build: the same sources, settings and `Now` give the same version."""

    extra: Sequence[Extra] = ()
    """Dialogues that stand in no file."""
    today: str = ""
    """ISO date: rows whose consent ended before it are left out."""
    forgotten: frozenset[str] = frozenset()
    """Keyed hashes of people whose rows are left out."""


AT_REST = Now()


def build(
    part: DataPart,
    root: Path,
    blobs: Blobs,
    *,
    key: bytes,
    previous: DatasetVersion | None = None,
    now: Now = AT_REST,
    progress: Progress = silent,
) -> DatasetVersion:
    """The version that `part`'s sources (paths below `root`) and `now` make; `previous` itself where nothing changed.

    `key` makes the names under which people's rows can be found again. Raises BadConfig, BadData (unreadable, more
    refused than `part.most_quarantined`, no row left), Missing and whatever the store raises.
    """
    sources = opened(part.sources, root, now.extra, part.require)
    refused = [line for source in sources for line in source.refused]
    total = sum(source.total for source in sources)
    if not total:
        raise BadData("the sources hold no row at all", f"look into {', '.join(source.name for source in sources)}")
    check(refused, total, part.most_quarantined)
    gathered = Gathered(part, key, Rules(part.licences, part.consents, now.today, now.forgotten))
    kept = gathered.rows(sources, total - len(refused), progress)
    rows = blobs.put_lines(row.model_dump(mode="json", exclude_defaults=True) for row in kept)
    if not gathered.used:
        raise BadData("no row is left", "every line of the sources was refused or left out by a rule")
    excerpts = list(excerpted([*refused, *gathered.out], part))
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
        left_out=dict(sorted(Counter(line.refused.reason for line in gathered.out).items())),
        subjects=blobs.put_lines(gathered.subject_lines()) if gathered.subjects else None,
        made_from=tuple(parent for some in now.extra for parent in some.parents),
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

    def __init__(self, part: DataPart, key: bytes, rules: Rules) -> None:
        self.part = part
        self.key = key
        self.rules = rules
        self.out: list[Quarantined] = []
        """Rows that a rule left out."""
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
            for chunk in chunked(self.admitted(sources), CHUNK):
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

    def admitted(self, sources: Iterable[Source]) -> Iterator[tuple[str, Raw]]:
        """What may be used, each dialogue with its source's name."""
        for source in sources:
            for raw in (row for row in source.rows() if isinstance(row, Raw)):
                why = barred(raw.licence or source.licence, raw.consent or source.consent, self.rules)
                if not why and raw.subject and subject_key(self.key, raw.subject) in self.rules.forgotten:
                    why = FORGOTTEN
                if why:
                    self.leave_out(source.name, raw, why)
                else:
                    yield source.name, raw

    def leave_out(self, source: str, raw: Raw, why: str) -> None:
        """Count a row that a rule keeps out. What it says is not kept: it may be the very thing to be forgotten."""
        self.out.append(Quarantined(source, Refused(raw.line, why)))

    def row(self, source: str, raw: Raw, found: Sequence[Scrubbed]) -> Row | None:
        """A dialogue as a row, or None where an earlier one says the same: its people then belong to that one."""
        people = {subject_key(self.key, item.text) for text in found for item in text.found}
        if people & self.rules.forgotten:
            self.leave_out(source, raw, FORGOTTEN)
            return None
        messages, metadata = with_texts(raw, [text.text for text in found])
        same = same_key(messages)
        fresh = same not in self.ids
        name = self.ids.setdefault(same, row_id(messages))
        subject = subject_key(self.key, raw.subject) if raw.subject else ""
        for person in people | {subject} - {""}:
            self.subjects.setdefault(person, set()).add(name)
        if fresh:
            self.personal.update(item.type for text in found for item in text.found)
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
            licence=raw.licence,
            consent=raw.consent,
            subject=subject,
            collected=raw.collected,
            changes=("scrubbed",) if people else (),
        )

    def subject_lines(self) -> Iterator[dict[str, Any]]:
        """The lines of the subjects blob, by key."""
        for key in sorted(self.subjects):
            yield {"key": key, "rows": sorted(self.subjects[key])}


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
