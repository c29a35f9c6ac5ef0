"""Chat JSONL and tables: what is read, what is refused, and that no bytes bring a reader down."""

import gzip
import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from luthier.data import chat_jsonl, table, unpacked
from luthier.data.raw import Raw, Refused
from luthier.errors import BadConfig, BadData

GOOD = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


def jsonl(tmp_path, *rows) -> list:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows))
    return list(chat_jsonl.read(path, {}))


def reason(tmp_path, row) -> str:
    (refused,) = jsonl(tmp_path, row)
    assert isinstance(refused, Refused), refused
    return refused.reason


def turns(*pairs) -> dict:
    return {"messages": [{"role": role, "content": content} for role, content in pairs]}


def test_a_dialogue(tmp_path):
    row = GOOD | {"language": "de", "id": 7, "metadata": {"topic": "cards", "n": 2}, "dialogue": "d-1"}
    (raw,) = jsonl(tmp_path, row)
    assert [message.role for message in raw.messages] == ["user", "assistant"]
    assert raw == Raw(1, raw.messages, "de", {"topic": "cards", "n": "2", "id": "7", "dialogue": "d-1"})


def test_windows_files_blank_lines_and_line_numbers(tmp_path):
    path = tmp_path / "rows.jsonl"
    line = json.dumps(GOOD).encode()
    path.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\r\n  \r\n" + line + b"\r\nnonsense")
    rows = list(chat_jsonl.read(path, {}))
    assert [row.line for row in rows] == [1, 4, 5]
    assert isinstance(rows[2], Refused)


def test_parts_tools_and_weights(tmp_path):
    call = {"id": "c1", "type": "function", "function": {"name": "balance", "arguments": '{"iban": "DE"}'}}
    row = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "How"}, {"type": "text", "text": "much?"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "12", "tool_call_id": "c1"},
            {"role": "assistant", "content": "12 EUR", "weight": 0},
        ]
    }
    (raw,) = jsonl(tmp_path, row)
    assert raw.messages[1].content == "How\nmuch?"
    assert raw.messages[2].tool_calls == (call,)
    assert raw.messages[4].weight == 0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"{", "not JSON (column 2"),
        (b"\xff\xfe\x00binary", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": NaN}', "number"),
        (b'{"a": 1e999}', "number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "surrogate"),
        ([], "no JSON object"),
        ({"text": "x"}, "no list of messages under 'messages'"),
        ({"messages": []}, "no list of messages"),
        ({"messages": ["Hi"]}, "message 1 is no object"),
        (turns(("bot", "Hi")), "message 1: role 'bot' is unknown; one of system, user, assistant, tool"),
        (turns(("Jane Smith", "Hi")), "role (not shown) is unknown"),
        (turns(("user", "Hi")), "no assistant turn"),
        (turns(("user", " "), ("assistant", "Hi")), "message 1 (user) is empty"),
        (turns(("user", "Hi"), ("assistant", "")), "message 2 (assistant) is empty"),
        (turns(("assistant", "Hi"), ("user", "Hi"), ("assistant", "Hi")), "begins with the assistant"),
        (turns(("system", "Hi"), ("assistant", "Hi")), "begins with the assistant"),
        (turns(("user", "a"), ("system", "b"), ("assistant", "c")), "system message"),
        (turns(("user", "a"), ("tool", "b"), ("assistant", "c")), "nothing called it"),
        (turns(("user", "a"), ("assistant", "b"), ("user", "c")), "ends with a user turn"),
        (turns(("user", 5), ("assistant", "b")), "content is no text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "part that is no text"),
        ({"messages": [{"role": "user", "content": "a", "tool_calls": 5}]}, "not as the chat format has it"),
        (turns(("system", "only")), "no assistant turn"),
    ],
)
def test_refusals(tmp_path, row, said):
    assert said in reason(tmp_path, row)


def test_tool_calls_that_could_not_be_written_again(tmp_path):
    deep: object = "x"
    for _ in range(60):
        deep = [deep]
    call = {"role": "assistant", "content": "", "tool_calls": [{"arguments": deep}]}
    assert "nested too deeply" in reason(tmp_path, {"messages": [{"role": "user", "content": "a"}, call]})


def test_a_line_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacked, "LONGEST", 1000)
    rows = jsonl(tmp_path, GOOD, b"x" * 5000, GOOD, b"y" * 5000)
    assert [(row.line, isinstance(row, Refused)) for row in rows] == [(1, False), (2, True), (3, False), (4, True)]
    assert "longer than 10 MB" in rows[1].reason


def test_an_empty_file_and_none(tmp_path):
    assert jsonl(tmp_path) == []
    with pytest.raises(BadData, match="cannot be read"):
        list(chat_jsonl.read(tmp_path / "none.jsonl", {}))
    with pytest.raises(BadData, match="cannot be read"):
        list(chat_jsonl.read(tmp_path, {}))


