"""A project with a vault: built, revealed to who may know, forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from luthier import plugins
from luthier.access import Principal
from luthier.data import prepared
from luthier.data.build import rows
from luthier.data.spans import Span
from luthier.errors import Forbidden, Missing, UnknownName
from luthier.records.data import Found, Scrubbed
from luthier.workflows import data
from luthier.workflows.forget import forget
from luthier.workflows.session import Session
from tests.workflows.making import SETTINGS, chat, project

ADMIN = Principal("owner", ("admin",), "staff")
"""What `luthier` acts as on the machine of the workspace."""
NAMES = ("Marta Kovar", "Jon Pell")


class Listed:
    """A scrubber that knows two names."""

    def __init__(self, *, allow: tuple[str, ...] = ()) -> None:
        self.allow = allow

    def dialogue(self, texts: list[str], language: str = "en") -> list[Scrubbed]:
        made = []
        for text in texts:
            spans = sorted(Span(text.find(n), text.find(n) + len(n), "PERSON") for n in NAMES if n in text)
            found = tuple(Found(s.start, s.end, s.type, text[s.start : s.end]) for s in spans)
            without = text
            for number, name in enumerate(NAMES, start=1):
                without = without.replace(name, f"<PERSON_{number}>")
            made.append(Scrubbed(without, found))
        return made


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    real = plugins.find
    monkeypatch.setattr(plugins, "find", lambda kind, name: Listed if kind == "scrubber" else real(kind, name))
    prepared.scrubber.cache_clear()
    folder = project(tmp_path / "bank", data=SETTINGS["data"] | {"vault": True})
    lines = [chat("I am Marta Kovar, where is my card?", "It is on its way."), chat("Jon Pell here: fee?", "9 EUR.")]
    (folder / "dialogues.jsonl").write_text("\n".join(map(json.dumps, lines)))
    yield folder
    prepared.scrubber.cache_clear()


def test_a_row_is_revealed_to_who_may_know_and_the_log_says_so(bank):
    session = Session.open(bank)
    version = data.build(session)
    first, second = rows(version, session.workspace.blobs)
    assert "Marta" not in first.messages[0].content
    found = data.reveal(session, ADMIN, first.id)
    assert found.turns[0] == ("user", "I am Marta Kovar, where is my card?")
    assert list(found.values.values()) == ["Marta Kovar"]
    (event,) = session.workspace.ledger.events(verb=data.REVEALED)
    assert (event.subject, event.by) == (f"row:{first.id}", "owner")
    assert event.body == {"dataset": version.id, "values": 1}
    for role in ("caller", "reviewer", "engineer", "approver", "auditor"):
        with pytest.raises(Forbidden):
            data.reveal(session, Principal("eve", (role,)), second.id)
    with pytest.raises(UnknownName, match="no dataset has a row"):
        data.reveal(session, ADMIN, "0" * 16)
    assert len(session.workspace.ledger.events(verb=data.REVEALED)) == 1
    session.close()


def test_the_command_prints_it(bank):
    from luthier.cli.reveal_command import reveal

    session = Session.open(bank)
    row = next(rows(data.build(session), session.workspace.blobs)).id
    session.close()
    said = CliRunner().invoke(reveal, [row, "--project", str(bank)])
    assert said.exit_code == 0, said.output
    assert "I am Marta Kovar, where is my card?" in said.output
    told = json.loads(CliRunner().invoke(reveal, [row, "--project", str(bank), "--json"]).output)
    assert told["values"] == {"<PERSON_1>": "Marta Kovar"}


def test_forgetting_takes_the_entries_with_it(bank):
    session = Session.open(bank)
    version = data.build(session)
    first, second = rows(version, session.workspace.blobs)
    path = session.workspace.folder / data.VAULT
    assert len(path.read_bytes().splitlines()) == 2
    forget(session, ["Marta Kovar"])
    assert len(path.read_bytes().splitlines()) == 1
    vault = data.vault_of(session)
    assert vault.reveal(version.name, first.id) == {}
    assert list(vault.reveal(version.name, second.id).values()) == ["Jon Pell"]
    again = data.build(session)
    assert [row.id for row in rows(again, session.workspace.blobs)] == [second.id]
    assert len(path.read_bytes().splitlines()) == 1, "no later build takes them, nor their entry"
    session.close()


def test_a_build_that_dies_before_it_is_recorded_leaves_nothing_in_the_vault(bank, monkeypatch):
    session = Session.open(bank)

    def full(*_: object) -> None:
        raise OSError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(session.workspace.ledger, "put", full)
        with pytest.raises(OSError, match="no room"):
            data.build(session)
    path = session.workspace.folder / data.VAULT
    assert not path.exists()
    data.build(session)
    assert len(path.read_bytes().splitlines()) == 2
    assert not list(session.workspace.folder.glob("vault*.new"))
    session.close()


@pytest.mark.models
def test_the_projects_embedder_finds_what_says_the_same(tmp_path):
    settings = SETTINGS["data"] | {"semantic": 0.85, "scrubber": "none"}
    folder = project(tmp_path / "bank", data=settings)
    lines = [
        chat("How can I change the address on my account?", "In the app, under profile."),
        chat("How do I change my account's address?", "In the app, under your profile."),
        chat("What does a lost card cost?", "Nothing."),
    ]
    (folder / "dialogues.jsonl").write_text("\n".join(map(json.dumps, lines)))
    session = Session.open(folder)
    try:
        made = data.build(session)
    except Missing as missing:
        pytest.skip(str(missing))
    assert [row.line for row in rows(made, session.workspace.blobs)] == [1, 3]
    assert "embedder all-minilm-l6-v2" in made.builder
    session.close()
