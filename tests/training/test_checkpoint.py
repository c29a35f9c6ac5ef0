"""Checkpoints are whole or absent; one of another run is refused, a torn one is set aside."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch

from luthier.errors import BadConfig, NoRoom
from luthier.training import checkpoint

PRINT = {"recipe": "recipe-a", "dataset": "dataset-a", "base": "b", "threads": "1"}


def state(value: float) -> dict[str, torch.Tensor]:
    return {"master/weight": torch.full((3, 2), value), "step/weight": torch.tensor(value)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints of steps 3, 6 and 9, of which the newest two are kept."""
    for step in (3, 6, 9):
        checkpoint.save(tmp_path, step, state(step), PRINT)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_there(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path, PRINT) is None


def test_the_newest_comes_back_whole_and_the_oldest_go(folder: Path) -> None:
    found = checkpoint.newest(folder, PRINT)
    assert found is not None
    assert found.step == 9
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in state(9).items())
    assert names(folder) == ["step-000006", "step-000009"]


@pytest.mark.parametrize("harm", ["cut", "flipped", "no manifest", "bad manifest", "other fields", "no state", "empty"])
def test_a_torn_one_is_set_aside(folder: Path, harm: str) -> None:
    path, manifest = folder / "step-000009" / checkpoint.STATE, folder / "step-000009" / checkpoint.MANIFEST
    data = bytearray(path.read_bytes())
    if harm == "cut":
        path.write_bytes(data[:-3])
    elif harm == "flipped":
        data[-5] ^= 1
        path.write_bytes(data)
    elif harm == "bad manifest":
        manifest.write_bytes(b"\xff{")
    elif harm == "other fields":
        manifest.write_text('{"step": 9}')
    for name, file in (("manifest", manifest), ("state", path)):
        if harm in ("empty", f"no {name}"):
            file.unlink()
    found = checkpoint.newest(folder, PRINT)
    assert found is not None
    assert found.step == 6
    assert names(folder) == ["step-000006", "torn-000009"]
    checkpoint.save(folder, 9, state(9), PRINT)  # its place is free again, and a second torn one takes the first's
    (folder / "step-000009" / checkpoint.MANIFEST).unlink()
    again = checkpoint.newest(folder, PRINT)
    assert again is not None
    assert again.step == 6
    assert names(folder) == ["step-000006", "torn-000009"]


def test_all_torn(folder: Path) -> None:
    for manifest in folder.glob("*/manifest.json"):
        manifest.unlink()
    assert checkpoint.newest(folder, PRINT) is None


@pytest.mark.parametrize("key", PRINT)
def test_one_of_another_run_is_refused_by_what_differs(folder: Path, key: str) -> None:
    with pytest.raises(BadConfig, match=f"{key} was {PRINT[key]} and is now other"):
        checkpoint.newest(folder, PRINT | {key: "other"})
    assert names(folder) == ["step-000006", "step-000009"]


def test_a_half_written_one_is_never_looked_at(folder: Path) -> None:
    part = folder / ".step-000012.part"
    part.mkdir()
    (part / checkpoint.STATE).write_bytes(b"half")
    found = checkpoint.newest(folder, PRINT)
    assert found is not None
    assert found.step == 9
    checkpoint.save(folder, 12, state(12), PRINT)
    assert names(folder) == ["step-000009", "step-000012"]


@pytest.mark.parametrize("where", ["save_file", "sync", "file_sha256"])
def test_a_full_disk_leaves_the_earlier_ones(folder: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, where, full)
    with pytest.raises(NoRoom, match=r"step 12 could not be written .*No space left"):
        checkpoint.save(folder, 12, state(12), PRINT)
    monkeypatch.undo()
    assert names(folder) == ["step-000006", "step-000009"]
    assert checkpoint.newest(folder, PRINT) is not None


def test_the_manifest_says_what_it_belongs_to(folder: Path) -> None:
    manifest = json.loads((folder / "step-000009" / checkpoint.MANIFEST).read_text())
    assert manifest["fingerprint"] == PRINT
    assert manifest["step"] == 9
