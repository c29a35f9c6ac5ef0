"""Every row shape: what is read, what is refused and why; files that are packed, mixed up, too large or hostile."""

import gzip
import json
import tracemalloc

import pytest

from luthier.data import chat_jsonl, unpacked
from luthier.data.formats import (
    alpaca,
    arrow,
    code,
    completions,
    documents,
    hf_dataset,
    objects,
    preferences,
    ratings,
    request_log,
    sharegpt,
)
from luthier.data.raw import Raw, Refused
from luthier.errors import BadConfig, BadData
from tests.data.made_files import CHAT, bomb, docx, said, written

ALPACA = {"instruction": "Sum up.", "input": "Long text.", "output": "Text."}


def one(tmp_path, read, row, mapping=None) -> Raw | Refused:
    (found,) = read(written(tmp_path, [row]), mapping or {})
    return found


def reason(tmp_path, read, row) -> str:
    found = one(tmp_path, read, row)
    assert isinstance(found, Refused), found
    return found.reason


def test_openai_preferences(tmp_path):
    row = {
        "input": {"messages": CHAT[:1], "tools": []},
        "preferred_output": [CHAT[1]],
        "non_preferred_output": [{"role": "assistant", "content": "No idea."}],
        "annotator": "a7",
    }
    found = one(tmp_path, preferences.read, row)
    assert said(found) == ["user: Fee?", "assistant: 8 EUR."]
    assert [message.content for message in found.rejected] == ["No idea."]
    assert found.metadata == {"annotator": "a7"}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Fee?", "chosen": "8 EUR.", "rejected": "No idea."},
        {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": [{"role": "assistant", "content": "No idea."}]},
        {"prompt": "Fee?", "chosen": CHAT, "rejected": [CHAT[0], {"role": "assistant", "content": "No idea."}]},
        {"chosen": CHAT, "rejected": [CHAT[0], {"role": "assistant", "content": "No idea."}]},
        {"chosen": "\n\nHuman: Fee?\n\nAssistant: 8 EUR.", "rejected": "\n\nHuman: Fee?\n\nAssistant: No idea."},
        {"chosen": "Fee? 8 EUR.", "rejected": "Fee? No idea."},
    ],
    ids=["texts", "messages", "the prompt repeated", "implicit messages", "marked texts", "implicit texts"],
)
def test_trl_preferences(tmp_path, row):
    found = one(tmp_path, preferences.read, row)
    assert said(found) == ["user: Fee?", "assistant: 8 EUR."]
    assert [(message.role, message.content) for message in found.rejected] == [("assistant", "No idea.")]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"prompt": "Fee?", "chosen": "8", "rejected": "8"}, "say the same"),
        ({"chosen": "A b", "rejected": "C d"}, "there is no prompt"),
        ({"prompt": "Fee?", "chosen": "8", "rejected": ""}, "rejected is empty"),
        ({"prompt": "Fee?", "chosen": 8, "rejected": "9"}, "'chosen' is neither a text nor a list"),
        ({"prompt": "Fee?", "rejected": "9"}, "'chosen' is neither"),
        ({"chosen": [*CHAT, *CHAT], "rejected": [{"role": "user", "content": "x"}, CHAT[1]]}, "turn 1 of 4"),
        ({"prompt": CHAT[:1], "chosen": "8", "rejected": [CHAT[0]]}, "no assistant turn"),
        ({"input": {}, "preferred_output": [], "non_preferred_output": []}, "input.messages"),
        ({"prompt": [{"role": "bot"}], "chosen": "8", "rejected": "9"}, "prompt: message 1: role 'bot'"),
        ([1], "no JSON object"),
    ],
)
def test_preferences_that_are_none(tmp_path, row, why):
    assert why in reason(tmp_path, preferences.read, row)


@pytest.mark.parametrize(("label", "good"), [(True, True), (False, False), (1, True), (0.0, False), ("True", True)])
def test_ratings(tmp_path, label, good):
    found = one(tmp_path, ratings.read, {"prompt": "Fee?", "completion": "8 EUR.", "label": label})
    assert said(found) == ["user: Fee?", "assistant: 8 EUR."]
    assert found.good is good


