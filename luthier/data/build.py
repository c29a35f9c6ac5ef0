"""Sources in, a DatasetVersion out: read, scrubbed, without duplicates, split, every row traceable to its line.

    rows read = rows kept + duplicates + quarantined + left out by a rule

Knows nothing of the ledger: who calls puts the record there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from luthier import __version__, plugins
from luthier.data.choice import Why, choose
from luthier.data.gathered import Gathered, chunked
from luthier.data.leakage import Protected
from luthier.data.prepared import scrubber
from luthier.data.provenance import Rules
from luthier.data.quarantine import Quarantined, check, excerpt_of
from luthier.data.scrub import scrub_all
from luthier.data.semantic import Embed
from luthier.data.settled import SettledLabels
from luthier.data.sources import Extra, opened
from luthier.data.spans import subject_key
from luthier.data.vault import Vault
from luthier.data.waiting import WaitingRows
from luthier.data.workers import CHUNK
from luthier.errors import BadConfig, BadData
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
    labels: SettledLabels = SettledLabels()
    """What annotators said of rows."""
    embed: Embed | None = None
    """Texts → vectors, for `part.semantic`."""
    embedder: str = ""
    """What that is: written into the version."""
    vault: Vault | None = None
    """Where `part.vault` puts what stood there before: staged only, for who records the version to commit."""


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
    if part.vault and now.vault is None:
        raise BadConfig("data.vault is set and there is no vault", "take it out, or build by the command")
    sources = opened(part.sources, root, now.extra, part.require)
    refused = [line for source in sources for line in source.refused]
    total = sum(source.total for source in sources)
    if not total:
        raise BadData("the sources hold no row at all", f"look into {', '.join(source.name for source in sources)}")
    check(refused, total, part.most_quarantined)
    gathered = Gathered(part, key, Rules(part.licences, part.consents, now.today, now.forgotten), now.labels)
    counted = Counted()
    with TemporaryFile() as file:
        waiting = WaitingRows(file)
        for source, line, ready in gathered.rows(sources, total - len(refused), progress):
            sealed = now.vault.sealed(part.name, ready.id, ready.values) if now.vault and ready.values else ""
            waiting.add(ready, source, line, sealed)
        gathered.first.clear()
        out = choose(lambda: waiting, part, now.protected, now.embed)
        rows = blobs.put_encoded(counted.kept(waiting, out, gathered))
        if now.vault is not None:
            now.vault.stage(part.name, ((row.id, row.sealed) for row in waiting if row.sealed and row.id not in out))
    instead = {name: kept for name in out if (kept := stays_for(name, out))}
    subjects = gathered.subjects.lines(waiting.ids(), instead, out)
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
        subjects=blobs.put_lines(subjects) if subjects else None,
        made_from=(*(parent for some in now.extra for parent in some.parents), *now.labels.parents),
        seed=part.seed,
        builder=builder(part, now.embedder),
    )
    return made if previous is None else followed(made, previous)


def followed(made: DatasetVersion, previous: DatasetVersion) -> DatasetVersion:
    """`made` as the version after `previous`; that one itself where nothing has changed."""
    if made.model_copy(update={"made_from": previous.made_from}) == previous:
        return previous
    return made.model_copy(update={"made_from": (Parent("previous", previous.id), *made.made_from)})


class Counted:
    """What is counted of the rows that stay."""

    def __init__(self) -> None:
        self.used: Counter[str] = Counter()
        self.splits: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.personal: Counter[str] = Counter()

    def kept(self, waiting: WaitingRows, out: Mapping[str, Why], gathered: Gathered) -> Iterator[bytes]:
        """The lines of the rows that stay, counted; the others are told to `gathered`."""
        for row in waiting:
            if why := out.get(row.id):
                gathered.leave_out(row.source, row.line, why.rule, why.detail)
            else:
                self.used[row.source] += 1
                self.splits[row.split] += 1
                self.languages[row.language] += 1
                self.personal.update(row.types)
                yield row.written


def stays_for(name: str, out: Mapping[str, Why]) -> str:
    """The row that stays in the end for one that left, or "" where none does."""
    while name in out:
        name = out[name].instead
    return name


def excerpted(refused: Sequence[Quarantined], part: DataPart) -> Iterator[dict[str, Any]]:
    """The lines of the quarantine blob."""
    for lines in chunked(refused, CHUNK):
        results = scrub_all(scrubber(part.scrubber, part.allow), [([line.refused.excerpt], "") for line in lines])
        for line, (text,) in zip(lines, results, strict=True):
            yield excerpt_of(line, text)


def builder(part: DataPart, embedder: str = "") -> str:
    """Luthier's version and that of everything that took part."""
    used = {("source", spec.format) for spec in part.sources} | {("scrubber", part.scrubber)}
    used |= {("detector", name) for name in part.detectors}
    made_with: Callable[[], str] | None = getattr(plugins.find("scrubber", part.scrubber), "made_with", None)
    extensions = [f"{kind} {name} ({plugins.version(kind, name)})" for kind, name in sorted(used)]
    extensions += [made_with()] if made_with else []
    extensions += [f"surrogates (mimesis {version('mimesis')})"] if part.surrogates else []
    extensions += [f"embedder {embedder}"] if part.semantic is not None else []
    return "; ".join([f"luthier {__version__}", *extensions])


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
