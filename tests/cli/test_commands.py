"""Every command: its help, its one JSON object, its exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from luthier.cli.main import COMMANDS
from luthier.cli.main import luthier as root
from luthier.workflows.session import Session
from tests.cli.conftest import Luthier
from tests.workflows.making import World, a_trace, judged


def every(group: click.Group = root, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None, name
        yield (*before, name), command
        if isinstance(command, click.Group):
            yield from every(command, (*before, name))


ALL = dict(every())
ENDLESS = {("serve",), ("engine",)}


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_help(luthier: Luthier, command: tuple[str, ...]) -> None:
    said = luthier(*command, "--help")
    assert said.code == 0
    assert said.out.lower().startswith("usage:")
    assert len(said.out) > 150, "this says nothing"
    if not isinstance(ALL[command], click.Group) and command not in ENDLESS:
        assert "--json" in said.out


def test_the_whole_is_listed(luthier: Luthier) -> None:
    asked = "demo init doctor models data knowledge train eval release serve engine feedback "
    asked += "why impact forget audit jobs keys"
    assert set(COMMANDS) == set(asked.split())
    help_text = luthier("--help").out
    assert all(name in help_text for name in COMMANDS)
    assert luthier("--version").out.startswith("luthier ")


READING = [
    ("release", "list"),
    ("release", "card", "{model}"),
    ("data", "show"),
    ("data", "show", "{dialogues}", "--quarantine"),
    ("keys", "list"),
    ("feedback", "list", "--state", "all"),
    ("why", "{trace}"),
    ("impact", "fees"),
    ("forget", "What does", "--dry-run"),
    ("data", "diff", "{dialogues}", "{dialogues}"),
    ("data", "tag"),
    ("audit", "verify"),
    ("audit", "log"),
    ("audit", "checkpoint"),
    ("jobs",),
]


@pytest.mark.parametrize("command", READING, ids=lambda c: " ".join(c[:2]))
def test_one_object_for_machines_and_something_for_people(
    luthier: Luthier, bank: Path, made: World, command: tuple[str, ...]
) -> None:
    ids = {"model": made.model.id, "dialogues": made.dialogues.id, "trace": made.trace.id}
    arguments = [part.format(**ids) for part in command] + ["--project", str(bank)]
    said = luthier(*arguments, "--json")
    assert (said.code, said.err) == (0, "")
    assert said.data
    people = luthier(*arguments)
    assert people.code == 0
    assert people.out.strip()


def test_nothing_that_people_wrote_is_taken_for_markup(luthier: Luthier, bank: Path, made: World) -> None:
    opened = Session.open(bank)
    odd = a_trace(made.deployment, 1_700_000_000_009, answer="[/bold] costs [red]9[/red] EUR [1].", caller="[/x]")
    opened.workspace.traces.put(odd)
    opened.close()
    assert "[/bold] costs [red]9[/red] EUR [1]." in luthier("why", odd.id, "--project", bank).out
    name = "[/dim]anna[red]"
    assert name in luthier("keys", "add", name, "--role", "caller", "--project", bank).out
    assert name in luthier("keys", "list", "--project", bank).out


def test_keys_come_and_go(luthier: Luthier, bank: Path) -> None:
    secret = luthier("keys", "add", "dev", "--role", "admin", "--project", bank, "--json").data["key"]
    assert luthier("keys", "add", "anna", "--role", "caller", "--key", secret, "--project", bank, "--json").code == 0
    listed = luthier("keys", "list", "--project", bank, "--json")
    assert [known["name"] for known in listed.data["keys"]] == ["dev", "anna"]
    assert secret not in listed.out
    assert luthier("keys", "revoke", "dev", "--project", bank, "--json").data == {"revoked": "dev"}
    said = luthier("keys", "add", "x", "--role", "caller", "--key", secret, "--project", bank)
    assert said.code == 4
    assert "revoked" in said.error


def test_a_release_from_verdict_to_rollback(luthier: Luthier, bank: Path, made: World) -> None:
    keys = {
        name: luthier("keys", "add", name, "--role", role, "--project", bank, "--json").data["key"]
        for name, role in (("eva", "engineer"), ("bob", "approver"), ("both", "admin"))
    }

    def release(verb: str, *more: str, who: str = "eva", code: int = 0) -> dict[str, object]:
        said = luthier("release", verb, *more, "--key", keys[who], "--project", bank, "--json")
        assert said.code == code, said
        return said.data

    model = made.model.id[:18]
    assert release("deploy", model, code=4)["error"]
    assert release("propose", model, who="bob", code=4)
    assert release("propose", model)["state"] == "proposed"
    assert release("approve", model, code=4), "she may not"
    assert release("approve", model, who="bob")["state"] == "approved"
    assert release("deploy", model)["alias"] == "support"
    first = release("deploy", model)["deployment"]
    assert release("deploy", model)["deployment"] == first, "what is live so already stays"
    assert release("rollback", code=1)["error"], "there is nothing below it"
    opened = Session.open(bank)
    later = made.model.model_copy(update={"name": "later"})
    opened.workspace.ledger.put(later)
    judged(opened, made.base, later, "pass")
    opened.close()
    assert release("propose", later.id, who="both")["state"] == "proposed"
    four_eyes = luthier("release", "approve", later.id, "--key", keys["both"], "--project", bank)
    assert four_eyes.code == 4
    assert "cannot approve" in four_eyes.error
    release("approve", later.id, who="bob")
    assert release("deploy", later.id)["model"] == later.id
    assert release("rollback")["deployment"] == first


def test_a_model_that_its_gate_did_not_pass(luthier: Luthier, bank: Path) -> None:
    from tests.workflows.making import world

    opened = Session.open(bank)
    made = world(opened, "fail")
    opened.close()
    said = luthier("release", "propose", made.model.id, "--project", bank)
    assert said.code == 3
    assert "20.0 <= 40.0" in said.error
    assert (
        luthier("release", "propose", made.model.id, "--project", bank, "--json").data["error"]["type"] == "GateFailed"
    )


def test_a_report_and_its_failure_are_one_object(luthier: Luthier, capfd: pytest.CaptureFixture[str]) -> None:
    from luthier.cli.common import show_failed
    from luthier.errors import GateFailed

    with pytest.raises(SystemExit) as end:
        show_failed({"verdict": "fail"}, GateFailed("it did not pass", "train"), as_json=True)
    assert end.value.code == 3
    assert capfd.readouterr().out.count("\n") == 1
    with pytest.raises(GateFailed):
        show_failed({"verdict": "fail"}, GateFailed("it did not pass", "train"), as_json=False)
