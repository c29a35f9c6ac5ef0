"""Any bytes give rows or refusals: no traceback, no hang, and as many out as there are in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from luthier.data import unpacked
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
from luthier.data.recognise import recognise
from luthier.errors import LuthierError
from luthier.testing import check_source, told
from tests.data.made_files import docx, pdf

READERS = {
    "preferences": preferences.read,
    "ratings": ratings.read,
    "completions": completions.read,
    "alpaca": alpaca.read,
    "sharegpt": sharegpt.read,
    "request-log": request_log.read,
}
FUZZ = settings(max_examples=40, deadline=2_000, suppress_health_check=[HealthCheck.too_slow])
SLOW = settings(max_examples=8, deadline=20_000, suppress_health_check=[HealthCheck.too_slow])
CHAT = [{"role": "user", "content": "Fee?"}, {"role": "assistant", "content": "8 EUR."}]
GOOD: dict[str, object] = {
    "preferences": {"prompt": "Fee?", "chosen": "8", "rejected": "9"},
    "ratings": {"prompt": "Fee?", "completion": "8", "label": True},
    "completions": {"prompt": "Fee?", "completion": "8"},
    "alpaca": {"instruction": "Fee?", "input": "", "output": "8", "history": [["a", "b"]], "system": "s"},
    "sharegpt": {"conversations": [{"from": "human", "value": "Fee?"}, {"from": "gpt", "value": "8"}]},
    "request-log": {
        "timestamp": "2026-01-02T03:04:05Z",
        "client_id": "c",
        "request": {"messages": CHAT[:1]},
        "response": {"choices": [{"message": CHAT[1]}]},
    },
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12) | st.just(CHAT),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def near_rows(draw: st.DrawFn, name: str) -> bytes:
    """A good row of which some fields are gone or hold anything."""
    row = dict(GOOD[name])  # type: ignore[call-overload]
    for field in draw(st.lists(st.sampled_from(sorted(row)), max_size=2)):
        row[field] = draw(VALUES)
    return json.dumps(row).encode()


def out(read, data: bytes, suffix: str = ".jsonl") -> list[Raw | Refused] | None:
    """What a reader makes of bytes; None where it says in a sentence that it can read nothing of them."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"rows{suffix}"
        path.write_bytes(data)
        return all_of(read(path, {}))


def all_of(rows: Iterator[Raw | Refused]) -> list[Raw | Refused] | None:
    try:
        found = list(rows)
    except LuthierError as error:
        told(error, "any bytes")
        return None
    assert all(isinstance(row, Raw) or (isinstance(row, Refused) and row.reason) for row in found)
    for row in found:
        json.dumps(row, default=lambda value: value.model_dump(), ensure_ascii=False).encode()  # it can be stored
    assert [row.line for row in found] == sorted({row.line for row in found}), "each has a place of its own"
    return found


@pytest.mark.parametrize("name", READERS)
@FUZZ
@given(data=st.data())
def test_lines_in_are_rows_out(name, data):
    line = st.binary(max_size=30).filter(lambda each: b"\n" not in each) | near_rows(name)
    lines = data.draw(st.lists(line, max_size=6))
    text = b"\n".join(lines)
    found = out(READERS[name], text)
    if found is not None and not text.startswith((b"\xff\xfe", b"\xfe\xff")) and not text.lstrip().startswith(b"["):
        kept = text.removeprefix(b"\xef\xbb\xbf")
        assert len(found) == sum(1 for each in kept.split(b"\n") if each.strip())


@FUZZ
@given(st.lists(VALUES, max_size=5), st.sampled_from([None, 1]), st.integers(1, 40))
def test_a_list_of_anything_is_cut_where_it_should(values, indent, piece):
    text = json.dumps([each if each is not None else {} for each in values], indent=indent, ensure_ascii=False)
    assume(not any("\ud800" <= sign <= "\udfff" for sign in text))
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(objects, "PIECE", piece)
        path = Path(folder) / "rows.json"
        path.write_text(text, encoding="utf-8")
        with unpacked.opened(path) as file:
            places = list(objects.elements(file))
    assert [json.loads(place.text or b"") for place in places] == json.loads(text)
    assert [place.number for place in places] == list(range(1, len(values) + 1))


@FUZZ
@given(st.lists(st.binary(max_size=20) | near_rows("alpaca"), max_size=6), st.binary(max_size=3))
def test_a_broken_list_gives_rows_or_refusals(parts, end):
    out(alpaca.read, b"[" + b",".join(parts) + end)


