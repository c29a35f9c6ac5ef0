"""What a file or a folder is, from how it begins: its format, which column is what, and why. Source `auto` reads it so.

A guess is made where one thing fits and the reason can be said in a sentence; otherwise the nearest is named.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from luthier import plugins
from luthier.data.folders import files_in
from luthier.data.formats import arrow, hf_dataset, objects
from luthier.data.formats.code import language_of
from luthier.data.formats.documents import NEEDS, wanted_name
from luthier.data.formats.licences import says_licence
from luthier.data.formats.shapes import ANSWERS, QUESTIONS, mapped, pair_in, shape_of
from luthier.data.raw import Raw, Refused
from luthier.data.unpacked import PIECE, opened
from luthier.errors import BadData

LOOKED_AT = 20
"""Rows at the beginning of a file."""
FILES = 5_000
"""Files of a folder that are looked at by name."""
SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")
"""What `save_to_disk` leaves in a folder."""
COLUMNAR = (".parquet", ".arrow", ".jsonl", ".ndjson")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
FORMATS = (
    "chat-jsonl, preferences, ratings, completions, alpaca, sharegpt, request-log, csv, parquet, hf-dataset, documents "
    "and code"
)
ASKED = (*QUESTIONS, "text", "utterance", "message", "title")
SAID = (*ANSWERS, "category", "intent", "label", "summary")
"""Words in the names of fields that may be the two sides where nothing is plain."""


class Unknown(NamedTuple):
    """Why nothing fits, and the nearest guess."""

    what: str
    mend: str
    by_line: bool = False
    """Whether reading it as `chat-jsonl` says more: what is wrong with each line."""


class Recognised(NamedTuple):
    """What a source is."""

    format: str
    """The name of the extension of kind `source` that reads it."""
    mapping: dict[str, str]
    """What the reader has to be told."""
    why: str
    """One sentence."""


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Source `auto`: every row of `path`, whatever it is. Raises what `recognise` and the reader raise."""
    found = recognise(path, mapping)
    yield from plugins.find("source", found.format)(path, {**found.mapping, **mapping})


def recognise(path: Path, mapping: Mapping[str, str] | None = None) -> Recognised:
    """What `path` is; a `mapping` that is known already is taken as said. Raises BadData with the nearest guess."""
    found = guess(path, mapping or {})
    if isinstance(found, Unknown):
        raise BadData(found.what, found.mend)
    return found


def guess(path: Path, given: Mapping[str, str]) -> Recognised | Unknown:
    """What `path` is, as far as that can be said. Raises BadData where it cannot be read at all, Missing (pyarrow)."""
    if path.is_dir():
        return folder(path)
    if path.suffix.lower() in NEEDS:  # a Word file is a ZIP, which nothing else may be
        return by_name(path) or Unknown(f"{path} has a hidden name", "give it another")
    with opened(path) as file:
        head = bytes(file.peek(1)[:4096])
        is_list = objects.is_list(file.peek(1))
    if not head:
        return Unknown(f"{path} is empty", "give a file with rows in it", by_line=True)
    return (
        by_magic(path, head, given)
        or by_rows(path, given, is_list=is_list)
        or by_name(path)
        or by_header(path, given)
        or Unknown(f"{path} is nothing that Luthier knows", f"it reads {FORMATS}; name one with --format", by_line=True)
    )


def by_magic(path: Path, head: bytes, given: Mapping[str, str]) -> Recognised | Unknown | None:
    """A file that says itself what it is."""
    if head.startswith(b"%PDF"):
        return Unknown(f"{path} is a PDF by its content, and not by its name", "rename it so that it ends in .pdf")
    if head.startswith(b"PAR1"):
        columns, _ = arrow.opened_parquet(path)
        shape = shape_of(mapped(columns, given))
        if shape:
            return Recognised("parquet", {}, f"it is Parquet, and its columns are those of {shape.format}")
        return by_columns(path, columns, given, Recognised("parquet", {}, "it is Parquet"))
    if head.startswith(b"ARROW1") or path.suffix == ".arrow":
        return Unknown(f"{path} is one Arrow file of a dataset", "give the folder that holds it: format hf-dataset")
    return None


def by_rows(path: Path, given: Mapping[str, str], *, is_list: bool) -> Recognised | Unknown | None:
    """JSON lines, or a JSON list: the shape that most of the first rows have."""
    looked = [value for _, value, _ in islice(objects.values(path), LOOKED_AT)]
    rows = [value for value in looked if isinstance(value, dict | list)]
    if not rows and is_list and looked:
        return Unknown(f"{path} is a JSON list of things that are no rows", f"it reads {FORMATS}", by_line=True)
    if not rows:
        return None
    what = "a JSON list" if is_list else "a file of JSON lines"
    shapes = [shape for row in rows if (shape := shape_of(fields_of(row, given)))]
    if shapes:
        (shape, count), *_ = Counter(shapes).most_common(1)
        # OpenAI's messages in a list: chat-jsonl reads lines only, and sharegpt both sorts of turns.
        name = "sharegpt" if is_list and shape.format == "chat-jsonl" else shape.format
        told = next(told for told in shape.told_by if any(told <= fields_of(row, given) for row in rows))
        fields = " and ".join(sorted(told))
        return Recognised(name, {}, f"it is {what}, and {count} of the first {len(looked)} rows have {fields}")
    names = list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
    pair = pair_in(names)
    if pair:
        mapping = {"prompt": pair[0], "completion": pair[1]}
        return Recognised("completions", mapping, f"it is {what}, and {pair[0]!r} looks like what {pair[1]!r} answers")
    asked, said = nearest(names)
    return Unknown(
        f"{path} is {what}, but no known shape of rows" + (f" (fields: {listed(names)})" if names else ""),
        f"if they hold a question and its answer: --format completions --map prompt={asked} --map completion={said}",
        by_line=not is_list or not names,
    )


