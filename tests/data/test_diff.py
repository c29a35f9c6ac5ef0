"""What became of the rows of one version in another, and why."""

from __future__ import annotations

import hashlib
from typing import Any

from luthier.data.diff import bucket, diff
from luthier.data.tags import history, ls, put, remove, resolve
from luthier.errors import BadConfig, UnknownName
from luthier.records.data import DatasetVersion, Message, Row, SourceUse
from luthier.store.blobs import Blobs
from luthier.store.workspace import Workspace


def row(words: str, line: int, source: str = "desk", **more: Any) -> Row:
    messages = (Message(role="user", content=words), Message(role="assistant", content="Yes."))
    named = hashlib.sha256(words.encode()).hexdigest()[:16]
    return Row(
        **({"id": named, "split": "train", "source": source, "line": line, "language": "en"} | more), messages=messages
    )


def version(blobs: Blobs, rows: list[Row], sources: dict[str, str], **more: Any) -> DatasetVersion:
    uses = [SourceUse(name=n, digest=d, licence="MIT", consent="contract", rows=1) for n, d in sources.items()]
    kept = blobs.put_lines(each.body() for each in rows)
    return DatasetVersion(name="rows", rows=kept, sources=tuple(uses), counts={"train": len(rows)}, **more)


def test_every_reason(blobs):
    old_rows = [
        row("stays", 1),
        row("is edited", 2),
        row("loses its licence", 3),
        row("its line goes", 9),
        row("moves", 5, metadata={"dialogue": "d-5", "topic": "cards"}),
        row("goes with its source", 1, source="gone"),
    ]
    new_rows = [
        row("stays", 1, split="test"),
        row("was edited", 2),
        row("moves, in other words", 7, metadata={"dialogue": "d-5", "topic": "cards"}, language="de"),
        row("was refused before", 4),
        row("is new", 12),
        row("comes with its source", 1, source="fresh"),
    ]
    refused = blobs.put_lines([{"source": "desk", "line": 4, "reason": "no consent", "excerpt": ""}])
    old = version(blobs, old_rows, {"desk": "1", "gone": "9"}, quarantine=refused)
    refused = blobs.put_lines([{"source": "desk", "line": 3, "reason": "the licence is not allowed", "excerpt": ""}])
    new = version(blobs, new_rows, {"desk": "2", "fresh": "8"}, quarantine=refused)
    found = diff(old, new, blobs, forgotten=2)
    assert found.same == 1
    assert found.changed.why == {"its source was edited": 2}
    assert [line.line for line in found.changed.lines] == [2, 5]
    assert found.out.why == {
        "the licence is not allowed": 1,
        "its line left the source": 1,
        "its source was taken out": 1,
    } | {"forgotten": 2}
    assert found.out.rows == 3 + 2
    assert found.into.why == {"was refused: no consent": 1, "new line": 1, "its source is new": 1}
    assert found.sources == ("gone was taken out", "fresh is new (MIT, contract)", "desk was edited")
    assert found.composition["source"] == {"desk": (5, 5), "fresh": (0, 1), "gone": (1, 0)}
    assert found.composition["label"]["cards"] == (1, 1)
    assert found.composition["language"] == {"de": (0, 1), "en": (6, 5)}
    assert found.composition["split"] == {"test": (0, 1), "train": (6, 5)}
    assert sum(before for before, _ in found.composition["length"].values()) == 6


def test_rows_are_always_accounted_for(blobs):
    old = version(blobs, [row(f"row {n}", n) for n in range(200)], {"desk": "1"})
    new = version(blobs, [row(f"row {n}", n) for n in range(100, 350)], {"desk": "1"}, builder="another")
    found = diff(old, new, blobs)
    assert (found.same, found.out.rows, found.into.rows, found.changed.rows) == (100, 100, 150, 0)
    assert found.out.why == {"it is a duplicate now": 100}
    assert diff(old, old, blobs).same == 200


def test_settings_that_change_words(blobs):
    old = version(blobs, [row("my name is <PERSON_1>", 1)], {"desk": "1"}, builder="one")
    new = version(blobs, [row("my name is <NAME_1>", 1)], {"desk": "1"}, builder="two")
    assert diff(old, new, blobs).changed.why == {"cleaned by another builder": 1}


def test_buckets_touch():
    assert [bucket(n) for n in (0, 9, 10, 999, 1000)] == [
        *("0-9 words", "0-9 words", "10-49 words", "200-999 words", "1000 words and more")
    ]


def test_tags_move_and_remember(tmp_path):
    with Workspace.open(tmp_path / "ws", create=True) as workspace:
        first, second = (version(workspace.blobs, [row(words, 1)], {"desk": "1"}) for words in ("a", "b"))
        for made in (first, second):
            workspace.ledger.put(made)
        put(workspace.ledger, "gold", first, "ann")
        put(workspace.ledger, "gold", first, "ann")
        put(workspace.ledger, "gold", second, "bob")
        put(workspace.ledger, "first", first, "ann")
        assert {name: tag.version for name, tag in ls(workspace.ledger).items()} == {
            "first": first.id,
            "gold": second.id,
        }
        assert [(tag.version, tag.by) for tag in history(workspace.ledger, "gold")] == [
            (first.id, "ann"),
            (second.id, "bob"),
        ]
        assert resolve(workspace.ledger, "gold") == second
        assert resolve(workspace.ledger, first.id[:16]) == first
        remove(workspace.ledger, "gold", "bob")
        assert list(ls(workspace.ledger)) == ["first"]
        for name in ("gold", "nothing"):
            assert_raises(UnknownName, resolve, workspace.ledger, name)
        assert_raises(UnknownName, remove, workspace.ledger, "gold", "bob")
        for name in ("", "a b", "dataset-abcd", "../x", "x" * 65):
            assert_raises(BadConfig, put, workspace.ledger, name, first, "ann")


def assert_raises(kind: type[Exception], call: Any, *arguments: Any) -> None:
    try:
        call(*arguments)
    except kind:
        return
    raise AssertionError(f"{call.__name__}{arguments[1:]} was let pass")
