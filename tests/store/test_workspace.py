from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from luthier.errors import BadConfig, Busy, LuthierError, Missing, Tampered
from luthier.store.workspace import Workspace
from tests.store.made import ring


def test_what_was_made_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "a" / "b c #?%", create=True) as made:
        ids, key, signing = ring(made), made.pseudonym_key, made.signing_key
    for create in (False, True):
        with Workspace.open(tmp_path / "a" / "b c #?%", create=create) as again:
            assert again.ledger.get(ids["model"]).id == ids["model"]  # type: ignore[attr-defined]
            assert (again.pseudonym_key, again.signing_key) == (key, signing)
    assert len(key) == 32
    assert key != signing


def test_keys_are_for_their_owner_alone(workspace: Workspace) -> None:
    assert (workspace.folder / "keys").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (workspace.folder / "keys").iterdir()} == {0o600}


def test_a_lost_or_broken_key_is_not_replaced(workspace: Workspace) -> None:
    path = workspace.folder / "keys" / "pseudonym.key"
    path.write_bytes(b"short")
    with pytest.raises(Tampered, match="5 bytes"):
        _ = workspace.pseudonym_key
    path.unlink()
    for create in (False, True):
        with Workspace.open(workspace.folder, create=create) as again:
            with pytest.raises(Missing, match="restore the key"):
                _ = again.pseudonym_key
            assert again.signing_key == workspace.signing_key


def test_keys_whose_making_was_cut_short_are_made_to_the_end(tmp_path: Path) -> None:
    Workspace.open(tmp_path, create=True).close()
    (tmp_path / "signing.pub").unlink()
    (tmp_path / "keys" / "pseudonym.key").unlink()
    signing = (tmp_path / "keys" / "signing.key").read_bytes()
    with Workspace.open(tmp_path, create=True) as again:
        assert (again.signing_key, len(again.pseudonym_key)) == (signing, 32)


def test_a_forked_child_does_not_keep_the_lock(workspace: Workspace) -> None:
    with workspace.lock("training"):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
    with workspace.lock("building"):
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_folder_that_is_no_workspace_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    for folder in (tmp_path / "none", tmp_path / "other", tmp_path / "file"):
        with pytest.raises(BadConfig, match="is not a Luthier workspace"):
            Workspace.open(folder)
    assert not list((tmp_path / "other").iterdir())
    assert not (tmp_path / "none").exists()
    with pytest.raises(BadConfig, match="cannot be written"):
        Workspace.open(tmp_path / "file", create=True)


@pytest.mark.parametrize("which", ["ledger.db", "traces.db"])
@pytest.mark.parametrize("size", [50, 512, 4096, 100_000])
def test_garbage_in_place_of_a_database_is_said(tmp_path: Path, which: str, size: int) -> None:
    Workspace.open(tmp_path, create=True).close()
    (tmp_path / which).write_bytes(Random(size).randbytes(size))
    for create in (False, True):
        with pytest.raises(Tampered, match=f"{which} is damaged, or not a database"):
            Workspace.open(tmp_path, create=create)
    assert len((tmp_path / which).read_bytes()) == size


def test_every_length_of_a_cut_database_is_said_or_whole(tmp_path: Path) -> None:
    with Workspace.open(tmp_path, create=True) as made:
        ring(made)
    from luthier.store.audit import verify

    whole = (tmp_path / "ledger.db").read_bytes()
    for length in (0, 1, 99, 512, 4095, 4096, 4097, 9000, len(whole) - 4096, len(whole) - 1):
        (tmp_path / "ledger.db").write_bytes(whole[:length])
        with suppress(LuthierError), Workspace.open(tmp_path) as opened:
            assert not verify(opened).ok


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "ledger.db")
    database.execute("CREATE TABLE event (id)")
    database.commit()
    database.close()
    for create in (False, True):
        with pytest.raises(BadConfig, match="tables of another program: event"):
            Workspace.open(tmp_path, create=create)


@pytest.mark.parametrize(("found", "mend"), [("2", "install the newer"), ("0", "backup"), ("x", "backup")])
def test_another_schema_is_refused(tmp_path: Path, found: str, mend: str) -> None:
    Workspace.open(tmp_path, create=True).close()
    database = sqlite3.connect(tmp_path / "ledger.db")
    database.execute("DROP TRIGGER luthier_no_update")
    database.execute("UPDATE luthier SET value = ?", (found,))
    database.commit()
    database.close()
    with pytest.raises(BadConfig, match=mend):
        Workspace.open(tmp_path)


def test_one_at_a_time(workspace: Workspace) -> None:
    said = rf"in use by process {os.getpid()} \(training\)"
    with workspace.lock("training"), pytest.raises(Busy, match=said), workspace.lock("building"):
        pass
    with pytest.raises(KeyError), workspace.lock("a"):
        raise KeyError
    with workspace.lock("building"):
        pass


def test_a_killed_holder_holds_nothing(workspace: Workspace) -> None:
    code = (
        "import sys, time; from pathlib import Path; from luthier.store.lock import held\n"
        "with held(Path(sys.argv[1]), 'index'): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(workspace.folder / "lock")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(Busy, match=rf"process {child.pid} \(index\)"), workspace.lock("x"):
        pass
    child.kill()
    child.wait()
    child.stdout.close()
    with workspace.lock("x"):
        pass


def test_urls_come_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_LEDGER_URL", f"sqlite:///{tmp_path}/elsewhere.db")
    monkeypatch.setenv("LUTHIER_BLOBS_URL", f"file://{tmp_path}/bucket")
    with Workspace.open(tmp_path / "ws", create=True) as made:
        digest = made.blobs.put(b"x")
        made.ledger.tell("x", "y")
    assert (tmp_path / "bucket" / digest[:2] / digest).is_file()
    assert (tmp_path / "elsewhere.db").is_file()
    assert not (tmp_path / "ws" / "ledger.db").exists()
    with Workspace.open(tmp_path / "ws") as again:
        assert len(again.ledger.events()) == 1
    monkeypatch.setenv("LUTHIER_LEDGER_URL", f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(BadConfig, match="not a Luthier database"):
        Workspace.open(tmp_path / "ws")


@pytest.mark.parametrize("url", ["mysql://root@localhost/x", "nonsense", "sqlite://::::"])
def test_a_url_that_leads_nowhere_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(LuthierError) as caught:
        Workspace.open(tmp_path, create=True, ledger_url=url)
    assert caught.value.mend


def test_a_server_that_is_away_is_said_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(LuthierError, match="cannot be reached") as caught:
        Workspace.open(tmp_path, create=True, ledger_url="postgresql://ann:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)


def test_traces_may_be_thrown_away(tmp_path: Path) -> None:
    Workspace.open(tmp_path, create=True).close()
    (tmp_path / "traces.db").unlink()
    with Workspace.open(tmp_path) as again:
        assert again.traces.ls() == []


def test_a_workspace_may_be_moved(tmp_path: Path) -> None:
    from luthier.store.audit import checkpoint, verify

    with Workspace.open(tmp_path / "a", create=True) as made:
        ring(made)
        checkpoint(made)
    shutil.move(tmp_path / "a", tmp_path / "b")
    with Workspace.open(tmp_path / "b") as moved:
        assert verify(moved).ok


def test_opening_is_quick(tmp_path: Path) -> None:
    Workspace.open(tmp_path, create=True).close()
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        Workspace.open(tmp_path).close()
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.05
