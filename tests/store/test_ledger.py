from __future__ import annotations

import math
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import BadConfig, BadData, Tampered, UnknownName
from luthier.records.base import Parent, canonical, short
from luthier.records.evaluation import GatePolicy, Suite
from luthier.records.training import ModelVersion, Recipe, Run
from luthier.store.ledger import leaf
from luthier.store.merkle import leaf_hash
from luthier.store.workspace import Workspace
from tests.store.made import dataset, new_id, ring, trace


def test_what_was_put_comes_back_equal(workspace: Workspace) -> None:
    recipe = Recipe(base="tiny", learning_rate=1e-4)
    assert workspace.ledger.put(recipe, by="ann") == recipe.id
    assert workspace.ledger.get(recipe.id, Recipe) == recipe
    (event,) = workspace.ledger.events(subject=recipe.id)
    assert (event.seq, event.verb, event.by) == (1, "recorded", "ann")


def test_equal_content_is_kept_once(workspace: Workspace) -> None:
    for _ in range(3):
        workspace.ledger.put(Recipe(base="tiny"))
    assert len(workspace.ledger.ls("recipe")) == len(workspace.ledger.events()) == 1


def test_a_happening_is_kept_once_and_never_changed(workspace: Workspace) -> None:
    ids = ring(workspace)
    run = workspace.ledger.get(ids["run"], Run)
    assert workspace.ledger.put(run) == run.id
    with pytest.raises(BadConfig, match="other content"):
        workspace.ledger.put(run.model_copy(update={"code": "0.2"}))


def test_an_unknown_parent_is_refused_and_leaves_nothing(workspace: Workspace) -> None:
    with pytest.raises(UnknownName, match=r"previous of dataset-.* is not in the ledger"):
        workspace.ledger.put(dataset(workspace, made_from=(Parent("previous", "dataset-" + "0" * 64),)))
    assert workspace.ledger.events() == [] == workspace.ledger.ls("dataset")


def test_a_parent_named_twice_is_one_link(workspace: Workspace) -> None:
    first = workspace.ledger.put(dataset(workspace))
    both = (Parent("previous", first), Parent("previous", first), Parent("source", first))
    second = workspace.ledger.put(dataset(workspace, "b", both))
    assert [(link.role, link.parent) for link in workspace.ledger.ancestors(second)] == [
        ("previous", first),
        ("source", first),
    ]


def test_an_id_may_be_shortened(workspace: Workspace) -> None:
    whole = ring(workspace)["dataset"]
    for given_id in (short(whole), whole[: len("dataset-") + 4], f" {whole} "):
        assert workspace.ledger.find(given_id) == whole
        assert workspace.ledger.get(given_id).id == whole  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", ["", "dataset", "dataset-", "dataset-abc", "dataset-zzzz", "%-____", "dataset-____"])
def test_an_unknown_id_is_refused(workspace: Workspace, wrong: str) -> None:
    ring(workspace)
    with pytest.raises(UnknownName) as caught:
        workspace.ledger.get(wrong)
    assert caught.value.mend


def test_an_id_that_fits_several_lists_them(workspace: Workspace) -> None:
    recipe, data = (workspace.ledger.put(record) for record in (Recipe(base="tiny"), dataset(workspace)))
    first, second = (Run(id=f"run-0000{x}", recipe=recipe, dataset=data, base_digest="") for x in "ab")
    workspace.ledger.put(first)
    workspace.ledger.put(second)
    with pytest.raises(UnknownName, match="run-0000a, run-0000b"):
        workspace.ledger.find("run-0000")
    longer = Run(id="run-0000ab", recipe=recipe, dataset=data, base_digest="")
    workspace.ledger.put(longer)
    assert workspace.ledger.find("run-0000a") == "run-0000a"  # a whole id is never ambiguous


def test_a_record_of_another_kind_is_refused(workspace: Workspace) -> None:
    ids = ring(workspace)
    with pytest.raises(UnknownName, match="is no model"):
        workspace.ledger.get(ids["dataset"], ModelVersion)


def test_ls_gives_the_newest_first(workspace: Workspace) -> None:
    for number in range(5):
        workspace.ledger.put(GatePolicy(name=str(number), limits=()))
    assert [gate.name for gate in workspace.ledger.ls("gate", limit=3)] == ["4", "3", "2"]  # type: ignore[attr-defined]
    with pytest.raises(UnknownName, match="dataset"):
        workspace.ledger.ls("datset")


