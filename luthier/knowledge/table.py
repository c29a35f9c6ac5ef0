"""One index version on disk: a LanceDB table of chunks with their vectors and a full-text index for each language.

A table is written once and never changed. What has to go (a new version, an erasure) is left out of a new table,
and the old one is deleted whole: no earlier state of a file keeps text that should be gone. Knows nothing of
documents' texts, ranking or callers.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Any, NamedTuple, get_args

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lancedb.query import MultiMatchQuery
from numpy.typing import NDArray

from luthier.access import Audience
from luthier.errors import Missing, NoRoom, RunFailed
from luthier.knowledge.languages import PREFIX, column_of, tokenizer
from luthier.records.base import sha256

FORMAT = 1
POINTER = "index.json"
"""Names the table that counts. Written last: without it a folder is an unfinished build."""
COLUMNS = ["row", "document", "start", "end", "heading"]

Vectors = NDArray[np.float32]
"""(N, D), each row of length 1."""


class Row(NamedTuple):
    """A chunk of `document` as it is searched: characters [start, end), and the words that stand for it."""

    document: str
    start: int
    end: int
    heading: str
    audience: str
    locale: str
    words: str


class Hit(NamedTuple):
    """A row that a query found. `score` is BM25 (any size, from 0) or a cosine (-1 to 1)."""

    row: int
    document: str
    start: int
    end: int
    heading: str
    score: float


class Table:
    """The table that the pointer in `folder` names. Raises Missing where there is none. Safe to share by threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stamp = stamp(folder)
        name, self.rows, self.width, self.columns = pointer(folder)
        with trouble(folder):
            self.lance = lancedb.connect(folder).open_table(name)

    def match(self, text: str, language: str, depth: int, audiences: Sequence[str]) -> tuple[list[Hit], Vectors]:
        """The `depth` best rows by BM25 (Robertson and Zaragoza 2009; k1 1.2, b .75) and their vectors (N, D).

        Of rows for `audiences` only. `text` is words in `language` ("" where that is not known) and nothing else:
        no letter of it is an operator.
        """
        column = column_of(language)
        columns = [column] if column in self.columns else self.columns
        with trouble(self.folder):
            query = self.lance.search(MultiMatchQuery(text, columns), query_type="fts")
            found = self._rows(query, [*COLUMNS, "vector", "_score"], depth, audiences)
        return hits(found, "_score"), self._matrix(found["vector"])

    def near(self, vectors: Vectors, depth: int, audiences: Sequence[str]) -> list[Hit]:
        """For each of `vectors` (P, D) the `depth` rows with the highest cosine to it, exactly; a row may come P times.

        Of rows for `audiences` only.
        """
        with trouble(self.folder):
            query = self.lance.search(vectors.tolist(), vector_column_name="vector").distance_type("dot")
            found = self._rows(query, [*COLUMNS, "_distance"], depth, audiences)
        return [hit._replace(score=1.0 - hit.score) for hit in hits(found, "_distance")]

    def _rows(self, query: Any, columns: list[str], depth: int, audiences: Sequence[str]) -> Any:
        """The one way to the rows. What the reader may not see is filtered out before anything is ranked."""
        readable = " OR ".join(f"audience = '{audience}'" for audience in audiences)
        return query.where(readable, prefilter=True).select(columns).limit(depth).to_arrow()

    def _matrix(self, column: Any) -> Vectors:
        """An Arrow column of vectors as an array (N, D)."""
        flat: Vectors = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(-1, self.width)

    def vectors(self) -> Mapping[str, Vectors]:
        """Every vector (D,) by its key (see `key_of`): what another version need not embed again."""
        with trouble(self.folder):
            held = self.lance.to_arrow()
        return dict(zip(held["key"].to_pylist(), self._matrix(held["vector"]), strict=True))

    def read_through(self) -> None:
        """Read every row and ask every index once. Raises RunFailed where something is damaged."""
        self.vectors()
        if self.rows:
            words, vector = self.probe()
            self.match(words, "", 1, get_args(Audience))
            self.near(vector[None], 1, get_args(Audience))

    def probe(self) -> tuple[str, Vectors]:
        """The words and the vector (D,) of one row: whoever embeds the words must arrive at the vector."""
        with trouble(self.folder):
            row = self.lance.search().limit(1).to_arrow()
        words: str = row[self.columns[0]][0].as_py()
        return words, self._matrix(row["vector"])[0]