@FUZZ
@given(st.binary(max_size=200), st.sampled_from([b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x1f\x8b\x08", b""]))
def test_marks_before_anything(data, mark):
    for read in (alpaca.read, sharegpt.read):
        out(read, mark + data)


@FUZZ
@given(st.binary(max_size=300), st.integers(0, 60), st.integers(0, 255))
def test_broken_gzip(data, place, byte):
    packed = bytearray(gzip.compress(data + b"\n{}"))
    packed[min(place, len(packed) - 1)] = byte
    out(alpaca.read, bytes(packed), ".jsonl.gz")


def parquet_bytes() -> bytes:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    table = pa.table({"prompt": [f"Q{n}" for n in range(50)], "completion": ["8 EUR."] * 50})
    parquet.write_table(table, sink, row_group_size=10)
    return bytes(sink.getvalue())


@FUZZ
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), st.integers(0, 40))
def test_broken_parquet(changes, cut):
    data = bytearray(parquet_bytes())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for place, byte in changes:
        data[place % footer] = byte
    found = out(arrow.read, bytes(data), ".parquet")
    assert found is None or len(found) == 50, "the footer says how many there were"
    out(arrow.read, bytes(data[: len(data) - cut]), ".parquet")
    data[footer + cut] ^= 0x15
    out(arrow.read, bytes(data), ".parquet")


@FUZZ
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), st.integers(0, 40))
def test_broken_arrow(changes, cut):
    pa = pytest.importorskip("pyarrow")
    sink = pa.BufferOutputStream()
    table = pa.table({"prompt": [f"Q{n}" for n in range(50)], "completion": ["8 EUR."] * 50})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=10)
    data = bytearray(bytes(sink.getvalue()))
    for place, byte in changes:
        data[place % len(data)] = byte
    with TemporaryDirectory() as folder:
        (Path(folder) / "data.arrow").write_bytes(data[: len(data) - cut])
        all_of(hf_dataset.read(Path(folder), {}))


NAMES = st.sampled_from(
    ["a.jsonl", "b.json", "c.csv", "d.parquet", "e.arrow", "f.md", "g.py", "sub/h.js", ".gitignore"]
)


@FUZZ
@given(st.dictionaries(NAMES, st.binary(max_size=60) | near_rows("completions"), max_size=5))
def test_any_folder(files):
    with TemporaryDirectory() as folder:
        for name, data in files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        for read in (hf_dataset.read, code.read):
            all_of(read(Path(folder), {}))
        found = all_of(documents.read(Path(folder), {}))
        assert len(found or ()) == ("f.md" in files)


@SLOW
@given(st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=8), st.binary(max_size=80))
def test_each_document_is_a_row_or_a_refusal(changes, junk):
    pytest.importorskip("selectolax")
    whole = {"a.pdf": bytearray(pdf("Hello")), "b.docx": bytearray(docx("Hello", "You")), "c.html": bytearray(junk)}
    for data in list(whole.values())[:2]:
        for place, byte in changes:
            data[place % len(data)] = byte
    whole |= {"d.pdf": bytearray(b"%PDF-" + junk), "e.txt": bytearray(junk), "f.docx": bytearray(b"PK\x03\x04" + junk)}
    with TemporaryDirectory() as folder:
        for name, data in whole.items():
            (Path(folder) / name).write_bytes(data)
        found = all_of(documents.read(Path(folder), {}))
    assert found is not None
    assert len(found) == len(whole)


@FUZZ
@given(
    st.binary(max_size=200),
    st.sampled_from([".jsonl", ".json", ".csv", ".md", ".py", ".bin", ".arrow", ".parquet"]),
    st.sampled_from([b"", b"a,b\n", b"PAR1", b"%PDF", b"ARROW1", b"[", b"{", b"\xff\xfe"]),
)
def test_anything_is_recognised_or_named(data, suffix, head):
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        path.write_bytes(head + data)
        try:
            why = recognise(path).why
        except LuthierError as error:
            told(error, "any bytes")
        else:
            assert why


@pytest.mark.parametrize("name", READERS)
def test_the_ready_check_for_readers(name, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(GOOD[name]) + "\n")
    (found,) = check_source(READERS[name], path)
    assert found.messages[-1].content in ("8", "8 EUR.")


@pytest.mark.parametrize("read", [arrow.read, code.read, documents.read], ids=["parquet", "code", "documents"])
def test_the_ready_check_for_the_others(read, tmp_path):
    if read is arrow.read:
        (tmp_path / "rows.parquet").write_bytes(parquet_bytes())
        assert len(check_source(read, tmp_path / "rows.parquet")) == 50
    elif read is code.read:
        (tmp_path / "x.py").write_text("x = 1\n")
        assert all_of(read(tmp_path / "x.py", {}))
    else:
        (tmp_path / "x.pdf").write_bytes(pdf("Hello"))
        assert len(check_source(read, tmp_path / "x.pdf")) == 1