def test_events_are_numbered_and_filtered(workspace: Workspace) -> None:
    for number in range(6):
        workspace.ledger.tell("alias:a" if number % 2 else "alias:b", "moved", {"n": number})
    workspace.ledger.tell("alias:a", "closed")
    events = workspace.ledger.events()
    assert [event.seq for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert [event.body.get("n") for event in workspace.ledger.events(subject="alias:a")] == [1, 3, 5, None]
    assert [event.seq for event in workspace.ledger.events("alias:a", "moved", after=2, limit=1)] == [4]
    assert workspace.ledger.tell("x", "y", {"grüße": "€"}) == workspace.ledger.events(subject="x")[0]


@pytest.mark.parametrize("bad", [{"loss": math.nan}, {"loss": math.inf}, {"text": "\ud800"}, {"big": 2**60}])
def test_what_json_cannot_hold_is_refused(workspace: Workspace, bad: dict[str, object]) -> None:
    with pytest.raises(BadData):
        workspace.ledger.tell("x", "y", bad)
    with pytest.raises(BadConfig, match="of records alone"):
        workspace.ledger.tell("x", "recorded")
    with pytest.raises(BadData):
        workspace.ledger.tell("x\x00", "y")
    with pytest.raises(BadData):
        workspace.ledger.tell("\ud800", "y")
    assert workspace.ledger.events() == []


def test_records_that_json_cannot_hold_are_refused(workspace: Workspace) -> None:
    suite = Suite(name="s\ud800", questions="0" * 64, count=1, scorers=())
    with pytest.raises(BadData):
        workspace.ledger.put(suite)
    with pytest.raises(BadConfig, match="keeps no Trace"):
        workspace.ledger.put(trace())
    with pytest.raises(BadConfig, match="no id of a run"):
        workspace.ledger.put(Run(id="x", recipe="", dataset="", base_digest=""))


def test_lineage_goes_both_ways(workspace: Workspace) -> None:
    ids = ring(workspace)
    up = workspace.ledger.ancestors(ids["verdict"])
    assert {link.parent for link in up} == set(ids.values()) - {ids["verdict"]}
    depth = {(link.child, link.parent): link.depth for link in up}
    assert depth[ids["verdict"], ids["report"]] == 1
    assert depth[ids["report"], ids["model"]] == 2
    assert depth[ids["run"], ids["dataset"]] == 4
    assert [link.depth for link in up] == sorted(link.depth for link in up)
    down = workspace.ledger.descendants(short(ids["dataset"]))
    assert {link.child for link in down} == {ids[kind] for kind in ("run", "model", "report", "verdict")}


def test_a_deep_diamond_does_not_grow(workspace: Workspace) -> None:
    last = [workspace.ledger.put(dataset(workspace, "0"))]
    for level in range(1, 25):
        parents = tuple(Parent("previous", parent) for parent in last)
        last = [workspace.ledger.put(dataset(workspace, f"{level}{side}", parents)) for side in "ab"]
    links = workspace.ledger.ancestors(last[0])
    assert len(links) == 2 * 2 * 22 + 2 + 2
    assert max(link.depth for link in links) == 24


def test_a_damaged_row_is_never_handed_out(workspace: Workspace) -> None:
    ids = ring(workspace)
    workspace.ledger.tell("alias:a", "deployed", {"model": ids["model"]})
    database = sqlite3.connect(workspace.folder / "ledger.db")
    for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {trigger}")
    database.execute("UPDATE record SET body = replace(body, 'tiny', 'tony')")
    database.execute("UPDATE record SET body = replace(body, '000', '001') WHERE kind = 'run'")
    database.execute("UPDATE event SET body = '{\"model\":\"mine\"}' WHERE subject = 'alias:a'")
    database.commit()
    database.close()
    for kind in ("model", "run"):
        with pytest.raises(Tampered):
            workspace.ledger.get(ids[kind])
        with pytest.raises(Tampered):
            workspace.ledger.ls(kind)
    with pytest.raises(Tampered, match="is not what was recorded"):
        workspace.ledger.events(subject="alias:a")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET body = '{}'",
        "DELETE FROM event WHERE seq = 1",
        "UPDATE record SET body = '{}'",
        "DELETE FROM record",
        "DELETE FROM edge",
        "UPDATE edge SET role = 'x'",
        "DELETE FROM checkpoint",
        "UPDATE luthier SET value = '2'",
        "INSERT OR REPLACE INTO event SELECT 1, subject, verb, '{}', at, by, leaf FROM event WHERE seq = 1",
        "INSERT INTO event SELECT seq + 100, subject, verb, body, at, by, leaf FROM event WHERE seq = 1",
        "REPLACE INTO record SELECT id, kind, '{}', seq FROM record",
    ],
)
def test_the_database_itself_refuses_change(workspace: Workspace, statement: str) -> None:
    ring(workspace)
    from luthier.store.audit import checkpoint

    checkpoint(workspace)
    database = sqlite3.connect(workspace.folder / "ledger.db")
    with pytest.raises(sqlite3.IntegrityError, match="only grows"):
        database.execute(statement)
    database.close()


def test_many_threads_may_write(workspace: Workspace) -> None:
    def work(thread: int) -> None:
        for number in range(6):
            workspace.ledger.tell(f"thread:{thread}", "said", {"n": number})
            workspace.ledger.put(GatePolicy(name=f"{number}", limits=()))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert [event.seq for event in workspace.ledger.events()] == list(range(1, 16 * 6 + 6 + 1))


@given(st.integers(1, 2**53 - 1), *[st.text(st.characters(exclude_categories=["Cs"]))] * 5)
def test_a_leaf_is_over_canonical_json(seq: int, subject: str, verb: str, body: str, at: str, by: str) -> None:
    assert leaf(seq, subject, verb, body, at, by) == leaf_hash(canonical([seq, subject, verb, body, at, by])).hex()


def test_happening_ids_sort_by_time() -> None:
    assert new_id("run", 1) < new_id("run", 2)