def hits(found: Any, score: str) -> list[Hit]:
    """The rows of an Arrow table, `score` being the column of their scores."""
    return [Hit(*values) for values in zip(*(found[name].to_pylist() for name in [*COLUMNS, score]), strict=True)]


class Pointer(NamedTuple):
    """What the pointer of a folder says of its table: name, rows, numbers in a vector, columns of words."""

    table: str
    rows: int
    width: int
    columns: list[str]


def pointer(folder: Path) -> Pointer:
    """The pointer of `folder`. Raises Missing where there is none that can be read."""
    mend = "build the index again from its documents"
    try:
        about = json.loads((folder / POINTER).read_text(encoding="utf-8"))
        if about.pop("format") != FORMAT:
            raise Missing(f"{folder} was written by another version of Luthier", mend)
        return Pointer(**about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Missing(f"{folder} holds no finished index", mend) from error


def stamp(folder: Path) -> tuple[int, int]:
    """Changes whenever the folder is given another table. (0, 0) where there is none."""
    try:
        seen = (folder / POINTER).stat()
    except FileNotFoundError:
        return 0, 0
    return seen.st_ino, seen.st_mtime_ns


def create(folder: Path, rows: Sequence[Row], vectors: Vectors) -> None:
    """Write `rows` and their `vectors` (N, D) as the table of `folder`. Raises NoRoom or RunFailed."""
    columns: dict[str, Any] = {
        "row": pa.array(range(len(rows)), pa.int32()),
        "document": pa.array([row.document for row in rows], pa.string()),
        "start": pa.array([row.start for row in rows], pa.int64()),
        "end": pa.array([row.end for row in rows], pa.int64()),
        "heading": pa.array([row.heading for row in rows], pa.string()),
        "audience": pa.array([row.audience for row in rows], pa.string()),
        "key": pa.array([key_of(row.words) for row in rows], pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), vectors.shape[1]),
    }
    for name in sorted({column_of(row.locale) for row in rows}):
        columns[name] = pa.array([row.words for row in rows], pa.string())
    write(folder, pa.table(columns))


def without(folder: Path, documents: Sequence[str]) -> int:
    """Put a table without the rows of `documents` in the place of the folder's table; how many rows went."""
    table = Table(folder)
    held = table.lance.to_arrow()
    kept = held.filter(pc.invert(pc.is_in(held["document"], value_set=pa.array(documents, pa.string()))))
    if kept.num_rows < held.num_rows:
        write(folder, kept)
    return int(held.num_rows - kept.num_rows)


def write(folder: Path, rows: Any) -> None:
    """Write an Arrow table with its full-text indexes, point to it, and delete what was there before."""
    columns = [name for name in rows.column_names if name.startswith(PREFIX)]
    with trouble(folder):
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((int(path.stem.rpartition("-")[2]) for path in folder.glob("chunks-*.lance")), default=0)
        name = f"chunks-{number}"
        table = lancedb.connect(folder).create_table(name, rows)
        for column in columns:
            table.create_index(column, config=tokenizer(column.removeprefix(PREFIX)))
        about = Pointer(name, rows.num_rows, rows.schema.field("vector").type.list_size, columns)
        fresh = folder / f"{POINTER}.new"
        with fresh.open("w", encoding="utf-8") as file:
            json.dump({"format": FORMAT} | about._asdict(), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder / POINTER)
    for path in folder.glob("chunks-*.lance"):
        if path.stem != name:
            shutil.rmtree(path)


def key_of(words: str) -> str:
    """Names the words that a vector was made from."""
    return sha256(words.encode())[:32]


@contextmanager
def trouble(folder: Path) -> Iterator[None]:
    """Disk and LanceDB errors as errors with a mend.

    LanceDB raises OSError, RuntimeError or ValueError for nearly all that can go wrong, and on some damaged files a
    RustPanic, a class that is known by its name alone.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError | RuntimeError | ValueError) and type(error).__name__ != "RustPanic":
            raise
        if getattr(error, "errno", None) == ENOSPC or "No space left" in str(error):
            raise NoRoom(f"the disk is full; {folder} could not be written", "free some room and try again") from error
        raise RunFailed(f"the index in {folder} failed: {error}", "build the index again from its documents") from error
