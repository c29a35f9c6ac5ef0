from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from luthier.errors import BadConfig, BadData, LuthierError, Missing, Tampered
from luthier.records.base import Parent, sha256, short
from luthier.records.data import DatasetVersion
from luthier.records.training import Recipe
from luthier.store.audit import checkpoint, verify
from luthier.store.erasure import erase
from luthier.store.ledger import leaf
from luthier.store.merkle import consistency_proof, consistent, includes, inclusion_proof
from luthier.store.schema import guards
from luthier.store.workspace import Workspace
from tests.store.made import dataset, ring, trace


@pytest.fixture
def kept(workspace: Workspace) -> Workspace:
    """A workspace with two rings, events, traces and two checkpoints, the second one behind the last event."""
    ring(workspace, "a")
    workspace.ledger.tell("alias:support", "deployed", {"model": "x"}, by="ann")
    checkpoint(workspace)
    ring(workspace, "b")
    workspace.traces.put(trace())
    checkpoint(workspace)
    return workspace


def attack(workspace: Workspace, *statements: str) -> None:
    """What somebody with write access to the file and knowledge of SQL does: guards down, change, guards up."""
    database = sqlite3.connect(workspace.folder / "ledger.db")
    database.create_function("leaf", 6, leaf)
    database.create_function("sha", 1, lambda body: sha256(body.encode()))
    for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {trigger}")
    for statement in (*statements, *guards("sqlite")):
        database.execute(statement)
    database.commit()
    database.close()


CUT = (
    "DELETE FROM edge WHERE child IN (SELECT id FROM record WHERE seq > 12)",
    "DELETE FROM record WHERE seq > 12",
    "DELETE FROM event WHERE seq > 12",
)
REGROWN = (
    "INSERT INTO event SELECT value, 'x', 'y', '{}', 'then', 'me', leaf(value, 'x', 'y', '{}', 'then', 'me')"
    " FROM json_each('[13,14,15,16,17,18,19,20,21,22]')",
)
NO_LATE_HEADS = ("DELETE FROM checkpoint WHERE size > 12",)


def test_a_whole_workspace_is_whole(kept: Workspace) -> None:
    report = verify(kept)
    assert report == (True, 17, 16, 6, ())
    kept.ledger.tell("after", "the last checkpoint")
    assert verify(kept, anchor=kept.folder / "checkpoints.jsonl").ok


def test_an_empty_workspace_is_whole_and_can_be_signed(workspace: Workspace) -> None:
    assert verify(workspace) == (True, 0, 0, 0, ())
    assert checkpoint(workspace).size == 0
    assert checkpoint(workspace) == checkpoint(workspace)
    workspace.ledger.tell("x", "y")
    assert checkpoint(workspace).size == 1
    assert verify(workspace).ok


def test_heads_prove_events_to_somebody_who_holds_nothing_else(kept: Workspace) -> None:
    early, late = (json.loads(line) for line in (kept.folder / "checkpoints.jsonl").read_text().splitlines())
    leaves = [bytes.fromhex(event.leaf) for event in kept.ledger.events()]
    head = bytes.fromhex(late["root"])
    assert all(includes(head, len(leaves), leaf, n, inclusion_proof(leaves, n)) for n, leaf in enumerate(leaves))
    proof = consistency_proof(leaves, early["size"])
    assert consistent((early["size"], bytes.fromhex(early["root"])), (late["size"], head), proof)


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["UPDATE event SET body = '{\"model\":\"mine\"}' WHERE subject = 'alias:support'"], "not what was recorded"),
        (
            [
                "UPDATE event SET by = 'eve' WHERE subject = 'alias:support'",
                "UPDATE event SET leaf = leaf(seq, subject, verb, body, at, by)",
            ],
            "not those that were signed",
        ),
        (["UPDATE record SET body = replace(body, '\"a\"', '\"c\"') WHERE kind = 'model'"], "not what its event says"),
        (["DELETE FROM record WHERE kind = 'verdict'"], "is missing"),
        (["DELETE FROM edge WHERE role = 'report'"], "was removed"),
        (["UPDATE edge SET role = 'base' WHERE role = 'model'"], "was added"),
        (["INSERT INTO edge SELECT parent, role, child FROM edge LIMIT 1"], "was added"),
        (["INSERT INTO record SELECT 'x-1', 'x', '{}', 9"], "not what its event says"),
        (["DELETE FROM event WHERE seq = 9"], "event 9 is missing"),
        (CUT, "the log was cut"),
        ([*CUT, *NO_LATE_HEADS], "stands in checkpoints.jsonl and not in the ledger"),
        ([*CUT, *REGROWN], "not those that were signed"),
        (["UPDATE checkpoint SET root = lower(hex(zeroblob(32)))"], "not signed by this workspace"),
        (["UPDATE checkpoint SET signature = upper(signature)"], "not signed by this workspace"),
        (["UPDATE checkpoint SET at = '2020' WHERE size = 9"], "not signed by this workspace"),
        (["DROP INDEX event_subject"], "index event_subject was changed or removed"),
    ],
)
def test_what_an_attacker_changes_is_found(kept: Workspace, statements: list[str], said: str) -> None:
    attack(kept, *statements)
    report = verify(kept)
    assert not report.ok
    assert any(said in problem for problem in report.problems), report.problems
    if "edge" not in statements[0] and "record" not in statements[0] and "INDEX" not in statements[0]:
        with pytest.raises(Tampered, match="this log is not signed"):
            checkpoint(kept)