@pytest.mark.parametrize("label", [None, "good", 2, [], 0.5])
def test_a_rating_without_a_label(tmp_path, label):
    assert "neither true nor false" in reason(
        tmp_path, ratings.read, {"prompt": "a", "completion": "b", "label": label}
    )


def test_completions(tmp_path):
    row = {"prompt": "Fee?", "completion": " 8 EUR.\n", "language": "en", "topic": "fees"}
    found = one(tmp_path, completions.read, row)
    assert found == Raw(1, found.messages, "en", {"topic": "fees"})
    assert said(found) == ["user: Fee?", "assistant: 8 EUR."], "the separators of old files are no part of the answer"
    lists = {"prompt": [{"role": "system", "content": "Be brief."}, CHAT[0]], "completion": CHAT[1:]}
    assert said(one(tmp_path, completions.read, lists))[0] == "system: Be brief."
    mapping = {"prompt": "question", "completion": "answer"}
    found = one(tmp_path, completions.read, {"question": "Fee?", "answer": "8 EUR.", "prompt": "other"}, mapping)
    assert (said(found), found.metadata) == (["user: Fee?", "assistant: 8 EUR."], {})
    with pytest.raises(BadConfig, match="cannot map 'question'"):
        one(tmp_path, completions.read, row, {"question": "prompt"})


def test_alpaca(tmp_path):
    row = ALPACA | {"system": "Be brief.", "history": [["Hi", "Hello"]], "source": "desk"}
    found = one(tmp_path, alpaca.read, row)
    assert said(found) == [
        "system: Be brief.",
        "user: Hi",
        "assistant: Hello",
        "user: Sum up.\n\nLong text.",
        "assistant: Text.",
    ]
    assert found.metadata == {"source": "desk"}
    assert said(one(tmp_path, alpaca.read, ALPACA | {"input": ""}))[0] == "user: Sum up."
    assert reason(tmp_path, alpaca.read, ALPACA | {"output": ""}) == "output is empty"
    assert reason(tmp_path, alpaca.read, ALPACA | {"output": 3}) == "'output' is no text"
    assert "pairs" in reason(tmp_path, alpaca.read, ALPACA | {"history": ["Hi"]})


def test_sharegpt(tmp_path):
    turns = [{"from": "human", "value": "Fee?"}, {"from": "gpt", "value": "8 EUR.", "weight": 0}]
    found = one(tmp_path, sharegpt.read, {"conversations": turns, "system": "Be brief.", "id": "x1"})
    assert said(found) == ["system: Be brief.", "user: Fee?", "assistant: 8 EUR."]
    assert (found.messages[2].weight, found.metadata) == (0, {"id": "x1"})
    assert said(one(tmp_path, sharegpt.read, {"conversations": json.dumps(turns)})) == said(found)[1:]
    (bare,) = sharegpt.read(written(tmp_path, json.dumps([turns])), {})
    assert said(bare) == said(found)[1:]
    lists = sharegpt.read(written(tmp_path, f"{json.dumps(turns)}\n{json.dumps(turns)}\n"), {})
    assert [row.line for row in lists] == [1, 2], "lines that are lists are no list of rows"
    assert "nobody is called 'robot'" in reason(
        tmp_path, sharegpt.read, {"conversations": [{"from": "robot", "value": "x"}]}
    )
    assert "begins with the assistant" in reason(tmp_path, sharegpt.read, {"conversations": turns[1:]})


def test_sharegpt_tools(tmp_path):
    turns = [
        {"from": "human", "value": "Balance?"},
        {"from": "function_call", "value": '{"name": "balance", "arguments": {"account": 7}}'},
        {"from": "observation", "value": "12"},
        {"from": "gpt", "value": "12 EUR"},
    ]
    found = one(tmp_path, sharegpt.read, {"conversations": turns})
    assert [message.role for message in found.messages] == ["user", "assistant", "tool", "assistant"]
    assert found.messages[1].tool_calls[0]["function"] == {"name": "balance", "arguments": '{"account": 7}'}
    turns[1]["value"] = "balance(7)"
    assert "no JSON object with name" in reason(tmp_path, sharegpt.read, {"conversations": turns})


