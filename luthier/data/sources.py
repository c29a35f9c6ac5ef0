"""The sources of a build: files that a reader understands, and dialogues that come from elsewhere in the house."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from luthier import plugins
from luthier.data.dedupe import digest
from luthier.data.folders import folder_digest
from luthier.data.provenance import told
from luthier.data.quarantine import Quarantined
from luthier.data.raw import Raw, Refused
from luthier.errors import BadConfig, BadData
from luthier.records.base import Parent
from luthier.records.data import SourceUse
from luthier.records.project import SourceSpec


class Extra(NamedTuple):
    """Dialogues that stand in no file, such as accepted reviews, and the records that they come from."""

    name: str
    rows: Sequence[Raw]
    licence: str = "own"
    consent: str = "contract"
    parents: tuple[Parent, ...] = ()


class Source(NamedTuple):
    """A source that was looked through once."""

    name: str
    licence: str
    consent: str
    digest: Callable[[], str]
    rows: Callable[[], Iterable[Raw | Refused]]
    was: str = ""
    """Digest at the first look."""
    total: int = 0
    refused: tuple[Quarantined, ...] = ()

    def use(self, kept: int) -> SourceUse:
        """The source as the version names it, of which `kept` rows went in."""
        return SourceUse(name=self.name, digest=self.was, licence=self.licence, consent=self.consent, rows=kept)


def opened(
    specs: Sequence[SourceSpec], root: Path, extra: Sequence[Extra], require: Sequence[str] = ()
) -> list[Source]:
    """Every source, looked through once. Raises BadConfig for two of one name, BadData for one that cannot be read."""
    names = [spec.name for spec in specs] + [some.name for some in extra]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise BadConfig(f"two sources are called {twice!r}", "a row names its source: give each a name of its own")
    return [from_file(spec, root / spec.path, require) for spec in specs] + [from_extra(some) for some in extra]


def from_file(spec: SourceSpec, path: Path, require: Sequence[str] = ()) -> Source:
    """A file as a source, with the reader that its format names. Rows that lack what is required are refused."""
    read = plugins.find("source", spec.format)

    def rows() -> Iterator[Raw | Refused]:
        for row in read(path, spec.mapping):
            yield row if isinstance(row, Refused) else told(row, require, spec)

    return looked_through(Source(spec.name, spec.licence, spec.consent, lambda: file_digest(path), rows))


def from_extra(extra: Extra) -> Source:
    """Dialogues at hand as a source."""
    lines = [[[message.model_dump(mode="json") for message in row.messages], row.metadata] for row in extra.rows]
    return looked_through(Source(extra.name, extra.licence, extra.consent, lambda: digest(lines), lambda: extra.rows))


def looked_through(source: Source) -> Source:
    """`source` with its digest, its number of rows and its refusals."""
    was, total, refused = source.digest(), 0, []
    for row in source.rows():
        total += 1
        if isinstance(row, Refused):
            refused.append(Quarantined(source.name, row))
    return source._replace(was=was, total=total, refused=tuple(refused))


def file_digest(path: Path) -> str:
    """sha256 of a file, or of a folder's files. Raises BadData where it cannot be read."""
    if path.is_dir():
        return folder_digest(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror or error}", "check the path and its rights") from error