def fields_of(row: Any, given: Mapping[str, str]) -> set[str]:
    """The fields of a row under our names; a bare list is ShareGPT's where its elements are turns."""
    if isinstance(row, list):
        turns = row and all(isinstance(each, dict) and {"from", "role"} & set(each) for each in row)
        return {"conversations"} if turns else set()
    return mapped(row, given)


def by_name(path: Path) -> Recognised | None:
    """Documents and source files, which their names tell."""
    if wanted_name(path.name):
        return Recognised("documents", {}, f"its name ends in {path.suffix}, so it is one document")
    if language_of(path.name):
        return Recognised("code", {}, f"its name says that it is {language_of(path.name)}")
    return None


def by_header(path: Path, given: Mapping[str, str]) -> Recognised | Unknown | None:
    """A table, if the first line names columns and one of the next lines has as many."""
    with opened(path) as file:
        text = file.read(PIECE).decode(errors="replace")
    lines = text.splitlines() or [""]
    separator = max(SEPARATORS, key=lines[0].count)
    if "\0" in text or "\ufffd" in lines[0] or separator not in lines[0]:
        return None
    header, *body = [*islice(parsed_rows(lines, separator), LOOKED_AT)] or [[]]
    if body and not any(len(row) == len(header) for row in body):
        return None
    said = f"it is a table with {SEPARATORS[separator]}"
    return by_columns(path, header, given, Recognised("csv", {}, said))


def parsed_rows(lines: list[str], separator: str) -> Iterator[list[str]]:
    """The rows of a table as far as they can be read."""
    rows = csv.reader((line + "\n" for line in lines), delimiter=separator)
    try:
        yield from (row for row in rows if row)
    except csv.Error:
        return


def by_columns(path: Path, columns: Sequence[str], given: Mapping[str, str], found: Recognised) -> Recognised | Unknown:
    """A table with the mapping that its columns' names suggest."""
    if {"user", "assistant"} <= set(given) or {"user", "assistant"} <= set(columns):
        return found._replace(why=f"{found.why}, and it is known which column is which side")
    if {"instruction", "output"} <= set(columns):
        asked = "{instruction}\n\n{input}" if "input" in columns else "instruction"
        mapping = {"user": asked, "assistant": "output"}
        return found._replace(mapping=mapping, why=f"{found.why} and Alpaca's columns")
    pair = pair_in(columns)
    if pair:
        why = f"{found.why}, and {pair[0]!r} looks like what {pair[1]!r} answers"
        return found._replace(mapping={"user": pair[0], "assistant": pair[1]}, why=why)
    asked, said = nearest(columns)
    return Unknown(
        f"{path} is a table, but its columns ({listed(columns)}) do not say who speaks",
        f"say which is what, e.g.: --format {found.format} --map user={asked} --map assistant={said}",
    )


def nearest(names: Sequence[str]) -> tuple[str, str]:
    """The names that are most like those of two sides, and words that stand for them where none is."""
    asked = next((name for word in ASKED for name in names if word in name.lower()), "FIELD")
    said = next((name for word in SAID for name in names if word in name.lower() and name != asked), "FIELD")
    return asked, said


def folder(path: Path) -> Recognised | Unknown:
    """A dataset, a tree of documents or one of source code: whatever most of its files are."""
    names = [entry.name for entry in islice(files_in(path), FILES)]
    saved = next((name for name in names if PurePosixPath(name).name in SAVED), None)
    data = [name for name in names if hf_dataset.reader_of(name)]
    columnar = [name for name in data if name.removesuffix(".gz").endswith(COLUMNAR)]
    code = [name for name in names if language_of(name)]
    documents = [name for name in names if wanted_name(name) and not says_licence(name)]
    if saved and data:
        return Recognised("hf-dataset", {}, f"it holds {saved}")
    if columnar and len(columnar) >= len(code):
        return Recognised(
            "hf-dataset", {}, f"{len(columnar)} of its {len(names)} files are Parquet, Arrow or JSON lines"
        )
    if code and len(code) >= len(documents):
        return Recognised("code", {}, f"{len(code)} of its {len(names)} files are source code")
    if len(documents) > len(data):
        return Recognised("documents", {}, f"{len(documents)} of its {len(names)} files are documents")
    if data:
        return Recognised("hf-dataset", {}, f"{len(data)} of its {len(names)} files are JSON or tables")
    return Unknown(
        f"{path} holds no file that Luthier reads", "give a folder with *.parquet, *.jsonl, documents or source code"
    )


def listed(names: Sequence[str]) -> str:
    """Some names, in words."""
    return ", ".join(name[:40] for name in names[:8]) + (" …" if len(names) > 8 else "")
