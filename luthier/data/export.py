"""A dataset version as a file of any format that can be read in again.

Every row is read back by the format's own reader before it is written: one that would not come back with the same
messages and tools is not written, but counted and named with the reason. Fields that only we have (id, split, scores)
stay here.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from luthier.data import chat_jsonl, table
from luthier.data.cells import COLUMNS, guarded
from luthier.data.formats import alpaca, completions, preferences, ratings, sharegpt
from luthier.data.raw import NotADialogue, Raw, Refused
from luthier.errors import Missing, UnknownName
from luthier.records.data import Message, Row
from luthier.store.files import replacing

WIDEST = 100_000
"""Letters in a cell that every reader of CSV takes."""
CELLS = {name: f"{{{name}}}" for name in COLUMNS}
"""What a table's reader makes of our columns."""
NAMED = 1000
"""Rows left out that are named; all are counted."""
BATCH = 1000


class Format(NamedTuple):
    """A format: what a row is in it, and how that is read again. Both raise NotADialogue."""

    ending: str
    made: Callable[[Row], dict[str, Any]]
    read: Callable[[int, Any], Raw]
    write: Callable[[BinaryIO, Iterator[dict[str, Any]]], None]


class LeftOut(NamedTuple):
    """A row that the format cannot carry."""

    id: str
    source: str
    line: int
    why: str


class Exported(NamedTuple):
    """What was written, and what was not."""

    path: Path
    format: str
    rows: int
    why: dict[str, int]
    """Rows left out, by reason."""
    left_out: tuple[LeftOut, ...]
    """The first of them by name."""
    digest: str
    size: int
    """Bytes."""


def export(rows: Iterable[Row], to: Path, kind: str) -> Exported:
    """Write `rows` as the file `to`, whole or not at all. Raises UnknownName for a format, Missing, NoRoom."""
    if kind not in FORMATS:
        raise UnknownName(f"there is no format {kind!r} to write", f"there are: {', '.join(FORMATS)}")
    form = FORMATS[kind]
    why: Counter[str] = Counter()
    left: list[LeftOut] = []
    written = 0

    def fitting() -> Iterator[dict[str, Any]]:
        nonlocal written
        for row in rows:
            try:
                yield carried(row, form)
                written += 1
            except NotADialogue as refusal:
                why[str(refusal)] += 1
                if len(left) < NAMED:
                    left.append(LeftOut(row.id, row.source, row.line, str(refusal)))

    with replacing(to) as file:
        form.write(file, fitting())
    with to.open("rb") as done:
        digest = hashlib.file_digest(done, "sha256").hexdigest()
    return Exported(to, kind, written, dict(why.most_common()), tuple(left), digest, to.stat().st_size)


def carried(row: Row, form: Format) -> dict[str, Any]:
    """The row in a format, from which it can be read again. Raises NotADialogue, saying what would be lost."""
    made = form.made(row)
    back = form.read(row.line, made)
    if back.messages != row.messages:
        raise NotADialogue(lost(row.messages, back.messages))
    if (back.rejected, back.good) != (row.rejected, row.good):
        raise NotADialogue("the format has no place for what was rejected, or for a rating")
    if back.tools != row.tools:
        raise NotADialogue("the format does not keep the tools of a row as they are")
    return made


def lost(before: Sequence[Message], after: Sequence[Message]) -> str:
    """What of the messages the format does not keep."""
    if len(before) != len(after) or [m.role for m in before] != [m.role for m in after]:
        return "the format has no place for these turns"
    fields = {
        name
        for one, two in zip(before, after, strict=True)
        for name in Message.model_fields
        if getattr(one, name) != getattr(two, name)
    }
    return f"the format does not keep the {' and '.join(sorted(fields))} of a message as it is"


# --- what a row is in each format ---


def beside(row: Row) -> dict[str, Any]:
    """What stands beside the messages: language, tools, and as metadata what the row says of itself and its origin."""
    origin = {"licence": row.licence, "consent": row.consent, "collected": row.collected}
    metadata = row.metadata | {name: value for name, value in origin.items() if value}
    made: dict[str, Any] = {"language": row.language, "tools": list(row.tools), "metadata": metadata}
    return {name: value for name, value in made.items() if value}