FORGED = (
    "UPDATE record SET body = replace(body, '\"tiny\"', '\"tony\"') WHERE kind = 'model'",
    "UPDATE event SET body = '{\"sha256\":\"' || (SELECT sha(body) FROM record WHERE id = subject) || '\"}'"
    " WHERE subject IN (SELECT id FROM record)",
    "UPDATE event SET leaf = leaf(seq, subject, verb, body, at, by)",
)


def test_a_made_thing_is_bound_to_its_id_even_before_it_is_signed(workspace: Workspace) -> None:
    ids = ring(workspace)
    attack(workspace, *FORGED)
    problem, *_ = verify(workspace).problems
    assert problem == f"{short(ids['model'])} is not the content that its id names"
    with pytest.raises(Tampered, match="its id names"):
        workspace.ledger.get(ids["model"])


def test_a_record_with_an_unknown_field_is_of_another_version(workspace: Workspace) -> None:
    ids = ring(workspace)
    attack(
        workspace,
        *(line.replace("model", "run").replace('"tiny"', "{").replace('"tony"', '{"new":1,') for line in FORGED),
    )
    assert any("Extra inputs" in problem for problem in verify(workspace).problems)
    with pytest.raises(BadData, match="another version of Luthier"):
        workspace.ledger.get(ids["run"])


def test_guards_that_are_down_or_new_are_found(kept: Workspace) -> None:
    database = sqlite3.connect(kept.folder / "ledger.db")
    database.execute("DROP TRIGGER event_no_delete")
    database.execute("CREATE TRIGGER spy AFTER INSERT ON event BEGIN SELECT 1; END")
    database.commit()
    database.close()
    assert verify(kept).problems == (
        "the database's trigger event_no_delete was changed or removed",
        "the database was given a trigger spy",
    )


def test_only_a_copy_elsewhere_finds_a_cut_that_takes_every_head_along(kept: Workspace, tmp_path: Path) -> None:
    file = kept.folder / "checkpoints.jsonl"
    shutil.copy(file, tmp_path / "anchor")
    attack(kept, *CUT, *NO_LATE_HEADS)
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    assert verify(kept).ok
    report = verify(kept, anchor=tmp_path / "anchor")
    assert any("the log was cut: 17 events" in problem for problem in report.problems)


def test_a_copy_elsewhere_finds_a_log_that_was_signed_anew(kept: Workspace, tmp_path: Path) -> None:
    shutil.move(kept.folder / "checkpoints.jsonl", tmp_path / "anchor")
    attack(
        kept,
        "DELETE FROM checkpoint",
        "UPDATE event SET by = 'eve' WHERE subject = 'alias:support'",
        "UPDATE event SET leaf = leaf(seq, subject, verb, body, at, by)",
    )
    shutil.rmtree(kept.folder / "keys")
    (kept.folder / "signing.pub").unlink()
    with Workspace.open(kept.folder, create=True) as forged:
        checkpoint(forged)
        assert verify(forged).ok
        report = verify(forged, anchor=tmp_path / "anchor")
        assert any("not signed by this workspace" in problem for problem in report.problems)
        assert any("not those that were signed" in problem for problem in report.problems)


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\xff\x00\n", b"{}\n", b'{"size":1}\n'])
def test_an_anchor_that_is_none_is_a_problem(kept: Workspace, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "anchor").write_bytes(content)
    assert not verify(kept, anchor=tmp_path / "anchor").ok
    with pytest.raises(BadConfig, match="there is no file"):
        verify(kept, anchor=tmp_path / "none")


def test_a_lost_file_of_heads_is_written_again(kept: Workspace) -> None:
    file = kept.folder / "checkpoints.jsonl"
    before = file.read_bytes()
    file.unlink()
    assert verify(kept).ok
    checkpoint(kept)
    assert file.read_bytes() == before


def test_every_line_of_the_file_of_heads_counts(kept: Workspace) -> None:
    file = kept.folder / "checkpoints.jsonl"
    before, draw = file.read_bytes(), Random(3)
    for _ in range(25):
        offset = draw.randrange(len(before))
        changed = bytearray(before)
        changed[offset] ^= 1 << draw.randrange(8)
        file.write_bytes(changed)
        assert not verify(kept).ok, (offset, chr(before[offset]), chr(changed[offset]))


def test_an_auditor_needs_no_secret(kept: Workspace) -> None:
    shutil.rmtree(kept.folder / "keys")
    with Workspace.open(kept.folder) as copy:
        assert verify(copy).ok
        with pytest.raises(Missing, match=r"signing\.key cannot be read"):
            checkpoint(copy)


