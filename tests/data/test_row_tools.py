"""What the assistant may call is read wherever a format has it, in one form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthier.data import chat_jsonl
from luthier.data.formats import alpaca, arrow, completions, preferences, ratings, request_log, sharegpt
from luthier.data.raw import Raw, Refused

FUNCTION = {"name": "look", "description": "Looks a card up.", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": FUNCTION}
ASKED = [{"role": "user", "content": "Which card?"}]
GOOD, BAD = {"role": "assistant", "content": "The blue one."}, {"role": "assistant", "content": "None."}
CHAT = {"messages": [*ASKED, GOOD]}
TALK = {"conversations": [{"from": "human", "value": "Which card?"}, {"from": "gpt", "value": "The blue one."}]}
ROWS: list[tuple[Any, dict[str, Any]]] = [
    (chat_jsonl, CHAT | {"tools": [TOOL]}),
    (chat_jsonl, CHAT | {"tools": json.dumps([TOOL])}),
    (preferences, {"prompt": ASKED, "chosen": [GOOD], "rejected": [BAD], "tools": [TOOL]}),
    (
        preferences,
        {"input": {"messages": ASKED, "tools": [TOOL]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
    ),
    (sharegpt, TALK | {"tools": [TOOL]}),
    (sharegpt, TALK | {"tools": json.dumps([FUNCTION])}),
    (sharegpt, TALK | {"tools": [{"type": "function"} | FUNCTION]}),
    (request_log, {"request": {"messages": ASKED, "tools": [TOOL]}, "response": {"choices": [{"message": GOOD}]}}),
    (completions, {"prompt": "Which card?", "completion": "The blue one.", "tools": [TOOL]}),
    (ratings, {"prompt": "Which card?", "completion": "The blue one.", "label": True, "tools": [TOOL]}),
    (alpaca, {"instruction": "Which card?", "output": "The blue one.", "tools": [TOOL]}),
]


def read(reader: Any, path: Path, row: dict[str, Any]) -> Raw | Refused:
    path.write_text(json.dumps(row) + "\n")
    (found,) = reader.read(path, {})
    assert isinstance(found, Raw | Refused)
    return found


@pytest.mark.parametrize(("reader", "row"), ROWS)
def test_tools_are_kept_in_openais_form(tmp_path: Path, reader: Any, row: dict[str, Any]) -> None:
    found = read(reader, tmp_path / "rows.jsonl", row)
    assert isinstance(found, Raw)
    assert found.tools == (TOOL,)
    assert "tools" not in found.metadata


@pytest.mark.parametrize("tools", ["look", "[{]", '{"name": "look"}', ["look"], [[]], 3])
def test_tools_that_are_none_refuse_the_row(tmp_path: Path, tools: Any) -> None:
    for reader, row in ((chat_jsonl, CHAT), (sharegpt, TALK)):
        found = read(reader, tmp_path / "rows.jsonl", row | {"tools": tools})
        assert isinstance(found, Refused)


@pytest.mark.parametrize("tools", [None, "", "  ", []])
def test_no_tools_are_no_fault(tmp_path: Path, tools: Any) -> None:
    found = read(sharegpt, tmp_path / "rows.jsonl", TALK | {"tools": tools})
    assert isinstance(found, Raw)
    assert found.tools == ()


def test_a_tool_of_another_kind_stays_as_it_is(tmp_path: Path) -> None:
    search = {"type": "web_search", "name": "web"}
    found = read(chat_jsonl, tmp_path / "rows.jsonl", CHAT | {"tools": [search]})
    assert isinstance(found, Raw)
    assert found.tools == (search,)


def test_a_table_keeps_them_as_a_text(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(
        {"messages": [CHAT["messages"]], "tools": [json.dumps([TOOL])], "metadata": ['{"topic": "cards"}']}
    )
    parquet.write_table(table, tmp_path / "rows.parquet")
    (found,) = arrow.read(tmp_path / "rows.parquet", {})
    assert isinstance(found, Raw)
    assert (found.tools, found.metadata) == ((TOOL,), {"topic": "cards"})


def test_a_plain_text_comes_back_as_one(tmp_path: Path) -> None:
    page = {"messages": [{"role": "assistant", "content": "Fees. A card costs 9 EUR."}]}
    assert isinstance(read(chat_jsonl, tmp_path / "a.jsonl", page), Refused)
    found = read(chat_jsonl, tmp_path / "a.jsonl", page | {"metadata": {"from_text": "true", "title": "Fees"}})
    assert isinstance(found, Raw)
    assert (len(found.messages), found.metadata) == (1, {"title": "Fees"})
    whole = CHAT | {"metadata": {"from_text": "true"}}
    assert isinstance(read(chat_jsonl, tmp_path / "a.jsonl", whole), Raw)