def plainly(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Messages in OpenAI's chat format."""
    return [{"role": each.role, "content": each.content} | each.body() for each in messages]


def as_chat(row: Row) -> dict[str, Any]:
    """OpenAI's chat format; a plain text, which no dialogue is, says so in its metadata."""
    made = {"messages": plainly(row.messages)} | beside(row)
    if [turn.role for turn in row.messages] == ["assistant"]:
        made["metadata"] = made.get("metadata", {}) | {chat_jsonl.FROM_TEXT: "true"}
    return made


def compared(row: Row) -> None:
    """Raise NotADialogue where a row is no preference."""
    if not row.rejected:
        raise NotADialogue("the row is no preference: nothing was rejected")


def as_trl(row: Row) -> dict[str, Any]:
    """TRL's preference format, of messages."""
    compared(row)
    prompt, chosen = plainly(row.messages[:-1]), plainly(row.messages[-1:])
    return {"prompt": prompt, "chosen": chosen, "rejected": plainly(row.rejected)} | beside(row)


def as_openai(row: Row) -> dict[str, Any]:
    """OpenAI's preference format."""
    compared(row)
    more = beside(row)
    tools = {"tools": more.pop("tools")} if row.tools else {}
    return {
        "input": {"messages": plainly(row.messages[:-1])} | tools,
        "preferred_output": plainly(row.messages[-1:]),
        "non_preferred_output": plainly(row.rejected),
    } | more


def as_rating(row: Row) -> dict[str, Any]:
    """KTO's rows, as TRL has them."""
    if row.good is None:
        raise NotADialogue("the row is no rating: nobody said whether the answer was wanted")
    return {
        "prompt": plainly(row.messages[:-1]),
        "completion": plainly(row.messages[-1:]),
        "label": row.good,
    } | beside(row)


def as_completion(row: Row) -> dict[str, Any]:
    """Prompt and completion: texts where the row is one question and its answer, else messages."""
    asked, answer = row.messages[:-1], row.messages[-1]
    bare = (Message(role="user", content=m.content) for m in asked)
    if len(asked) == 1 and tuple(bare) == asked and answer == Message(role="assistant", content=answer.content.strip()):
        return {"prompt": asked[0].content, "completion": answer.content} | beside(row)
    return {"prompt": plainly(asked), "completion": plainly((answer,))} | beside(row)


def as_alpaca(row: Row) -> dict[str, Any]:
    """Instruction and output, with `system` and `history` where there is any."""
    turns = list(row.messages)
    system = turns.pop(0).content if turns and turns[0].role == "system" else ""
    said = [turn.content for turn in turns]
    if [turn.role for turn in turns] != ["user", "assistant"] * (len(turns) // 2) or len(turns) < 2:
        raise NotADialogue("the turns are not question and answer in turn")
    made: dict[str, Any] = {"instruction": said[-2], "input": "", "output": said[-1]}
    made |= {"system": system} if system else {}
    made |= {"history": [list(pair) for pair in zip(said[:-2:2], said[1:-2:2], strict=True)]} if said[:-2] else {}
    return made | beside(row)


SHAREGPT = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}


def as_sharegpt(row: Row) -> dict[str, Any]:
    """ShareGPT's conversations."""
    said = [
        {"from": SHAREGPT[turn.role], "value": turn.content} | ({} if turn.weight is None else {"weight": turn.weight})
        for turn in row.messages
    ]
    return {"conversations": said} | beside(row)


def as_cells(row: Row) -> dict[str, Any]:
    """A row of a table: one question and its answer, and what the system said first."""
    turns = {message.role: message.content for message in row.messages}
    metadata = dict(row.metadata)
    cells = {name: turns.get(name, "") for name in ("system", "user", "assistant")}
    cells |= {"language": row.language, "dialogue": metadata.pop("dialogue", "")}
    cells |= {"licence": row.licence, "consent": row.consent, "collected": row.collected}
    cells["metadata"] = json.dumps(metadata, ensure_ascii=False, sort_keys=True) if metadata else ""
    for cell in cells.values():
        if "\r" in cell or "\x00" in cell or len(cell) > WIDEST:
            raise NotADialogue(
                "a text holds what CSV cannot: a carriage return, a 0, or more letters than readers take"
            )
    return cells


def from_cells(line: int, cells: dict[str, str]) -> Raw:
    """A table's row as its reader understands it. Raises NotADialogue."""
    back = table.understood(line, [guarded(cells[name]) for name in COLUMNS], list(COLUMNS), CELLS)
    if isinstance(back, Refused):
        raise NotADialogue(back.reason)
    return back


def as_record(row: Row) -> dict[str, Any]:
    """A row of a Parquet file: messages as a list of structures, so that any reader of data frames sees them."""
    if row.rejected or row.good is not None:
        raise NotADialogue("the format has no place for what was rejected, or for a rating")
    calls = [call for message in row.messages for call in message.tool_calls]
    if any(not fits(call) for call in calls):
        raise NotADialogue("a tool call is not of OpenAI's form (id, type, function with name and arguments)")
    return as_chat(row)


def fits(call: dict[str, Any]) -> bool:
    """Whether a tool call has the fields of the Parquet schema and no other, all of them texts."""
    inner = call.get("function")
    texts = [call.get("id"), call.get("type"), *(inner.values() if isinstance(inner, dict) else ())]
    return set(call) == {"id", "type", "function"} and isinstance(inner, dict) and all(
        isinstance(text, str) for text in texts
    ) and set(inner) == {"name", "arguments"}  # fmt: skip


# --- writing ---


def write_lines(file: BinaryIO, rows: Iterator[dict[str, Any]]) -> None:
    """JSON lines."""
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def write_csv(file: BinaryIO, rows: Iterator[dict[str, Any]]) -> None:
    """A table with a header; cells that a spreadsheet would compute are guarded."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in rows:
        table.writerow([guarded(row[name]) for name in COLUMNS])
    text.flush()
    text.detach()


def write_parquet(file: BinaryIO, rows: Iterator[dict[str, Any]]) -> None:
    """Row groups of a thousand rows, compressed."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise Missing("Parquet files need pyarrow", "run: pip install 'luthier[data]'") from None
    text = pa.string()
    call = pa.struct({"id": text, "type": text, "function": pa.struct({"name": text, "arguments": text})})
    turn = {"role": text, "content": text, "name": text, "tool_calls": pa.list_(call), "tool_call_id": text}
    message = pa.struct(turn | {"weight": pa.int8()})
    columns = {"messages": pa.list_(message), "language": text, "tools": text}
    origin = ("dialogue", "licence", "consent", "collected")
    schema = pa.schema(columns | dict.fromkeys((*origin, "metadata"), text))
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for first in rows:
            batch = []
            for row in chain((first,), (row for _, row in zip(range(BATCH - 1), rows, strict=False))):
                metadata = dict(row.get("metadata", {}))
                told = {name: metadata.pop(name, None) for name in origin}
                rest = json.dumps(metadata, ensure_ascii=False, sort_keys=True) if metadata else None
                tools = json.dumps(row["tools"], ensure_ascii=False) if "tools" in row else None
                batch.append(row | told | {"metadata": rest, "tools": tools})
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def chat_read(line: int, data: Any) -> Raw:
    """A line of chat JSONL."""
    return chat_jsonl.dialogue(line, data, {})


FORMATS = {
    "chat-jsonl": Format(".jsonl", as_chat, chat_read, write_lines),
    "preferences": Format(".jsonl", as_trl, preferences.understood, write_lines),
    "preferences-openai": Format(".jsonl", as_openai, preferences.understood, write_lines),
    "ratings": Format(".jsonl", as_rating, ratings.understood, write_lines),
    "completions": Format(".jsonl", as_completion, completions.understood, write_lines),
    "alpaca": Format(".jsonl", as_alpaca, alpaca.understood, write_lines),
    "sharegpt": Format(".jsonl", as_sharegpt, sharegpt.understood, write_lines),
    "csv": Format(".csv", as_cells, from_cells, write_csv),
    "parquet": Format(".parquet", as_record, chat_read, write_parquet),
}
