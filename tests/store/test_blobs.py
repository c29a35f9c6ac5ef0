from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from luthier.errors import BadConfig, BadData, Tampered, UnknownName
from luthier.records.base import sha256
from luthier.store.blobs import Blobs

NOTHING = sha256(b"")


@pytest.fixture(params=["folder", "file-url", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    where = {"folder": tmp_path / "b", "file-url": f"file://{tmp_path}/b c", "memory": "memory:///"}
    return Blobs.open(where[request.param])  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 1, 1000, (1 << 20) - 1, 1 << 20, 20_000_001])
def test_bytes_come_back(blobs: Blobs, size: int) -> None:
    data = Random(size).randbytes(size)
    digest = blobs.put(data)
    assert digest == sha256(data) == blobs.put(data)
    assert blobs.get(digest) == data
    assert blobs.has(digest)
    assert list(blobs.all()) == [digest]


def test_files_go_in_and_out(blobs: Blobs, tmp_path: Path) -> None:
    data = Random(7).randbytes(3_000_000)
    (tmp_path / "weights").write_bytes(data)
    digest = blobs.put_file(tmp_path / "weights")
    (tmp_path / "out").write_bytes(b"old")
    blobs.fetch(digest, tmp_path / "out")
    blobs.fetch(digest, tmp_path / "new" / "folder" / "out")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "new/folder/out").read_bytes() == data
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["out"]
    with pytest.raises(BadData, match="cannot be read"):
        blobs.put_file(tmp_path / "none")
    with pytest.raises(BadData, match="cannot be read"):
        blobs.put_file(tmp_path)


def test_lines_have_one_spelling(blobs: Blobs) -> None:
    lines = [{"b": 1, "a": "ü\n\u2028\x00"}, {}, {"x": [1, {"y": None}]}]
    digest = blobs.put_lines(iter(lines))
    assert list(blobs.lines(digest)) == lines
    assert blobs.put_lines([{"a": "ü\n\u2028\x00", "b": 1}, *lines[1:]]) == digest
    assert blobs.put_lines([]) == NOTHING
    assert list(blobs.lines(NOTHING)) == []
    for bad in ({"loss": float("nan")}, {"half": "\ud800"}):
        with pytest.raises(BadData):
            blobs.put_lines([{}, bad])
    assert len(list(blobs.all())) == 2


def test_what_is_not_there_is_said(blobs: Blobs, tmp_path: Path) -> None:
    digest = blobs.put(b"x")
    blobs.delete(digest)
    blobs.delete(digest)
    assert not blobs.has(digest)
    with pytest.raises(UnknownName, match="there is no blob"):
        blobs.get(digest)
    with pytest.raises(UnknownName):
        blobs.fetch(digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "a" * 62 + "/b"])
def test_a_name_that_is_no_digest_leads_nowhere(blobs: Blobs, name: str) -> None:
    for ask in (blobs.get, blobs.has, blobs.delete):
        with pytest.raises(UnknownName, match="no blob's name"):
            ask(name)


def test_damage_is_noticed_and_a_new_put_mends_it(tmp_path: Path) -> None:
    blobs = Blobs.open(tmp_path / "b")
    data = Random(1).randbytes(300_000)
    digest = blobs.put(data)
    lies = tmp_path / "b" / digest[:2] / digest
    draw = Random(2)
    for kind in ("flip", "flip", "flip", "cut", "empty", "longer"):
        damaged = bytearray(data)
        if kind == "flip":
            damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        elif kind == "longer":
            damaged += b"\x00"
        else:
            del damaged[-1 if kind == "cut" else 0 :]
        lies.write_bytes(damaged)
        with pytest.raises(Tampered):
            blobs.get(digest)
        with pytest.raises(Tampered):
            blobs.fetch(digest, tmp_path / "out")
        with pytest.raises(Tampered):
            list(blobs.lines(digest))
        assert not (tmp_path / "out").exists()
        assert blobs.put(data) == digest
        assert blobs.get(digest) == data


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path: Path) -> None:
    class Growing:
        """Gives other bytes each time that it is read from its beginning."""

        def __init__(self) -> None:
            self.turn, self.left = 0, 0

        def seek(self, offset: int, /) -> int:
            self.turn, self.left = self.turn + 1, 9_000_000
            return 0

        def read(self, size: int = -1, /) -> bytes:
            taken = min(size, self.left)
            self.left -= taken
            return bytes([self.turn]) * taken

        def readinto(self, buffer: bytearray, /) -> int:
            data = self.read(len(buffer))
            buffer[: len(data)] = data
            return len(data)

        def readable(self) -> bool:
            return True

    blobs = Blobs.open(tmp_path / "b")
    file = Growing()
    file.seek(0)
    with pytest.raises(BadData, match="changed while it was read"):
        blobs._keep(file, "it")
    assert list(blobs.all()) == []
    assert [path for path in (tmp_path / "b").rglob("*") if path.is_file()] == []


def test_what_is_no_blob_is_not_listed_and_stale_halves_are_swept(tmp_path: Path) -> None:
    blobs = Blobs.open(tmp_path / "b")
    digest = blobs.put(b"x")
    folder = tmp_path / "b" / digest[:2]
    (folder / "notes.txt").write_text("hello")
    (tmp_path / "b" / "00").mkdir(exist_ok=True)
    (tmp_path / "b" / "00" / digest).write_bytes(b"in another's place")
    half, fresh = folder / f"{digest}#1", folder / f"{digest}#2"
    half.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(half, (time.time() - 90_000,) * 2)
    assert list(blobs.all()) == [digest]
    assert blobs.sweep() == 1
    assert not half.exists()
    assert fresh.exists()


def test_threads_may_put_the_same_bytes(blobs: Blobs) -> None:
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda n: blobs.put(b"%d" % (n % 5) * 100_000), range(40)))
    assert digests == set(blobs.all())
    assert len(digests) == 5


def test_a_generator_that_fails_leaves_nothing(blobs: Blobs) -> None:
    def lines() -> Iterator[dict[str, object]]:
        yield {"a": 1}
        raise BadData("the source is broken")

    with pytest.raises(BadData, match="source is broken"):
        blobs.put_lines(lines())
    assert list(blobs.all()) == []


@pytest.mark.parametrize("url", ["nonsense", "ftp://host/x", "s3://"])
def test_a_url_that_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(BadConfig, match="no blobs can be kept"):
        Blobs.open(url)


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("a file")
    with pytest.raises(BadConfig, match="cannot be written"):
        Blobs.open(tmp_path / "b")


def test_lines_are_json_that_anybody_can_read(tmp_path: Path) -> None:
    blobs = Blobs.open(tmp_path)
    raw = blobs.get(blobs.put_lines([{"text": "Grüße"}]))
    assert raw == b'{"text":"Gr\xc3\xbc\xc3\x9fe"}\n'
    assert json.loads(raw) == {"text": "Grüße"}


def test_lines_take_no_memory_for_the_whole_and_none_leaves_where_one_is_wrong(tmp_path: Path) -> None:
    import tracemalloc

    blobs = Blobs.open(tmp_path / "b")
    digest = blobs.put_lines({"n": n, "text": "x" * 500} for n in range(20_000))
    tracemalloc.start()
    assert sum(line["n"] for line in blobs.lines(digest)) == sum(range(20_000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1e6
    path = tmp_path / "b" / digest[:2] / digest
    path.write_bytes(path.read_bytes()[:-2] + b" \n")
    with pytest.raises(Tampered):
        next(blobs.lines(digest))
    path.unlink()
    with pytest.raises(UnknownName):
        next(blobs.lines(digest))
