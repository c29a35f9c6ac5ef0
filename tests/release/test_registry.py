"""The registry on a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from luthier.access import Principal
from luthier.errors import BadConfig, Forbidden, GateFailed, NeedsApproval, UnknownName
from luthier.records.base import short
from luthier.records.serving import Deployment
from luthier.release import registry
from luthier.store.workspace import Workspace
from tests.release.making import ADA, BOB, World, a_model, a_verdict, a_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        yield a_world(workspace)


def release(world: World, name: str) -> Deployment:
    ledger = world.workspace.ledger
    model = a_model(world.workspace, name, files={"a": name[-1] * 64})
    registry.propose(ledger, model.id, a_verdict(world.workspace, model).id, ADA)
    registry.approve(ledger, model.id, BOB)
    return registry.deploy(ledger, model.id, "desk", world.policy.id, world.knowledge.id, ADA)


def test_the_whole_way(world: World) -> None:
    ledger, model = world.workspace.ledger, world.model.id
    assert registry.status(ledger, model).state == "new"
    assert registry.propose(ledger, short(model), short(world.verdict.id), ADA).state == "proposed"
    with pytest.raises(NeedsApproval, match="ada proposed"):
        registry.deploy(ledger, model, "desk", world.policy.id, world.knowledge.id, ADA)
    approved = registry.approve(ledger, model, BOB)
    assert approved.state == "approved"
    assert approved.proposal is not None
    assert approved.proposal.approved is not None
    assert approved.proposal.approved.by == "bob"
    deployment = registry.deploy(ledger, short(model), "desk", short(world.policy.id), world.knowledge.id, ADA)
    assert (deployment.model, deployment.verdict, deployment.by) == (model, world.verdict.id, "ada")
    assert registry.live(ledger, "desk") == deployment
    assert registry.all_live(ledger) == {"desk": deployment}
    assert registry.status(ledger, model) == registry.ModelStatus(model, "live", approved.proposal, ("desk",))
    parents = {link.parent for link in ledger.ancestors(deployment.id)}
    assert {model, world.dataset.id, world.verdict.id, world.policy.id, world.knowledge.id} <= parents


def test_rolling_back_brings_the_one_before_back(world: World) -> None:
    ledger = world.workspace.ledger
    one, two, three = release(world, "m-1"), release(world, "m-2"), release(world, "m-3")
    assert registry.live(ledger, "desk") == three
    assert registry.status(ledger, one.model).state == "retired"
    assert registry.rollback(ledger, "desk", ADA) == two
    assert registry.rollback(ledger, "desk", ADA) == one
    assert registry.live(ledger, "desk") == one
    assert registry.status(ledger, one.model).state == "live"
    assert registry.status(ledger, three.model).state == "retired"
    with pytest.raises(BadConfig, match="none to go back to"):
        registry.rollback(ledger, "desk", ADA)
    assert [event.verb for event in ledger.events("alias:desk")] == ["deployed"] * 3 + ["rolled-back"] * 2


@pytest.mark.parametrize(("outcome", "mend"), [("fail", "better model"), ("inconclusive", "more questions")])
def test_only_a_passed_verdict_is_proposed(world: World, outcome: str, mend: str) -> None:
    verdict = a_verdict(world.workspace, world.model, outcome)  # type: ignore[arg-type]
    with pytest.raises(GateFailed, match=mend) as raised:
        registry.propose(world.workspace.ledger, world.model.id, verdict.id, ADA)
    assert "+21.4 points" in str(raised.value)
    assert registry.status(world.workspace.ledger, world.model.id).state == "new"


def test_a_verdict_speaks_for_its_own_model_only(world: World) -> None:
    with pytest.raises(BadConfig, match="is about"):
        registry.propose(world.workspace.ledger, world.base.id, world.verdict.id, ADA)


def test_nobody_approves_what_they_proposed(world: World) -> None:
    ledger, both = world.workspace.ledger, Principal("eve", ("engineer", "approver"))
    registry.propose(ledger, world.model.id, world.verdict.id, both)
    with pytest.raises(Forbidden, match="cannot approve it"):
        registry.approve(ledger, world.model.id, both)
    assert registry.status(ledger, world.model.id).state == "proposed"


def test_rights_are_asked_for(world: World) -> None:
    ledger, model, reader = world.workspace.ledger, world.model.id, Principal("kim", ("reviewer",))
    with pytest.raises(Forbidden, match="may not propose"):
        registry.propose(ledger, model, world.verdict.id, reader)
    registry.propose(ledger, model, world.verdict.id, ADA)
    with pytest.raises(Forbidden, match="may not approve"):
        registry.approve(ledger, model, reader)
    registry.approve(ledger, model, BOB)
    with pytest.raises(Forbidden, match="may not deploy"):
        registry.deploy(ledger, model, "desk", world.policy.id, world.knowledge.id, BOB)
    with pytest.raises(Forbidden, match="may not deploy"):
        registry.rollback(ledger, "desk", reader)


def test_saying_it_twice_says_it_once(world: World) -> None:
    ledger, model = world.workspace.ledger, world.model.id
    for _ in range(2):
        registry.propose(ledger, model, world.verdict.id, ADA)
    for _ in range(2):
        registry.approve(ledger, model, BOB)
    registry.propose(ledger, model, world.verdict.id, ADA)
    assert registry.status(ledger, model).state == "approved"
    assert [event.verb for event in ledger.events(model)] == ["recorded", "proposed", "approved"]


def test_a_new_verdict_takes_a_new_approval(world: World) -> None:
    ledger, model = world.workspace.ledger, world.model.id
    registry.propose(ledger, model, world.verdict.id, ADA)
    registry.approve(ledger, model, BOB)
    registry.propose(ledger, model, a_verdict(world.workspace, world.model).id, ADA)
    assert registry.status(ledger, model).state == "proposed"


def test_unknown_things_are_named(world: World) -> None:
    ledger, model = world.workspace.ledger, world.model.id
    registry.propose(ledger, model, world.verdict.id, ADA)
    registry.approve(ledger, model, BOB)
    with pytest.raises(BadConfig, match="cannot be an alias"):
        registry.deploy(ledger, model, "my desk", world.policy.id, world.knowledge.id, ADA)
    with pytest.raises(UnknownName):
        registry.deploy(ledger, model, "desk", "policy-0000", world.knowledge.id, ADA)
    with pytest.raises(UnknownName, match="is no policy"):
        registry.deploy(ledger, model, "desk", world.knowledge.id, world.policy.id, ADA)
    assert registry.live(ledger, "desk") is None