@pytest.mark.parametrize("made", [gzip.compress, lambda data: data.decode().encode("utf-16")], ids=["gzip", "utf-16"])
def test_packed_and_utf_16_files(tmp_path, made):
    path = tmp_path / "rows"
    path.write_bytes(made(json.dumps(GOOD).encode() + b"\n\n" + json.dumps(GOOD).encode()))
    assert [row.line for row in chat_jsonl.read(path, {}) if isinstance(row, Raw)] == [1, 3]
    path.write_bytes(made("user,assistant\nFée?,8\n".encode()))
    (raw,) = table.read(path, {})
    assert raw.messages[0].content == "Fée?"


def test_mapped_names(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"conversation": GOOD["messages"], "lang": "es-MX"}))
    (raw,) = chat_jsonl.read(path, {"messages": "conversation", "language": "lang"})
    assert (len(raw.messages), raw.language) == (2, "es-MX")
    with pytest.raises(BadConfig, match="cannot map 'user'"):
        list(chat_jsonl.read(path, {"user": "x"}))


ANY_LINES = st.lists(
    st.one_of(st.binary(max_size=60), st.sampled_from([json.dumps(GOOD).encode(), b"", b'{"messages":']))
)


PACKED = (unpacked.GZIP, *unpacked.ARCHIVES, b"\xff\xfe", b"\xfe\xff")


@settings(max_examples=100, deadline=None)
@given(ANY_LINES.map(b"\n".join))
def test_any_bytes_give_rows_or_refusals(tmp_path_factory, data):
    assume(not data.startswith(PACKED))  # what becomes of those is tested beside `unpacked`
    path = tmp_path_factory.mktemp("any") / "rows"
    path.write_bytes(data)
    rows = list(chat_jsonl.read(path, {}))
    assert all(isinstance(row, Raw | Refused) for row in rows)
    assert len(rows) == sum(1 for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip())
    try:
        rows = list(table.read(path, {"user": "a", "assistant": "b"}))
    except (BadData, BadConfig):
        return
    assert all(isinstance(row, Raw | Refused) for row in rows)


def csv(tmp_path, text: str | bytes, mapping: dict[str, str]) -> list:
    path = tmp_path / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(table.read(path, mapping))


def test_a_table(tmp_path):
    (raw,) = csv(tmp_path, 'text;category\n"What; a ""fee""";fees\n', {"user": "text", "assistant": "category"})
    assert [message.content for message in raw.messages] == ['What; a "fee"', "fees"]
    assert raw.line == 2


def test_templates_metadata_and_languages(tmp_path):
    mapping = {
        "system": "You sort.",
        "user": "Which intent? {text}",
        "assistant": "{category}",
        "language": "lang",
        "dialogue": "id",
        "shop": "branch",
    }
    mapping["system"] = "You sort for {branch}."
    rows = csv(tmp_path, "text,category,lang,id,branch\nhi {id},greeting,de,7,north\n", mapping)
    assert [message.content for message in rows[0].messages] == [
        "You sort for north.",
        "Which intent? hi {id}",
        "greeting",
    ]
    assert rows[0][2:4] == ("de", {"dialogue": "7", "shop": "north"})


def test_columns_called_as_the_roles_need_no_mapping(tmp_path):
    (raw,) = csv(tmp_path, "user\tassistant\na\tb\n", {})
    assert raw.messages[1].content == "b"


def test_wrong_rows(tmp_path):
    text = b'user,assistant\na,b,c\n,b\na,\n"\xff",b\n"open\nend,b'
    rows = csv(tmp_path, text, {})
    assert [row.line for row in rows] == [2, 3, 4, 5, 6]
    assert [row.reason for row in rows] == [
        "the row has 3 fields, the header 2",
        "message 1 (user) is empty",
        "message 2 (assistant) is empty",
        "the line is not UTF-8 text",
        "the row has 1 fields, the header 2",
    ]


def test_tables_that_cannot_be_used(tmp_path):
    with pytest.raises(BadConfig, match=r"no column 'txt'.*did you mean 'text'"):
        csv(tmp_path, "text,category\na,b\n", {"user": "txt", "assistant": "category"})
    with pytest.raises(BadConfig, match="which column"):
        csv(tmp_path, "text,category\na,b\n", {"user": "text"})
    for empty in ("", "\n", b"\xff\xfe\n"):
        with pytest.raises(BadData, match="no header"):
            csv(tmp_path, empty, {})


def test_what_the_assistant_may_call_is_read(tmp_path):
    turns = [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "Sunny."}]
    tool = {"type": "function", "function": {"name": "weather", "description": "Today's", "parameters": {}}}
    lines = [{"messages": turns, "tools": [tool]}, {"messages": turns, "tools": "weather"}, {"messages": turns}]
    file = tmp_path / "tools.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    with_tool, refused, plain = chat_jsonl.read(file, {})
    assert with_tool.tools == (tool,)
    assert "tools is no list" in refused.reason
    assert plain.tools == ()
