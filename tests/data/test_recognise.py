"""What a file is, and what `luthier data check` says of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from luthier.cli import shown_rows
from luthier.cli.main import main
from luthier.data.formats.shapes import SHAPES
from luthier.data.looked import look
from luthier.data.raw import Raw, Refused
from luthier.data.recognise import Recognised, read, recognise
from luthier.errors import BadData
from luthier.records.data import Message
from tests.data.made_files import docx, pdf
from tests.data.test_fuzz_formats import GOOD

SAMPLE = Path(__file__).parents[2] / "luthier" / "sample"
SHARED = Path(__file__).parents[3] / "shared" / "data"
CHAT = {"messages": [{"role": "user", "content": "Fee?"}, {"role": "assistant", "content": "8 EUR."}]}


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def fits(path: Path) -> tuple[str, dict[str, str]]:
    found = recognise(path)
    assert found.why
    return found.format, found.mapping


@pytest.mark.parametrize("name", GOOD)
def test_shapes_of_rows(tmp_path, name):
    assert fits(lines(tmp_path / "rows.jsonl", GOOD[name], GOOD[name])) == (name, {})
    (tmp_path / "rows.json").write_text(json.dumps([GOOD[name]], indent=1))
    assert fits(tmp_path / "rows.json") == (name, {})
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(json.dumps(GOOD[name]).encode()))
    assert fits(tmp_path / "rows.jsonl.gz") == (name, {})
    assert {shape.format for shape in SHAPES} == {*GOOD, "chat-jsonl"}


def test_chat_lines_and_lists(tmp_path):
    assert fits(lines(tmp_path / "rows.jsonl", CHAT)) == ("chat-jsonl", {})
    assert fits(lines(tmp_path / "rows.json", [CHAT, CHAT])) == ("sharegpt", {})
    assert [row.line for row in read(tmp_path / "rows.json", {})] == [1, 2]


def test_the_shape_of_most_rows_counts(tmp_path):
    path = lines(tmp_path / "rows.jsonl", {"x": 1}, GOOD["alpaca"], GOOD["alpaca"], CHAT)
    assert recognise(path) == Recognised(
        "alpaca", {}, "it is a file of JSON lines, and 2 of the first 4 rows have instruction and output"
    )


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        ("user,assistant\na,b\n", {}),
        ("question;answer;id\na;b;1\n", {"user": "question", "assistant": "answer"}),
        ("instruction\tinput\toutput\na\tb\tc\n", {"user": "{instruction}\n\n{input}", "assistant": "output"}),
    ],
)
def test_tables(tmp_path, text, mapping):
    (tmp_path / "rows.csv").write_text(text)
    assert fits(tmp_path / "rows.csv") == ("csv", mapping)
    (row,) = read(tmp_path / "rows.csv", {})
    assert isinstance(row, Raw)


def test_a_mapping_that_is_known_needs_no_guess(tmp_path):
    (tmp_path / "rows.csv").write_text("text,category\na,b\n")
    with pytest.raises(BadData, match=r"do not say who speaks.*--map user=text --map assistant=category"):
        recognise(tmp_path / "rows.csv")
    (row,) = read(tmp_path / "rows.csv", {"user": "text", "assistant": "category"})
    assert isinstance(row, Raw)
    path = lines(tmp_path / "rows.jsonl", {"q": "a", "a": "b"})
    (row,) = read(path, {"prompt": "q", "completion": "a"})
    assert isinstance(row, Raw)


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "anything"
    parquet.write_table(pa.table({"question": ["a"], "answer": ["b"]}), path)
    assert fits(path) == ("parquet", {"user": "question", "assistant": "answer"})
    parquet.write_table(pa.table({"chosen": ["a"], "rejected": ["b"]}), path)
    assert fits(path) == ("parquet", {})
    parquet.write_table(pa.table({"text": ["a"], "label": ["b"]}), path)
    with pytest.raises(BadData, match="--format parquet --map user=text --map assistant=label"):
        recognise(path)


def test_documents_code_and_folders(tmp_path):
    for name, data in {"a.pdf": pdf("x"), "b.docx": docx("x"), "c.md": b"# x", "d.htm": b"<p>x"}.items():
        (tmp_path / name).write_bytes(data)
        assert fits(tmp_path / name) == ("documents", {})
    assert fits(tmp_path) == ("documents", {})
    for name in ("a.py", "b.py", "c.py", "d.py", "e.js"):
        (tmp_path / name).write_text("x = 1")
    assert fits(tmp_path / "a.py") == ("code", {})
    assert fits(tmp_path) == ("code", {})
    (tmp_path / "state.json").write_text("{}")
    lines(tmp_path / "train.jsonl", CHAT)
    assert fits(tmp_path) == ("hf-dataset", {})


def test_a_word_file_is_a_document(tmp_path):
    (tmp_path / "b.docx").write_bytes(docx("x"))
    assert fits(tmp_path / "b.docx") == ("documents", {})
    (tmp_path / "b.zip").write_bytes(docx("x"))
    with pytest.raises(BadData, match="ZIP archive"):
        recognise(tmp_path / "b.zip")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0", "nothing that Luthier knows"),
        (b'{"user_query": "a", "chatgpt_response": "b"}', "--map prompt=user_query --map completion=chatgpt_response"),
        (b'{"x": 1}', "--map prompt=FIELD"),
        (b'["a", "b"]', "a JSON list of things that are no rows"),
    ],
)
def test_what_nothing_fits(tmp_path, data, said):
    (tmp_path / "rows").write_bytes(data)
    with pytest.raises(BadData) as caught:
        recognise(tmp_path / "rows")
    assert said in str(caught.value)


def test_an_empty_folder(tmp_path):
    with pytest.raises(BadData, match="holds no file that Luthier reads"):
        recognise(tmp_path)


REAL = {
    "gpteacher_dedup/exact_dedup.jsonl.gz": ("alpaca", {}, 7673, 0),
    "hh_rlhf/harmless_pairs.jsonl.gz": ("preferences", {}, 1794, 6),
    "gsm8k/train.jsonl": ("completions", {"prompt": "question", "completion": "answer"}, 2000, 0),
    "aws_docs_qa/questions.csv": ("csv", {"user": "question", "assistant": "answer"}, 50, 0),
    "handbook_18f/pages": ("documents", {}, 234, 8),
    "prometheus_docs/docs": ("documents", {}, 58, 13),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    kind, mapping, good, refused = REAL[name]
    assert fits(path) == (kind, mapping)
    found = look(read(path, {}))
    assert (found.rows, len(found.refused)) == (good, refused)


# ---- luthier data check


def check(capsys, *arguments: object) -> str:
    main(["data", "check", *map(str, arguments)])
    return str(capsys.readouterr().out)


def test_check_says_what_it_is_and_shows_rows(tmp_path, capsys):
    path = lines(tmp_path / "rows.jsonl", CHAT, {"messages": []}, *[CHAT] * 4, *[{"x": 1}] * 30)
    said = check(capsys, path)
    assert "rows.jsonl is read as chat-jsonl: it is a file of JSON lines, and 6 of" in said
    assert "user: Fee?\nassistant: ⟦8 EUR.⟧" in said
    assert said.count("⟦8 EUR.⟧") == 3
    assert "5 rows are good, 31 are refused" in said
    assert "rows.jsonl:2  there is no list of messages" in said
    assert said.count("rows.jsonl:") == 20
    assert "… and 11 more" in said


def test_check_for_machines(tmp_path, capsys):
    path = lines(tmp_path / "rows.jsonl", GOOD["preferences"], GOOD["preferences"], {"x": 1})
    data = json.loads(check(capsys, path, "--json"))
    assert (data["format"], data["rows"], [row["line"] for row in data["refused"]]) == ("preferences", 2, [3])
    shown = data["shown"][0]
    assert {"text": "8", "learnt": True} in shown["segments"]
    assert {"text": "9", "learnt": True} in shown["rejected"]
    assert [span["learnt"] for span in shown["segments"]].count(True) == 1
    earlier = {
        "prompt": [*CHAT["messages"], {"role": "user", "content": "Abroad?"}],
        "chosen": "2 %",
        "rejected": "No.",
    }
    shown = json.loads(check(capsys, lines(tmp_path / "rows.jsonl", earlier), "--json"))["shown"][0]
    assert [span["text"] for span in shown["segments"] if span["learnt"]] == ["2 %"], "the last turn is compared"
    rated = lines(tmp_path / "rated.jsonl", GOOD["ratings"])
    assert json.loads(check(capsys, rated, "--json"))["shown"][0]["good"] is True


def test_check_counts_formulas_of_tables(tmp_path, capsys):
    path = tmp_path / "rows.csv"
    path.write_text('user,assistant\n"=HYPERLINK(""http://x"")",b\na,-5\na,@SUM(A1)\na,+49 30 1234\nb,c\n')
    data = json.loads(check(capsys, path, "--json"))
    assert data["rows"] == 5
    assert data["warnings"] == [
        "2 rows have a cell that a spreadsheet would calculate (the first is rows.csv:2); it is kept as text"
    ]
    assert "Note: 2 rows" in check(capsys, path)


def test_check_is_safe_for_the_terminal(tmp_path, capsys):
    evil = {
        "messages": [{"role": "user", "content": "a\x1b]0;x\x07[red]"}, {"role": "assistant", "content": "x" * 5000}]
    }
    said = check(capsys, lines(tmp_path / "rows.jsonl", evil))
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "[red]" in said
    assert "4,400 letters" in said


def test_check_of_what_nothing_fits(tmp_path, capsys):
    path = lines(tmp_path / "rows.jsonl", {"q": 1})
    said = check(capsys, path)
    assert "no known shape of rows (fields: q), so each line is read as chat" in said
    assert "rows.jsonl:1  there is no list of messages under 'messages'" in said
    (tmp_path / "rows.csv").write_text("text,category\na,b\n")
    with pytest.raises(SystemExit) as ended:
        check(capsys, tmp_path / "rows.csv")
    assert ended.value.code == 1
    assert "--map user=text" in capsys.readouterr().err


def test_check_in_the_chat_template_of_the_base(capsys):
    pytest.importorskip("transformers")
    from luthier.errors import Missing
    from luthier.lm.pull import local

    try:
        local("smollm2-135m-instruct")
    except Missing as missing:
        pytest.skip(str(missing))
    data = json.loads(check(capsys, SAMPLE / "dialogues.jsonl", "--json", "--project", SAMPLE))
    assert data["rendered"] == "in the chat template of smollm2-135m-instruct"
    assert (data["rows"], data["refused"]) == (360, [])
    spans = data["shown"][0]["segments"]
    first = json.loads((SAMPLE / "dialogues.jsonl").read_text(encoding="utf-8").splitlines()[0])
    answers = [message["content"] for message in first["messages"] if message["role"] == "assistant"]
    assert [span["text"] for span in spans if span["learnt"]] == [f"{answer}<|im_end|>" for answer in answers]
    assert spans[0]["text"].endswith("<|im_start|>assistant\n")


def test_spans_without_a_template():
    turns = [
        Message(role="user", content="Fee?"),
        Message(role="assistant", content="Wait.", weight=0),
        Message(role="assistant", content="8 EUR."),
    ]
    spans = shown_rows.segments(turns, None)
    assert [span.text for span in spans if span.learnt] == ["8 EUR."]
    assert shown_rows.segments(turns[2:], None) == [shown_rows.Segment("8 EUR.", True)], "a plain text is learnt whole"


def test_looking_streams():
    """A million refusals are counted, and not kept."""
    found = look(Refused(number, "no") for number in range(1, 30_001))
    assert (len(found.refused), found.more) == (10_000, 20_000)