def test_a_key_of_another_workspace_does_not_sign(kept: Workspace) -> None:
    (kept.folder / "keys" / "signing.key").write_bytes(bytes(32))
    with Workspace.open(kept.folder) as mixed, pytest.raises(Tampered, match="do not belong together"):
        checkpoint(mixed)


def test_blobs_that_are_damaged_or_gone_are_found(kept: Workspace) -> None:
    draw = Random(5)
    for digest in list(kept.blobs.all()):
        path = kept.folder / "blobs" / digest[:2] / digest
        good = path.read_bytes()
        for _ in range(3):
            bad = bytearray(good)
            bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
            path.write_bytes(bad)
            assert verify(kept).problems == (f"blob {digest[:12]} does not hold the bytes of its name",)
        path.unlink()
        (problem,) = verify(kept).problems
        assert problem.startswith(f"blob {digest[:12]}, which ")
        assert problem.endswith("names, is missing")
        path.write_bytes(good)
    assert verify(kept).ok


def test_erased_blobs_are_not_missed_and_must_stay_away(kept: Workspace) -> None:
    rows = next(record.rows for record in kept.ledger.ls("dataset") if isinstance(record, DatasetVersion))
    data = kept.blobs.get(rows)
    told = erase(kept, [rows], why="request 12", by="dpo")
    assert (told.verb, told.body, told.by) == ("erased", {"blobs": [rows], "why": "request 12"}, "dpo")
    assert not kept.blobs.has(rows)
    assert verify(kept).ok
    kept.blobs.put(data)
    assert verify(kept).problems == (f"blob {rows[:12]} was erased and is there",)
    with pytest.raises(LuthierError):
        erase(kept, ["../x"], why="", by="")


def test_a_changed_trace_is_found(kept: Workspace) -> None:
    database = sqlite3.connect(kept.folder / "traces.db")
    database.execute("UPDATE trace SET body = replace(body, 'Um 9', 'Um 8')")
    database.commit()
    database.close()
    (problem,) = verify(kept).problems
    assert problem.startswith("trace chatcmpl-")


def test_a_record_from_a_newer_version_does_not_hide_the_rest(kept: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.store import audit

    class Narrow(Recipe):
        @classmethod
        def model_validate_json(cls, *_: object, **__: object) -> Recipe:  # type: ignore[override]
            raise ValueError("unknown field")

    monkeypatch.setitem(audit.BY_KIND, "recipe", Narrow)
    report = verify(kept)
    assert (report.ok, report.events, report.records, report.blobs) == (False, 17, 16, 6)


def rows_of(path: Path) -> list[list[tuple[object, ...]]] | None:
    """Every row of the database as bytes, or None where it cannot be read."""
    try:
        database = sqlite3.connect(path)
        database.text_factory = bytes
        try:
            return [
                sorted(database.execute(f"SELECT * FROM {table} NOT INDEXED").fetchall(), key=repr)
                for table in ("record", "edge", "event", "checkpoint")
            ]
        finally:
            database.close()
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def flip(folder: Path, choose: Callable[[int], tuple[int, int]], times: int) -> tuple[int, int]:
    """Flip a bit `times` times; how often rows changed, and how often the audit said no."""
    path = folder / "ledger.db"
    good, changed, found = path.read_bytes(), 0, 0
    before = rows_of(path)
    for _ in range(times):
        offset, bit = choose(len(good))
        bad = bytearray(good)
        bad[offset] ^= 1 << bit
        path.write_bytes(bad)
        after = rows_of(path)
        for left in ("ledger.db-wal", "ledger.db-shm"):
            (folder / left).unlink(missing_ok=True)
        try:
            with Workspace.open(folder) as opened:
                ok = verify(opened).ok
        except LuthierError:
            ok = False
        assert not ok or after == before, f"bit {bit} of byte {offset} was flipped, rows changed, and the audit said ok"
        changed, found = changed + (after != before), found + (not ok)
        for left in ("ledger.db-wal", "ledger.db-shm"):
            (folder / left).unlink(missing_ok=True)
    path.write_bytes(good)
    return changed, found


def test_flipped_bits_are_found(kept: Workspace) -> None:
    kept.close()
    draw = Random(11)
    changed, found = flip(kept.folder, lambda size: (draw.randrange(size), draw.randrange(8)), times=60)
    assert 0 < changed <= found
    with Workspace.open(kept.folder) as opened:
        assert verify(opened).ok


def test_more_of_the_lineage_after_damage_is_refused(kept: Workspace) -> None:
    first = kept.ledger.put(dataset(kept, "c"))
    attack(kept, f"DELETE FROM edge WHERE child = '{first}'", f"DELETE FROM record WHERE id = '{first}'")
    with pytest.raises(LuthierError):
        kept.ledger.put(dataset(kept, "d", (Parent("previous", first),)))