LOGGED = {
    "timestamp": 1_760_000_000,
    "workload_id": "support",
    "client_id": "c-9",
    "request": {"model": "base", "messages": [*CHAT, {"role": "user", "content": "And abroad?"}]},
    "response": {"choices": [{"message": {"role": "assistant", "content": "2 %."}, "finish_reason": "length"}]},
}


def test_request_logs(tmp_path):
    found = one(tmp_path, request_log.read, LOGGED)
    assert said(found)[-2:] == ["user: And abroad?", "assistant: 2 %."]
    assert [message.weight for message in found.messages] == [None, 0, None, None], "earlier answers are context"
    assert (found.collected, found.subject) == ("2025-10-09", "c-9")
    assert found.metadata == {"workload": "support", "model": "base", "finish": "length"}
    texts = LOGGED | {"request": json.dumps(LOGGED["request"]), "response": json.dumps(LOGGED["response"])}
    assert one(tmp_path, request_log.read, texts) == found
    assert "no answer" in reason(tmp_path, request_log.read, LOGGED | {"response": {"error": "timeout"}})
    assert "no request and response" in reason(tmp_path, request_log.read, LOGGED | {"request": "…"})


@pytest.mark.parametrize(
    ("stamp", "day"),
    [
        ("2026-03-04T23:10:00+02:00", "2026-03-04"),
        ("2026-03-04", "2026-03-04"),
        ("1760000000", "2025-10-09"),
        (1_760_000_000_123, "2025-10-09"),
        ("yesterday", ""),
        (1e300, ""),
        (None, ""),
    ],
)
def test_days(stamp, day):
    assert request_log.day(stamp) == day


def test_tools_and_weights_of_chat_lines(tmp_path):
    told = {"messages": [{"role": "developer", "content": "Be brief."}, *CHAT]}
    assert said(one(tmp_path, chat_jsonl.read, told))[0] == "system: Be brief."
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    row = {
        "messages": [CHAT[0], {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "1"}, CHAT[1]]
    }
    row["messages"][1]["weight"] = 0
    found = one(tmp_path, chat_jsonl.read, row)
    assert (found.messages[1].tool_calls, found.messages[1].weight) == ((call,), 0)


# ---- lists, encodings, packed files


@pytest.mark.parametrize("indent", [None, 2])
def test_one_list_of_rows(tmp_path, indent):
    rows = [ALPACA, {"instruction": 'Escapes: \\ " ] } , é', "output": "[{"}, ALPACA]
    path = written(tmp_path, json.dumps(rows, indent=indent))
    found = list(alpaca.read(path, {}))
    assert [row.line for row in found] == [1, 2, 3]
    assert said(found[1]) == ['user: Escapes: \\ " ] } , é', "assistant: [{"]
    assert list(alpaca.read(written(tmp_path, "[]"), {})) == []


def test_a_broken_element_is_refused_alone(tmp_path):
    good = json.dumps(ALPACA)
    text = f"[\n{good},\n{{'instruction': 1}},\n\n{good},, {good}"
    found = list(alpaca.read(written(tmp_path, text, "rows.json"), {}))
    assert [type(row).__name__ for row in found] == ["Raw", "Refused", "Raw", "Refused", "Raw", "Refused"]
    assert "row 2 begins on line 3" in found[1].reason
    assert "the file ends before the list does" in found[5].reason
    spoilt = list(alpaca.read(written(tmp_path, f"[{good}}}, {good}, {good}]"), {}))
    assert [type(row).__name__ for row in spoilt] == ["Refused", "Raw", "Raw"]
    behind = list(alpaca.read(written(tmp_path, f"[{good}] {{}} [{good}] end"), {}))
    assert [type(row).__name__ for row in behind] == ["Raw", "Refused", "Raw", "Refused"]


