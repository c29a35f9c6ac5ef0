"""Sources in, a DatasetVersion out: read, scrubbed, without duplicates, split, every row traceable to its line.

    rows read = rows kept + duplicates + quarantined + left out by a rule

Knows nothing of the ledger: who calls puts the record there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from luthier import __version__, plugins
from luthier.data.choice import Why, choose
from luthier.data.gathered import Gathered, chunked
from luthier.data.leakage import Protected
from luthier.data.provenance import Rules
from luthier.data.quarantine import Quarantined, check, excerpt_of
from luthier.data.sources import Extra, opened
from luthier.data.spans import subject_key
from luthier.data.waiting import Waiting, WaitingRows
from luthier.data.workers import CHUNK, work
from luthier.errors import BadData
from luthier.progress import Progress, silent
from luthier.records.base import Parent
from luthier.records.data import DatasetVersion, Row, Split
from luthier.records.project import DataPart
from luthier.store.blobs import Blobs


class Now(NamedTuple):
    """What the house adds at the time of a build: the same sources, settings and `Now` give the same version."""

    extra: Sequence[Extra] = ()
    """Dialogues that stand in no file."""
    today: str = ""
    """ISO date: rows whose consent ended before it are left out."""
    forgotten: frozenset[str] = frozenset()
    """Keyed hashes of people whose rows are left out."""
    protected: Sequence[Protected] = ()
    """Questions of the evaluation, which no row may give away."""


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
    counted = Counted(gathered.also)
    with TemporaryFile("w+", encoding="utf-8") as file:
        waiting_rows = WaitingRows(file)
        for waiting in gathered.rows(sources, total - len(refused), progress):
            waiting_rows.add(waiting)
        out = choose(waiting_rows.rows, part, now.protected)
        rows = blobs.put_lines(
            row.model_dump(mode="json", exclude_defaults=True) for row in counted.kept(waiting_rows, out, gathered)
        )
    if not counted.used:
        raise BadData("no row is left", "every line of the sources was refused or left out by a rule")
    excerpts = list(excerpted([*refused, *gathered.out], part))
    made = DatasetVersion(
        name=part.name,
        rows=rows,
        sources=tuple(source.use(counted.used[source.name]) for source in sources),
        counts=dict(sorted(counted.splits.items())),
        languages=dict(sorted(counted.languages.items())),
        personal=dict(sorted(counted.personal.items())),
        duplicates=gathered.duplicates,
        quarantined=len(refused),
        quarantine=blobs.put_lines(excerpts) if excerpts else None,
        left_out=dict(sorted(Counter(line.refused.reason for line in gathered.out).items())),
        subjects=blobs.put_lines(counted.subject_lines()) if counted.subjects else None,
        made_from=tuple(parent for some in now.extra for parent in some.parents),
        seed=part.seed,
        builder=builder(part),
    )
    if previous is None:
        return made
    if made.model_copy(update={"made_from": previous.made_from}) == previous:
        return previous
    return made.model_copy(update={"made_from": (Parent("previous", previous.id), *made.made_from)})


class Counted:
    """What is counted of the rows that stay. `also` are people of their duplicates."""

    def __init__(self, also: Mapping[str, set[str]]) -> None:
        self.also = also
        self.used: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.personal: Counter[str] = Counter()
        self.subjects: dict[str, list[str]] = {}

    def kept(self, waiting_rows: WaitingRows, out: Mapping[str, Why], gathered: Gathered) -> Iterator[Row]:
        """The rows that stay, counted; the others are told to `gathered`."""
        for waiting in waiting_rows:
            row = waiting.row
            if why := out.get(row.id):
                gathered.leave_out(row.source, row.line, why.rule, why.detail)
            else:
                self.count(waiting)
                yield row

    def count(self, waiting: Waiting) -> None:
        """Add one row."""
        row = waiting.row
        self.used[row.source] += 1
        self.splits[row.split] += 1
        self.languages[row.language] += 1
        self.personal.update(waiting.types)
        for person in {*waiting.people, *self.also.get(row.id, ())}:
            self.subjects.setdefault(person, []).append(row.id)

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


def builder(part: DataPart) -> str:
    """Luthier's version and that of everything that took part."""
    used = {("source", spec.format) for spec in part.sources} | {("scrubber", part.scrubber)}
    used |= {("detector", name) for name in part.detectors}
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
