"""A person is forgotten: everywhere, provably, once and for all, and however often it is cut off."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pytest

from luthier import plugins
from luthier.access import Principal
from luthier.data.spans import subject_key
from luthier.data.vault import Vault, vault_key
from luthier.errors import BadConfig, Missing, RunFailed, UnknownName
from luthier.feedback import reviews
from luthier.gateway.exchange import Exchange, Route
from luthier.gateway.recorded import trace_of
from luthier.gateway.requests import Asked
from luthier.records.base import Parent
from luthier.records.data import DatasetVersion, Message
from luthier.records.feedback import ReviewItem
from luthier.records.knowledge import DocumentVersion, IndexVersion
from luthier.store import audit, erasure
from luthier.workflows import data, lineage, versions
from luthier.workflows.forget import forget
from luthier.workflows.person import find, subject_of
from luthier.workflows.session import Session
from tests.gateway.bench import Patterns
from tests.workflows.making import World, a_dataset, a_row, a_trace, moment, world

PERSON = "Marta Kovar"
LONG = "Hello, <PERSON_1> here, my blue bicycle was bought with the stolen card in Port Sedge."
SPELLINGS = (b"marta kovar", b"MARTA  KOVAR", b"martakovar", b"kovar, marta", b"marta.kovar", b"marta\\u00a0kovar")


class Planted(NamedTuple):
    """Where the person was put."""

    first: DatasetVersion
    second: DatasetVersion
    trace: str
    review: str
    others_trace: str
    others_review: str
    orphan: str


def plant(session: Session, made: World) -> Planted:
    """Put the person everywhere that a workspace may hold them, beside somebody who must stay."""
    workspace = session.workspace
    ledger, blobs = workspace.ledger, workspace.blobs
    key = subject_key(workspace.pseudonym_key, PERSON)
    stays = a_row("Where is my card? It was sent to Port Sedge more than two weeks ago, I believe.", "On its way.")
    goes = a_row(LONG, "On its way.", 2)
    missed = a_row("I am marta  KOVAR and nobody noticed.", "Hello.", 3)
    own = a_row("Said without a name.", "Good.", 4, subject=key)
    subjects = blobs.put_lines(
        [{"key": key, "rows": [goes.id]}, {"key": "f" * 64, "rows": sorted([goes.id, stays.id])}]
    )
    excerpts = [
        {"source": "desk", "line": 9, "reason": "no JSON", "excerpt": "{'I am Marta Kovar'"},
        {"source": "desk", "line": 10, "reason": "no JSON", "excerpt": "{"},
    ]
    quarantine = blobs.put_lines(excerpts)
    first = a_dataset(session, "dialogues", [stays, goes, missed, own], subjects=subjects, quarantine=quarantine)
    previous = (Parent("previous", first.id),)
    second = a_dataset(session, "dialogues", [goes, stays], subjects=subjects, made_from=previous)
    orphan = blobs.put_lines([goes.body()])  # a build that was killed before it told anybody
    trace = a_trace(made.deployment, 1_700_000_000_100, messages=(Message(role="user", content=LONG),))
    others = a_trace(made.deployment, 1_700_000_000_101)
    called = a_trace(made.deployment, 1_700_000_000_102, caller="marta kovar")
    for each in (trace, others, called):
        workspace.traces.put(each)
    review = ReviewItem(
        id=moment("review"),
        trace=trace.id,
        reason="correction",
        rating="up",
        correction="It is your bicycle.",
        by="dev",
    )
    kept = ReviewItem(
        id=moment("review", 1_700_000_000_009),
        trace=others.id,
        reason="correction",
        correction="It is 9 EUR.",
        by="dev",
    )
    for item in (review, kept):
        ledger.put(item)
    vault = Vault(workspace.folder / "vault.jsonl", vault_key(workspace.folder / "keys", create=True))
    for row in (goes, stays):
        vault.put("dialogues", row.id, {"<PERSON_1>": PERSON})
    log = workspace.folder / "runs" / "run-x" / "output.log"
    log.parent.mkdir(parents=True)
    log.write_text("step 1\nrow: Marta Kovar asked\nstep 2\n")
    with sqlite3.connect(workspace.folder / "jobs.db") as jobs:
        jobs.execute("CREATE TABLE told (words TEXT)")
        jobs.executemany("INSERT INTO told VALUES (?)", [(f"{PERSON} {n}",) for n in range(200)])
    with sqlite3.connect(workspace.folder / "jobs.db") as jobs:
        jobs.execute("DELETE FROM told")  # deleted, and its bytes are still there
    jobs.close()
    with (session.root / "dialogues.jsonl").open("a") as file:
        file.write('{"messages": [{"role": "user", "content": "Marta Kovar again"}]}\n')
    audit.checkpoint(workspace)
    return Planted(first, second, trace.id, review.id, others.id, kept.id, orphan)


def left_in(folder: Path, *more: bytes) -> list[str]:
    """Files that hold the person in any spelling, by looking at their bytes."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            seen = path.read_bytes().lower()
            found += [str(path) for words in (*SPELLINGS, *more) if words.lower() in seen]
    return found


