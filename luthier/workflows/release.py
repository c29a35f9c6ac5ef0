"""Verdict, policy and index come together where a model is put to work."""

from __future__ import annotations

from luthier.access import Principal
from luthier.errors import Missing
from luthier.gateway.policy_file import read_policy
from luthier.records.evaluation import EvalReport, Verdict
from luthier.records.knowledge import IndexVersion
from luthier.records.serving import Deployment
from luthier.records.training import ModelVersion
from luthier.release import registry
from luthier.store.ledger import Ledger
from luthier.workflows.session import Session


def newest_verdict(ledger: Ledger, model: str) -> str:
    """The newest verdict about `model`. Raises Missing where it was never measured."""
    model_id = ledger.get(model, ModelVersion).id
    for verdict in ledger.ls("verdict", limit=10_000):
        if isinstance(verdict, Verdict) and ledger.get(verdict.report, EvalReport).model == model_id:
            return verdict.id
    raise Missing(f"no verdict about {model} is kept", "measure it first: luthier eval")


def newest_index(session: Session) -> IndexVersion:
    """The newest index of the project's documents. Raises Missing where there is none."""
    for index in session.workspace.ledger.ls("index"):
        if isinstance(index, IndexVersion) and index.name == session.project.knowledge.name:
            return index
    raise Missing("the documents are not indexed yet", "index them first: luthier knowledge build")


def deploy(session: Session, model: str, by: Principal, alias: str | None = None) -> Deployment:
    """`model` under the alias, with the project's policy and newest index; what is live so already stays."""
    ledger = session.workspace.ledger
    model_id = ledger.get(model, ModelVersion).id
    policy = ledger.put(read_policy(session.root / session.project.serving.policy), by.name)
    index = newest_index(session).id
    name = alias or session.project.serving.alias
    live = registry.live(ledger, name)
    if live and (live.model, live.policy, live.index) == (model_id, policy, index):
        return live
    return registry.deploy(ledger, model_id, name, policy, index, by)