def test_long_rows_are_refused_and_the_next_are_read(tmp_path):
    good, long = json.dumps(ALPACA), json.dumps(ALPACA | {"input": "x" * 10_000_001})
    lines = list(alpaca.read(written(tmp_path, f"{good}\n{long}\n{good}"), {}))
    listed = list(alpaca.read(written(tmp_path, f"[{good},\n{long},\n{good}]"), {}))
    for rows in (lines, listed):
        assert [isinstance(row, Raw) for row in rows] == [True, False, True]
        assert "longer than 10 MB" in rows[1].reason
        assert rows[2].line == 3


def test_a_list_larger_than_memory_may_be(tmp_path):
    path = tmp_path / "rows.json"
    row = json.dumps(ALPACA | {"input": "x" * 10_000})
    with path.open("w") as file:
        file.write("[" + ",\n".join([row] * 2_000) + "]")
    tracemalloc.start()
    count = sum(isinstance(row, Raw) for row in alpaca.read(path, {}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2_000
    assert peak < path.stat().st_size / 10


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("shape", ["lines", "list"])
def test_encodings(tmp_path, encoding, shape):
    row = ALPACA | {"output": "Zürich 東京 😀"}
    text = json.dumps(row, ensure_ascii=False) + "\n" if shape == "lines" else json.dumps([row], ensure_ascii=False)
    mark = "\ufeff" if encoding.endswith("e") else ""
    (tmp_path / "rows").write_bytes((mark + text).encode(encoding))
    (found,) = alpaca.read(tmp_path / "rows", {})
    assert said(found)[1] == "assistant: Zürich 東京 😀"


def test_what_is_in_no_encoding_is_refused_where_it_stands(tmp_path):
    good = json.dumps(ALPACA).encode()
    path = tmp_path / "rows"
    path.write_bytes(good + b"\n" + good.replace(b"Text", "Tëxt".encode("latin-1")) + b"\n" + good)
    assert [isinstance(row, Raw) for row in alpaca.read(path, {})] == [True, False, True]
    half = b"\xff\xfe" + (json.dumps(ALPACA) + "\n").encode("utf-16-le") + b"\x00\xd8\n\x00" + b"x"
    path.write_bytes(half)
    found = list(alpaca.read(path, {}))
    assert [isinstance(row, Raw) for row in found] == [True, False, False]
    assert found[1].reason == "the line is not UTF-8 text"


def test_gzip_is_read_and_bombs_are_not(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(ALPACA).encode() + b"\n") * 3)
    assert [row.line for row in alpaca.read(path, {})] == [1, 2, 3]
    path.write_bytes(gzip.compress(json.dumps(ALPACA).encode() * 100)[:-20])
    with pytest.raises(BadData, match="broken gzip"):
        list(alpaca.read(path, {}))
    path.write_bytes(gzip.compress(gzip.compress(b"{}")))
    with pytest.raises(BadData, match="packed twice"):
        list(alpaca.read(path, {}))
    with pytest.raises(BadData, match="more than 200 times"):
        list(alpaca.read(bomb(tmp_path / "bomb.gz"), {}))


@pytest.mark.parametrize(
    ("head", "what"), [(docx("x"), "ZIP"), (b"\x28\xb5\x2f\xfdxx", "zstd"), (b"\0" * 257 + b"ustar", "tar")]
)
def test_archives_are_refused_in_one_sentence(tmp_path, head, what):
    (tmp_path / "rows.jsonl").write_bytes(head)
    with pytest.raises(BadData, match=what):
        list(alpaca.read(tmp_path / "rows.jsonl", {}))


def test_a_file_that_is_not_there(tmp_path):
    for read in (alpaca.read, arrow.read, documents.read, code.read, hf_dataset.read):
        with pytest.raises(BadData):
            list(read(tmp_path / "none", {}))


def test_the_cutter_counts_lines_over_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "PIECE", 5)
    text = '[\n {"a": "x\\"],"},\n\n {"b": [1, {"c": "\\\\"}]}\n]\n'
    with unpacked.opened(written(tmp_path, text)) as file:
        places = list(objects.elements(file))
    assert [(place.line, json.loads(place.text)) for place in places] == [
        (2, {"a": 'x"],'}),
        (4, {"b": [1, {"c": "\\"}]}),
    ]
