"""Rows of Parquet and Arrow files, by record batches: source `parquet`, and what dataset folders are made of.

A row has one of the shapes of `shapes`, by its columns; or the mapping says which column is what, as for CSV.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.data import table
from luthier.data.formats.objects import ROW_TOO_LONG, check_mapping, renamed, understood
from luthier.data.formats.shapes import mapped, shape_of
from luthier.data.raw import EXCERPT, Raw, Refused
from luthier.data.unpacked import LONGEST
from luthier.errors import BadConfig, BadData, Missing

if TYPE_CHECKING:
    import pyarrow

BATCH = 64
"""Rows that are held at once: 64 of the largest allowed are 640 MB."""
LOST = 64
"""Rows per byte of a broken file that are believed to be lost; a file that claims more lies."""
NOT_VALID = "the row is not UTF-8 text, or the file is broken here"
NOT_READ = "the row cannot be read: the file is broken here"
Row = tuple[int, "dict[str, Any] | Refused"]


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every row of a Parquet file. `line` counts rows. Raises BadData, BadConfig for a mapping, Missing (pyarrow)."""
    columns, rows = opened_parquet(path)
    yield from dialogues(path, columns, rows, mapping)


def read_arrow(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every row of an Arrow file, as `save_to_disk` leaves them."""
    columns, rows = opened_arrow(path)
    yield from dialogues(path, columns, rows, mapping)


def dialogues(
    path: Path, columns: list[str], rows: Iterator[Row], mapping: Mapping[str, str]
) -> Iterator[Raw | Refused]:
    """Rows as dialogues or refusals. Raises BadConfig where neither the columns nor the mapping say what is what."""
    understand = understood_by(path, columns, mapping)
    for number, row in rows:
        yield row if isinstance(row, Refused) else understand(number, row)


def understood_by(
    path: Path, columns: list[str], mapping: Mapping[str, str]
) -> Callable[[int, dict[str, Any]], Raw | Refused]:
    """What makes a dialogue of a row: the shape of the columns, or the mapping's texts with {columns}."""
    shape = None if {"user", "assistant"} & set(mapping) else shape_of(mapped(columns, mapping))
    if shape is None:
        shapes = table.shaped(mapping, columns, path)
        return lambda number, row: table.understood(number, [as_text(row[name]) for name in columns], columns, shapes)
    check_mapping(mapping, shape.fields)
    understand = shape.understood
    return lambda number, row: understood(number, renamed(row, mapping), understand, excerpt(row))


def opened_parquet(path: Path) -> tuple[list[str], Iterator[Row]]:
    """Columns and rows of a Parquet file. Raises BadData, Missing."""
    needed()
    from pyarrow import parquet

    with arrow_trouble(path):
        file = parquet.ParquetFile(path, pre_buffer=False, memory_map=False)
        columns = list(file.schema_arrow.names)
    once(columns, path)
    return columns, parquet_rows(file, path.stat().st_size)


def parquet_rows(file: Any, size: int) -> Iterator[Row]:
    """The rows of each row group; where one breaks off, the rest of it is refused row by row."""
    import pyarrow

    number = 0
    for group in range(file.metadata.num_row_groups):
        end = number + file.metadata.row_group(group).num_rows
        try:
            for batch in file.iter_batches(batch_size=BATCH, row_groups=[group], use_threads=False):
                yield from batch_rows(batch, number)
                number += batch.num_rows
        except (pyarrow.ArrowException, OSError, ValueError, MemoryError):
            if not number <= end <= number + LOST * size:
                yield number + 1, Refused(number + 1, f"{NOT_READ}, and says that {end - number} more rows follow")
                return
        for number in range(number + 1, end + 1):  # noqa: B020 - it goes on counting
            yield number, Refused(number, NOT_READ)


def opened_arrow(path: Path) -> tuple[list[str], Iterator[Row]]:
    """Columns and rows of an Arrow stream or file. Raises BadData, Missing."""
    needed()
    import pyarrow
    from pyarrow import ipc

    with arrow_trouble(path):
        source = pyarrow.OSFile(str(path))
        stream = ipc.open_stream(source)
        columns = list(stream.schema.names)
    once(columns, path)
    return columns, arrow_rows(stream)


def arrow_rows(stream: Any) -> Iterator[Row]:
    """The rows of a stream. How many are lost behind a break, nobody knows: one refusal stands for them."""
    import pyarrow

    number = 0
    while True:
        try:
            batch = stream.read_next_batch()
        except StopIteration:
            return
        except (pyarrow.ArrowException, OSError, ValueError, MemoryError):
            yield number + 1, Refused(number + 1, f"{NOT_READ}, and what follows is lost")
            return
        yield from batch_rows(batch, number)
        number += batch.num_rows


def batch_rows(batch: pyarrow.RecordBatch, before: int) -> Iterator[Row]:
    """The rows of a batch, one by one: a row that is no text, or too long, is refused alone.

    A broken file may name places outside of itself: nothing is read before pyarrow has looked through the whole batch,
    or, where that fails, through the row.
    """
    sound = valid(batch)
    small = sound and batch.nbytes <= LONGEST
    for place in range(batch.num_rows):
        yield before + place + 1, batch_row(before + place + 1, batch.slice(place, 1), sound=sound, small=small)


def batch_row(number: int, row: pyarrow.RecordBatch, *, sound: bool, small: bool) -> dict[str, Any] | Refused:
    """One row as an object, or why it is none."""
    import pyarrow

    if not sound and not valid(row):
        return Refused(number, NOT_VALID)
    if not small and row.nbytes > LONGEST:
        return Refused(number, ROW_TOO_LONG)
    try:
        found: dict[str, Any] = row.to_pylist()[0]
    except (pyarrow.ArrowException, ValueError, OverflowError, RecursionError):
        return Refused(number, NOT_READ)
    return found


def valid(batch: pyarrow.RecordBatch) -> bool:
    """Whether every value lies within the batch and every text is UTF-8."""
    import pyarrow

    try:
        batch.validate(full=True)
    except (pyarrow.ArrowException, ValueError):
        return False
    return True


def needed() -> None:
    """Raises Missing where pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise Missing("Parquet and Arrow files need pyarrow", "run: pip install 'luthier[data]'") from None


def once(columns: list[str], path: Path) -> None:
    """Raises BadConfig where two columns have one name."""
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise BadConfig(f"{path} has two columns called {twice!r}", "give each column a name of its own")


@contextmanager
def arrow_trouble(path: Path) -> Iterator[None]:
    """What pyarrow says of a file that is none, with the mend."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        said = (str(error).splitlines() or [""])[0][:200]
        raise BadData(f"{path} cannot be read ({said})", "check the path, or write the file again") from error


def as_text(value: Any) -> str:
    """A cell as text, as a table would have it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, date | datetime):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False, default=str)


def excerpt(row: Mapping[str, Any]) -> str:
    """How a refused row begins."""
    return " | ".join(str(value)[:EXCERPT] for value in row.values() if isinstance(value, str))[:EXCERPT]
