from __future__ import annotations

import pytest

from luthier.access import Principal
from luthier.errors import BadConfig, UnknownName
from luthier.store import keys
from luthier.store.workspace import Workspace


def test_a_key_is_recognised_until_it_is_revoked(workspace: Workspace) -> None:
    ledger = workspace.ledger
    secret = keys.issue(ledger, "ann", ["engineer", "auditor"], "staff", by="owner")
    other = keys.issue(ledger, "bot", ["caller"], "public", by="owner")
    assert secret.startswith("sk-luthier-")
    assert keys.recognise(ledger, secret) == Principal("ann", ("engineer", "auditor"), "staff")
    with Workspace.open(workspace.folder) as again:
        keys.revoke(again.ledger, "ann", by="owner")
    assert keys.recognise(ledger, secret) is None
    assert keys.recognise(ledger, other) == Principal("bot", ("caller",), "public")
    ann, bot = keys.ls(ledger)
    assert (ann.name, ann.by, bool(ann.revoked), bot.revoked) == ("ann", "owner", True, None)


def test_one_of_several_keys_of_a_name_can_go(workspace: Workspace) -> None:
    first, second = (keys.issue(workspace.ledger, "ann", ["caller"], "public", by="x") for _ in range(2))
    keys.revoke(workspace.ledger, keys.ls(workspace.ledger)[0].id, by="x")
    assert keys.recognise(workspace.ledger, first) is None
    assert keys.recognise(workspace.ledger, second) is not None
    keys.revoke(workspace.ledger, "ann", by="x")
    with pytest.raises(UnknownName, match="no key in use"):
        keys.revoke(workspace.ledger, "ann", by="x")


def test_the_secret_is_nowhere_on_the_disk(workspace: Workspace) -> None:
    secret = keys.issue(workspace.ledger, "ann", ["admin"], "staff", by="x")
    assert keys.recognise(workspace.ledger, secret)
    files = [path for path in workspace.folder.rglob("*") if path.is_file()]
    assert files
    assert not any(secret.removeprefix(keys.PREFIX).encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("secret", ["", "sk-luthier-", "sk-luthier-x", "sk-openai-x", "sk-luthier-\ud800", "é" * 99])
def test_no_other_text_is_a_key(workspace: Workspace, secret: str) -> None:
    keys.issue(workspace.ledger, "ann", ["admin"], "staff", by="x")
    assert keys.recognise(workspace.ledger, secret) is None


def test_events_of_others_are_no_keys(workspace: Workspace) -> None:
    workspace.ledger.tell("licence:1", "issued", {"name": "not a key"})
    assert keys.ls(workspace.ledger) == []


@pytest.mark.parametrize(
    ("name", "roles", "audience"),
    [("ann", ["boss"], "staff"), ("", ["caller"], "staff"), ("ann", [], "staff"), ("ann", ["caller"], "secret")],
)
def test_a_key_that_would_mean_nothing_is_refused(
    workspace: Workspace, name: str, roles: list[str], audience: str
) -> None:
    with pytest.raises(BadConfig):
        keys.issue(workspace.ledger, name, roles, audience, by="x")  # type: ignore[arg-type]
    assert workspace.ledger.events() == []