@pytest.fixture
def planted(session: Session) -> Planted:
    return plant(session, world(session))


def check(session: Session, planted: Planted) -> None:
    """Everything of the person is gone, and nothing else."""
    workspace = session.workspace
    assert left_in(workspace.folder, LONG.encode(), b"It is your bicycle") == []
    report = audit.verify(workspace)
    assert report.problems == ()
    ledger, blobs = workspace.ledger, workspace.blobs
    for version in (planted.first, planted.second):
        left = erasure.left_of(ledger, version)
        assert left.rows != version.rows
        assert [line["line"] for line in blobs.lines(left.rows)] == [1]
        assert [line["key"] for line in blobs.lines(left.subjects or "")] == ["f" * 64]
        assert left.counts == {"train": 1}
        assert not blobs.has(version.rows)
        with pytest.raises(BadConfig, match="retired"):
            erasure.require_whole(ledger, version)
    refused = list(blobs.lines(erasure.left_of(ledger, planted.first).quarantine or ""))
    assert [(line["line"], line["excerpt"]) for line in refused] == [(9, ""), (10, "{")]
    assert not blobs.has(planted.orphan)
    assert planted.others_trace in [trace.id for trace in workspace.traces.ls()]
    assert planted.trace not in [trace.id for trace in workspace.traces.ls()]
    by_id = {item.item.id: item.item for item in reviews.queue(ledger, None)}
    assert by_id[planted.others_review].correction == "It is 9 EUR."
    assert (by_id[planted.review].correction, by_id[planted.review].rating) == ("", "up")
    goes = a_row(LONG, "").id
    stays = next(blobs.lines(erasure.left_of(ledger, planted.first).rows))["id"]
    vault = Vault(workspace.folder / "vault.jsonl", vault_key(workspace.folder / "keys"))
    assert (vault.reveal("dialogues", goes), len(vault.reveal("dialogues", stays))) == ({}, 1)
    assert (workspace.folder / "runs" / "run-x" / "output.log").read_text() == "step 1\nstep 2\n"
    assert erasure.forgotten(ledger) == {subject_key(workspace.pseudonym_key, PERSON)}


def test_everywhere_and_nowhere_else(session: Session, planted: Planted) -> None:
    looked = find(session, subject_of(session, [PERSON]))
    assert {version: len(rows) for version, rows in looked.rows.items()} == {planted.first.id: 3, planted.second.id: 1}
    assert looked.lines == {"dialogues.jsonl": (2,)}
    assert len(looked.traces) == 2
    assert left_in(session.workspace.folder), "looking changed something"
    before = {path: path.read_bytes() for path in session.root.glob("*.*") if path.is_file()}
    done = forget(session, ["marta  KOVAR"])
    check(session, planted)
    assert before == {path: path.read_bytes() for path in session.root.glob("*.*") if path.is_file()}
    assert {seen.id for seen in done.found.seen} == {planted.first.id, planted.second.id}
    assert done.files > 10
    events = session.workspace.ledger.events()
    assert {"forgetting", "replaced", "erased", "forgot"} <= {event.verb for event in events}
    again = forget(session, [PERSON])
    assert again.earlier
    assert again.found.nothing()
    assert {seen.id for seen in again.found.seen} == {planted.first.id, planted.second.id}
    assert len(session.workspace.ledger.events(verb="forgot")) == 1


