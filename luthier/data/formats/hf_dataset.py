"""Source `hf-dataset`: a folder as the Hugging Face hub or `save_to_disk` has it: Parquet, Arrow, JSON lines, CSV.

The split that a file belongs to is kept as metadata `split`; it decides nothing here. The licence that the folder's
README names holds for its rows. `line` counts the rows of all files, in the order of their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from luthier.data import table
from luthier.data.folders import files_in, printable
from luthier.data.formats import arrow, objects
from luthier.data.formats.objects import check_mapping, renamed, understood
from luthier.data.formats.shapes import mapped, shape_of
from luthier.data.raw import Raw, Refused
from luthier.errors import BadConfig, BadData

Read = Callable[[Path, Mapping[str, str]], Iterator[Raw | Refused]]
SPLITS = re.compile(r"(?:^|[._/-])(train(?:ing)?|validation|valid|val|dev|test(?:ing)?|eval(?:uation)?)(?=$|[._/-]|\d)")
SHARD = re.compile(r"-\d{5}-of-\d{5}(?:-[0-9a-f]+)?$")
NO_ROWS = frozenset({"state.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "package.json"})
LICENCE = re.compile(r"\A---\r?\n(?:.*\r?\n)*?license:[ \t]*[\"']?([A-Za-z0-9.+-]+)")
README = 20_000
"""Bytes of a README in which its licence stands."""


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every row of every data file of the folder. Raises BadData where it has none, BadConfig, Missing (pyarrow)."""
    licence, number, found = licence_of(path), 0, False
    for entry in files_in(path):
        reader = reader_of(entry.name)
        if reader is None:
            continue
        found = True
        for row in [Refused(1, entry.refused)] if entry.refused else within(reader, entry.path, mapping):
            number += 1
            yield placed(row, number, entry.name, licence)
    if not found:
        raise BadData(f"{path} holds no data file", "give a folder with *.parquet, *.arrow, *.jsonl, *.json or *.csv")


def reader_of(name: str) -> Read | None:
    """What reads a file, by its name."""
    path = PurePosixPath(name)
    if path.name in NO_ROWS or any(part.startswith(".") for part in path.parts):
        return None
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    return READERS.get(suffixes[-1].lower()) if suffixes else None


def within(reader: Read, path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """The rows of one file; one that cannot be read is one refusal, and the next is read all the same."""
    try:
        yield from reader(path, mapping)
    except BadData as error:
        yield Refused(1, f"the file {error.what.removeprefix(f'{path} ')}")


def placed(row: Raw | Refused, number: int, name: str, licence: str) -> Raw | Refused:
    """A row with its place in the whole folder. A refusal names the place in its file."""
    if isinstance(row, Refused):
        return row._replace(line=number, reason=f"{printable(name)}:{row.line}: {row.reason}")
    told = {"file": printable(name), "split": split_of(name)} | ({"licence": licence} if licence else {})
    return row._replace(line=number, metadata=told | row.metadata)


def split_of(name: str) -> str:
    """The split that a file's name or its folder's names, as the hub reads them; `train` where none does.

    `save_to_disk` names its folders so, whatever a split is called.
    """
    path = PurePosixPath(name)
    if path.suffix == ".arrow" and path.parent.name:
        return path.parent.name
    stem = SHARD.sub("", path.name.split(".")[0])
    for part in (stem, *reversed(path.parts[:-1])):
        found = SPLITS.search(part.lower())
        if found:
            return part if found.start() == 0 else found[1]
    return "train"


def licence_of(folder: Path) -> str:
    """The licence that the README's header names."""
    try:
        with (folder / "README.md").open("rb") as file:
            found = LICENCE.match(file.read(README).decode(errors="replace"))
    except OSError:
        return ""
    return found[1] if found else ""


def read_objects(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """JSON lines or a list, each row by its own shape. Raises BadConfig where the first row has none that is known."""
    for number, value, excerpt in objects.values(path):
        if isinstance(value, Refused):
            yield value
            continue
        yield of_its_shape(number, value, mapping, excerpt)


def of_its_shape(number: int, value: Any, mapping: Mapping[str, str], excerpt: str) -> Raw | Refused:
    """A JSON row by its own shape, or by the mapping's texts with {columns}."""
    fields = list(value) if isinstance(value, dict) else ["conversations"] if isinstance(value, list) else []
    if {"user", "assistant"} & set(mapping):
        try:
            shapes = table.shaped(mapping, fields, Path(f"row {number}"))
        except BadConfig as error:
            return Refused(number, error.what, excerpt)
        return table.understood(number, [arrow.as_text(each) for each in value.values()], fields, shapes)
    shape = shape_of(mapped(fields, mapping))
    if shape is None:
        return Refused(
            number, "the row has no known shape; a mapping can say which field is user, which assistant", excerpt
        )
    check_mapping(mapping, shape.fields)
    return understood(number, renamed(value, mapping), shape.understood, excerpt)


READERS: dict[str, Read] = {
    ".parquet": arrow.read,
    ".arrow": arrow.read_arrow,
    ".jsonl": read_objects,
    ".ndjson": read_objects,
    ".json": read_objects,
    ".csv": table.read,
    ".tsv": table.read,
}
