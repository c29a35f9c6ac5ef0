"""Which names are served follows the ledger within a second, and who may use which."""

from __future__ import annotations

import time

import pytest

from luthier.access import Principal
from luthier.api import served
from luthier.api.served import Served
from luthier.records.base import sha256
from luthier.records.knowledge import IndexVersion, Passage
from luthier.records.training import ModelVersion
from luthier.release import registry
from luthier.workflows.session import Session
from tests.api.conftest import BASE
from tests.workflows.making import DIGESTS, World, judged

ADA, BOB = Principal("ada", ("engineer",)), Principal("bob", ("approver",))


def routes(session: Session, made: World) -> Served:
    def search_in(index: IndexVersion):
        def search(question: str, audience: str, locale: str, count: int) -> list[Passage]:
            return [made.trace.passages[0].model_copy(update={"document": index.folder})]

        return search

    return Served(session.workspace.ledger, made.policy, made.index, search_in)


def release(session: Session, made: World, model: ModelVersion) -> None:
    ledger = session.workspace.ledger
    verdict = made.verdict if model == made.model else judged(session, made.base, model, "pass")[2]
    registry.propose(ledger, model.id, verdict.id, ADA)
    registry.approve(ledger, model.id, BOB)


def test_candidates_and_the_base_are_for_evaluation_alone(session: Session, made: World) -> None:
    found = routes(session, made)
    assert set(found) == {BASE, made.base.id, made.model.id}
    assert {route.right for route in found.values()} == {"evaluate"}
    assert found[BASE].engine_model == BASE
    assert found[made.model.id].engine_model == made.model.id
    assert len(found) == 3
    with pytest.raises(KeyError):
        found["support"]


def test_a_deployment_and_a_rollback_are_served_within_a_second(session: Session, made: World) -> None:
    ledger, found = session.workspace.ledger, routes(session, made)
    later = made.model.model_copy(update={"name": "later", "files": {"adapter_model.safetensors": sha256(b"weights")}})
    ledger.put(later)
    elsewhere = made.index.model_copy(update={"folder": "indexes/b"})
    ledger.put(elsewhere)
    for model in (made.model, later):
        release(session, made, model)
    assert "support" not in found
    first = registry.deploy(ledger, made.model.id, "support", made.policy.id, made.index.id, ADA)
    time.sleep(served.FRESH + 0.05)
    live = found["support"]
    assert (live.engine_model, live.deployment, live.right) == (made.model.id, first.id, "chat")

    second = registry.deploy(ledger, later.id, "support", made.policy.id, elsewhere.id, ADA)
    time.sleep(served.FRESH + 0.05)
    assert (found["support"].model_id, found["support"].deployment) == (later.id, second.id)
    assert found["support"].search is not None
    assert found["support"].search("?", "public", "en", 1)[0].document == "indexes/b", "its own index"
    assert found[made.model.id].right == "evaluate", "by its id it stays a candidate"

    registry.rollback(ledger, "support", ADA)
    time.sleep(served.FRESH + 0.05)
    assert found["support"].model_id == made.model.id


def test_the_ledger_is_not_read_for_every_request(
    session: Session, made: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "FRESH", 60.0)
    found = routes(session, made)
    assert "support" not in found
    session.workspace.ledger.put(ModelVersion(name="new", base="other", files={}, **DIGESTS))
    assert "other" not in found


def test_more_than_a_hundred_candidates(session: Session, made: World) -> None:
    for number in range(101):
        session.workspace.ledger.put(made.model.model_copy(update={"name": f"n{number}"}))
    assert made.model.id in routes(session, made)