def test_what_had_seen_them_and_what_makes_it_anew(session: Session) -> None:
    made = world(session)
    workspace = session.workspace
    asked = next(iter(workspace.blobs.lines(made.dataset.rows)))
    key = subject_key(workspace.pseudonym_key, PERSON)
    subjects = workspace.blobs.put_lines([{"key": key, "rows": [asked["id"]]}])
    row = a_row(asked["messages"][0]["content"], "9 EUR.")
    source = a_dataset(session, "dialogues", [row], subjects=subjects)
    done = forget(session, [PERSON])
    assert source.id in done.found.rows
    mends = {seen.record.kind: seen.mend for seen in done.found.seen}
    assert mends["model"] == "luthier data build && luthier train"
    assert "--alias support" in mends["deployment"]
    assert {"dataset", "run", "model", "report", "verdict", "deployment"} <= set(mends)
    assert made.deployment.id in {seen.id for seen in done.found.seen}


def test_impact_remembers_that_they_were_forgotten(session: Session, planted: Planted) -> None:
    forget(session, [PERSON])
    assert find(session, subject_of(session, ["王小明"])).nothing()
    found = lineage.impact(session, "marta kovar")
    assert found.rows == {}
    assert found.forgotten == {planted.first.id: 3, planted.second.id: 1}
    with pytest.raises(UnknownName):
        lineage.impact(session, "Nobody Atall")


def test_a_document_leaves_the_index(session: Session) -> None:
    import numpy as np

    from luthier.knowledge import table

    world(session)
    workspace = session.workspace
    text = b"---\ntitle: Praise\n---\nOur customer Marta Kovar was glad.\n"
    other = b"---\ntitle: Fees\n---\nA card costs 9 EUR.\n"
    documents = tuple(
        DocumentVersion(name=name, title=name, digest=workspace.blobs.put(words))
        for name, words in (("praise", text), ("fees", other))
    )
    chunks = [
        table.Row(name, 0, 10, "", "public", "en", words.decode())
        for name, words in (("praise", text), ("fees", other))
    ]
    table.create(workspace.folder / "indexes/b", chunks, np.eye(2, 4, dtype=np.float32))
    index = IndexVersion(name="documents", documents=documents, embedder="e", chunks=2, folder="indexes/b")
    workspace.ledger.put(index)
    done = forget(session, [PERSON])
    assert done.found.documents == ("praise",)
    assert table.Table(workspace.folder / "indexes/b").lance.count_rows() == 1
    assert left_in(workspace.folder) == []
    assert audit.verify(workspace).ok


def test_what_cannot_be_taken_out_is_said(session: Session, planted: Planted) -> None:
    stranger = session.workspace.folder / "notes.db"
    stranger.write_bytes(b"\x00" * 5000 + b"MARTA-KOVAR" + b"\x00")
    with pytest.raises(RunFailed, match=r"notes\.db at byte 5000"):
        forget(session, [PERSON])
    assert session.workspace.ledger.events(verb="forgot") == []
    stranger.unlink()
    forget(session, [PERSON])
    check(session, planted)


