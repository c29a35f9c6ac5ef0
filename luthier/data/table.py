"""Source `csv`: one dialogue a row. The mapping says which column, or which text with {columns} in it, is what.

    {"user": "text", "assistant": "answer"}            a question and its answer
    {"user": "Which intent? {text}", "assistant": "category", "dialogue": "ticket"}

`system`, `language` and `dialogue` (rows that must stay in one split) may be mapped too; every other name becomes
metadata. Comma, semicolon and tab are told apart by the header. A table that `luthier data export` wrote needs no
mapping and comes back as it was.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from luthier.data.cells import COLUMNS, ours, unguarded
from luthier.data.chat_jsonl import parsed, single
from luthier.data.lines import NOT_UTF8, TOO_LONG, lines
from luthier.data.raw import EXCERPT, NotADialogue, Raw, Refused, language_tag, message, ordered
from luthier.errors import BadConfig, BadData

COLUMN = re.compile(r"\{([^{}]*)\}")
TURNS = ("system", "user", "assistant")
BROKEN = "\ufdd0"
"""A character that no text has: marks, for the CSV parser, what was not UTF-8."""


def read(path: Path, mapping: Mapping[str, str]) -> Iterator[Raw | Refused]:
    """Every row behind the header, as a dialogue or as a refusal.

    Raises BadData where there is no header, BadConfig where the mapping names a column that is not there.
    """
    too_long: list[int] = []
    text = decoded(path, too_long)
    first = next(text, "")
    if not first.strip() or BROKEN in first:
        raise BadData(f"{path} has no header line", "the first line of a table names its columns")
    separator = max(",;\t", key=first.count)
    header = next(csv.reader([first], delimiter=separator))
    shapes = shaped(mapping, header, path)
    rows = csv.reader(text, delimiter=separator)
    while True:
        start = rows.line_num + 2  # the header is line 1
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            yield Refused(start, f"the row is no CSV ({error})")
            continue
        if row:
            yield understood(start, row, header, shapes)
    yield from (Refused(number, TOO_LONG) for number in too_long)


def decoded(path: Path, too_long: list[int]) -> Iterator[str]:
    """The lines of a file as text; those that are too long go to `too_long`, and an empty line stands for them."""
    for number, line in lines(path):
        if line is None:
            too_long.append(number)
        try:
            yield (line or b"").decode() + "\n"
        except UnicodeDecodeError:
            yield (line or b"").decode(errors="replace") + BROKEN + "\n"


def shaped(mapping: Mapping[str, str], header: list[str], path: Path) -> dict[str, str]:
    """The mapping with every value as a text with {columns}, all of which are there. Raises BadConfig."""
    wanted = dict(mapping) or {name: name for name in (COLUMNS if ours(header) else TURNS) if name in header}
    for turn in ("user", "assistant"):
        if turn not in wanted:
            raise BadConfig(
                f"nothing says which column of {path} is {turn!r}",
                f"add `mapping: {{user: …, assistant: …}}` to the source; its columns: {', '.join(header)}",
            )
    shapes = {name: value if COLUMN.search(value) else f"{{{value}}}" for name, value in wanted.items()}
    for name, shape in shapes.items():
        for column in COLUMN.findall(shape):
            if column not in header:
                near = get_close_matches(column, header, n=1)
                mend = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(header)}"
                raise BadConfig(f"{path} has no column {column!r}, which {name!r} is mapped to", mend)
    return shapes


def understood(number: int, row: list[str], header: list[str], shapes: Mapping[str, str]) -> Raw | Refused:
    """One row as a dialogue, or why it is none."""
    excerpt = " | ".join(row)[:EXCERPT]
    if any(BROKEN in cell for cell in row):
        return Refused(number, NOT_UTF8, excerpt.replace(BROKEN, ""))
    if len(row) != len(header):
        return Refused(number, f"the row has {len(row)} fields, the header {len(header)}", excerpt)
    own = ours(header)
    cells = dict(zip(header, map(unguarded, row) if own else row, strict=True))
    filled = {name: COLUMN.sub(lambda match: cells[match[1]], shape) for name, shape in shapes.items()}
    turns = [{"role": turn, "content": filled[turn]} for turn in TURNS if turn != "system" or filled.get(turn)]
    try:
        messages = ordered([message(turn, place) for place, turn in enumerate(turns, 1)])
        beside = beside_of(filled.pop("metadata", "")) if own and shapes.get("metadata") == "{metadata}" else {}
    except NotADialogue as refusal:
        return Refused(number, str(refusal), excerpt)
    metadata = beside | {name: value for name, value in filled.items() if name not in (*TURNS, "language") and value}
    return Raw(number, messages, language_tag(filled.get("language")), metadata)


def beside_of(cell: str) -> dict[str, str]:
    """The metadata that our own tables keep in one cell. Raises NotADialogue."""
    if not cell.strip():
        return {}
    found = parsed(cell)
    if not isinstance(found, dict):
        raise NotADialogue("the metadata is no JSON object")
    return single(found)
