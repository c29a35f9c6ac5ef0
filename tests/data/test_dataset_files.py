"""Parquet, Arrow and dataset folders: rows by columns, broken files, links that lead out."""

import os
from datetime import date

import pytest

from luthier.data.folders import folder_digest
from luthier.data.formats import (
    arrow,
    hf_dataset,
)
from luthier.data.raw import Raw, Refused
from luthier.errors import BadConfig, BadData
from tests.data.made_files import CHAT, bomb, said, written


def parquet(path, columns, **more):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **more)
    return path


def test_parquet_of_each_shape(tmp_path):
    path = tmp_path / "rows.parquet"
    (chat,) = arrow.read(parquet(path, {"messages": [CHAT], "day": [date(2026, 1, 2)]}), {})
    assert said(chat) == ["user: Fee?", "assistant: 8 EUR."]
    (pair,) = arrow.read(parquet(path, {"prompt": ["Fee?"], "chosen": ["8"], "rejected": ["9"]}), {})
    assert pair.rejected[0].content == "9"
    turns = [[{"from": "human", "value": "Fee?"}, {"from": "gpt", "value": "8"}]]
    (share,) = arrow.read(parquet(path, {"conversations": turns}), {})
    assert said(share) == ["user: Fee?", "assistant: 8"]
    (rated,) = arrow.read(parquet(path, {"prompt": ["a"], "completion": ["b"], "label": [False]}), {})
    assert rated.good is False


def test_parquet_with_a_mapping(tmp_path):
    path = parquet(tmp_path / "p.parquet", {"text": ["Fee?", None], "n": [7, 8], "at": [date(2026, 1, 2)] * 2})
    rows = list(arrow.read(path, {"user": "{text} ({n})", "assistant": "n", "day": "at"}))
    assert said(rows[0]) == ["user: Fee? (7)", "assistant: 7"]
    assert rows[0].metadata == {"day": "2026-01-02"}
    assert said(rows[1])[0] == "user:  (8)"
    with pytest.raises(BadConfig, match="which column"):
        list(arrow.read(path, {}))
    (renamed,) = arrow.read(
        parquet(tmp_path / "q.parquet", {"q": ["Fee?"], "a": ["8"]}), {"prompt": "q", "completion": "a"}
    )
    assert said(renamed) == ["user: Fee?", "assistant: 8"]


def test_broken_parquet_loses_no_row(tmp_path):
    rows = 1000
    columns = {"prompt": [f"Q{n}" for n in range(rows)], "completion": [f"{n} " * 9 for n in range(rows)]}
    path = parquet(tmp_path / "p.parquet", columns, row_group_size=100, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 400] = b"\x00" * 400
    path.write_bytes(data)
    found = list(arrow.read(path, {}))
    assert [row.line for row in found] == list(range(1, rows + 1))
    refused = [row for row in found if isinstance(row, Refused)]
    assert 0 < len(refused) <= 300
    assert "broken here" in refused[0].reason
    path.write_bytes(data[:-50])
    with pytest.raises(BadData, match="cannot be read"):
        list(arrow.read(path, {}))


def test_parquet_rows_that_are_no_text_or_too_long(tmp_path):
    pa = pytest.importorskip("pyarrow")
    bad = pa.array([b"Fee?", b"\xff\xfe", b"x" * 10_000_001, b"Fee?"]).view(pa.string())
    path = parquet(tmp_path / "p.parquet", {"prompt": bad, "completion": ["8"] * 4})
    found = list(arrow.read(path, {}))
    assert [isinstance(row, Raw) for row in found] == [True, False, False, True]
    assert "not UTF-8" in found[1].reason
    assert "10 MB" in found[2].reason


def test_a_dataset_folder_of_the_hub(tmp_path):
    columns = {"prompt": ["Fee?"], "completion": ["8"]}
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", columns)
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", columns)
    parquet(tmp_path / "data" / "test_sft-00000-of-00001.parquet", columns)
    written(tmp_path / "data", [{"messages": CHAT}, {"nothing": 1}], "validation.jsonl")
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: cc-by-4.0\n---\n# Set\n")
    rows = list(hf_dataset.read(tmp_path, {}))
    assert [row.line for row in rows] == [1, 2, 3, 4, 5]
    splits = [row.metadata["split"] for row in rows if isinstance(row, Raw)]
    assert splits == ["test_sft", "train", "train", "validation"]
    assert rows[0].metadata["licence"] == "cc-by-4.0"
    assert rows[4].reason.startswith("data/validation.jsonl:2: the row has no known shape")


def test_a_folder_of_save_to_disk(tmp_path):
    pa = pytest.importorskip("pyarrow")
    for split, text in (("train", "8"), ("holdout", "9")):
        (tmp_path / split).mkdir()
        table = pa.table({"prompt": ["Fee?"], "completion": [text]})
        with (
            pa.OSFile(str(tmp_path / split / "data-00000-of-00001.arrow"), "wb") as sink,
            pa.ipc.new_stream(sink, table.schema) as stream,
        ):
            stream.write_table(table)
        (tmp_path / split / "state.json").write_text("{}")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "holdout"]}')
    rows = {row.metadata["split"]: said(row)[1] for row in hf_dataset.read(tmp_path, {})}
    assert rows == {"train": "assistant: 8", "holdout": "assistant: 9"}


def test_a_file_of_the_folder_that_cannot_be_read_is_one_refusal(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1nothing")
    bomb(tmp_path / "b.jsonl.gz")
    written(tmp_path, [{"messages": CHAT}], "c.jsonl")
    rows = list(hf_dataset.read(tmp_path, {}))
    assert [isinstance(row, Raw) for row in rows[-2:]] == [False, True]
    assert rows[0].reason.startswith("a.parquet:1: the file cannot be read")
    assert "more than 200 times" in rows[-2].reason


def test_links_out_of_a_folder_are_refused(tmp_path):
    inner = tmp_path / "set"
    inner.mkdir()
    written(inner, [{"messages": CHAT}], "train.jsonl")
    secret = written(tmp_path, [{"messages": CHAT}], "secret.jsonl")
    (inner / "outside.jsonl").symlink_to(secret)
    (inner / "inside.jsonl").symlink_to(inner / "train.jsonl")
    (inner / "folder").symlink_to(tmp_path)
    (inner / "loop.jsonl").symlink_to(inner / "loop.jsonl")
    rows = list(hf_dataset.read(inner, {}))
    refused = [row.reason for row in rows if isinstance(row, Refused)]
    assert sorted(refused) == [
        "loop.jsonl:1: the link leads out of the folder",
        "outside.jsonl:1: the link leads out of the folder",
    ]
    assert sum(isinstance(row, Raw) for row in rows) == 2


def test_the_digest_of_a_folder(tmp_path):
    written(tmp_path, "a", "a.md")
    before = folder_digest(tmp_path)
    os.utime(tmp_path / "a.md", (1, 1))
    assert folder_digest(tmp_path) == before
    (tmp_path / "a.md").rename(tmp_path / "b.md")
    renamed = folder_digest(tmp_path)
    written(tmp_path, "b", "b.md")
    assert len({before, renamed, folder_digest(tmp_path)}) == 3