@pytest.mark.parametrize(
    ("asked", "said"), [(["ab"], "so short"), ([" "], "so short"), ([], "so short"), (["Young"], "any other")]
)
def test_nobody_is_called_so(session: Session, asked: list[str], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        forget(session, asked)


def test_somebody_who_is_not_there(session: Session, planted: Planted) -> None:
    count = len(session.workspace.ledger.events())
    with pytest.raises(UnknownName):
        forget(session, ["Nobody Atall"])
    assert len(session.workspace.ledger.events()) == count


def test_a_key_of_a_row_names_them_too(session: Session, planted: Planted) -> None:
    key = subject_key(session.workspace.pseudonym_key, PERSON)
    done = forget(session, [key])
    assert {len(rows) for rows in done.found.rows.values()} == {2, 1}, "the one that was missed has no key"
    assert erasure.forgotten(session.workspace.ledger) == {key}


def test_a_trace_that_was_scrubbed_is_found_by_its_keys(session: Session) -> None:
    """Nothing in its texts names the person any more: the gateway kept the keyed hash."""
    made = world(session)
    keyed = partial(subject_key, session.workspace.pseudonym_key)
    asked = Asked("support", (Message(role="user", content="I am anna@example.org, call +44 20 7946 0958."),), "")
    route = Route("engine", made.deployment.model, made.policy)
    caller = Principal("web", ("caller",))
    exchange = Exchange(moment("chatcmpl", 1_700_000_000_500), "2026-02-01", 0, caller, route, asked, "", answer="Yes.")
    session.workspace.traces.put(trace_of(exchange, Patterns(), keyed))
    other = exchange.but(id=moment("chatcmpl", 1_700_000_000_501), asked=Asked("support", (Message(role="user"),), ""))
    session.workspace.traces.put(trace_of(other, Patterns(), keyed))
    assert left_in(session.workspace.folder, b"anna@example.org", b"7946") == []
    looked = find(session, subject_of(session, ["Anna@Example.org"]))
    assert looked.traces == (exchange.id,)
    assert find(session, subject_of(session, ["0044 20 7946-0958"])).traces == (exchange.id,)
    forget(session, ["anna@example.org"])
    assert {trace.id for trace in session.workspace.traces.ls()} == {made.trace.id, other.id}


def test_a_diff_over_a_retired_version_says_so(session: Session, planted: Planted) -> None:
    forget(session, [PERSON])
    row = a_row("Something new.", "Yes.", 20)
    new = a_dataset(session, "dialogues", [row], made_from=(Parent("previous", planted.second.id),))
    found = versions.diff(session, versions.before(session, new), new)
    assert found.out.why["forgotten"] == 1
    assert (found.same, found.into.rows) == (0, 1)
    done = versions.export(session, planted.second, session.root / "out.jsonl", "chat-jsonl")
    assert done.rows == 1


def test_killed_before_every_step(session: Session, planted: Planted, tmp_path: Path) -> None:
    """Each copy is left as the kill left it; a second call finishes it, and nothing is there any more."""
    root = session.root
    session.close()
    copies = tmp_path / "copies"
    copies.mkdir()
    run = [sys.executable, "-m", "tests.workflows.forgetter", str(root), str(copies), PERSON]
    steps = int(subprocess.run(run, check=True, capture_output=True, text=True, timeout=100).stdout)
    assert steps > 20
    for deadly in range(1, steps + 1):
        copy = Session.open(copies / f"killed-{deadly}", create=False)
        forget(copy, [PERSON])
        check(copy, planted)
        copy.close()


@pytest.mark.models
def test_the_sample(tmp_path: Path) -> None:
    """The planted person of the bundled sample, with the scrubber that users have."""
    try:
        plugins.find("scrubber", "presidio")()
    except Missing as missing:
        pytest.skip(str(missing))
    shutil.copytree(Path(str(files("luthier") / "sample")), tmp_path / "bank")
    source = tmp_path / "bank" / "dialogues.jsonl"
    lines = source.read_text("utf-8").splitlines(keepends=True)
    source.write_text("".join(lines[100:200]), "utf-8")
    session = Session.open(tmp_path / "bank")
    old = data.build(session)
    assert len(lineage.impact(session, PERSON).rows[old.id]) == 3
    said = [json.loads(line)["messages"][0]["content"] for line in lines if PERSON in line]
    scrubbed = [line["messages"][0]["content"] for line in session.workspace.blobs.lines(old.rows)]
    done = forget(session, [PERSON])
    assert {version: len(rows) for version, rows in done.found.rows.items()} == {old.id: 3}
    assert done.found.lines["dialogues.jsonl"] == (17, 34, 85)
    kept = {
        line["messages"][0]["content"]
        for line in session.workspace.blobs.lines(erasure.left_of(session.workspace.ledger, old).rows)
    }
    gone = [text for text in scrubbed if text not in kept]
    assert len(gone) == len(said) == 3
    assert left_in(session.workspace.folder, *(text.encode() for text in gone)) == []
    assert audit.verify(session.workspace).ok
    assert lineage.impact(session, PERSON).forgotten == {old.id: 3}
    new = data.build(session, previous=old)
    assert new.id != old.id
    assert sum(new.counts.values()) == sum(old.counts.values()) - 3
    assert new.left_out == {"a person in it was forgotten": 3}
    assert left_in(session.workspace.folder, *(text.encode() for text in gone)) == []
    found = versions.diff(session, old, new)
    assert found.out.why == {"forgotten": 3}
    assert audit.verify(session.workspace).ok
    session.close()
