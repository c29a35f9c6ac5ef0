"""Proposing, approving, deploying and rolling back: rights and rules first, then one event in the ledger.

Knows nothing of tensors, and nothing of how a verdict came about.
"""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

from luthier.access import Principal, require
from luthier.errors import BadConfig, GateFailed
from luthier.records.base import happening_id, short
from luthier.records.evaluation import EvalReport, Verdict
from luthier.records.knowledge import IndexVersion
from luthier.records.serving import Deployment, ServingPolicy
from luthier.records.training import ModelVersion
from luthier.release import rollout
from luthier.release.rollout import ALIAS, APPROVED, DEPLOYED, PROPOSED, ROLLED_BACK, Proposal, Rollout, State
from luthier.store.ledger import Event, Ledger

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ModelStatus(NamedTuple):
    """Where a model stands, on whose word, and under which aliases it answers."""

    model: str
    state: State
    proposal: Proposal | None
    aliases: tuple[str, ...]


def propose(ledger: Ledger, model: str, verdict: str, by: Principal) -> ModelStatus:
    """Put `model` forward on a verdict about it. Proposing it again on the same verdict changes nothing.

    Raises GateFailed unless the verdict passed, BadConfig where it is about another model.
    """
    require(by, "propose")
    model_id = ledger.get(model, ModelVersion).id
    judged = ledger.get(verdict, Verdict)
    report = ledger.get(judged.report, EvalReport)
    if report.model != model_id:
        raise BadConfig(
            f"{short(judged.id)} is about {short(report.model)}, not about {short(model_id)}",
            "evaluate and judge this model first",
        )
    if judged.outcome != "pass":
        unmet = " | ".join(result.reason for result in judged.results if result.outcome != "pass")
        mend = "train a better model" if judged.outcome == "fail" else "evaluate it on more questions"
        raise GateFailed(f"the gate did not pass {short(model_id)} ({judged.outcome}): {unmet}", mend)
    proposal = standing(ledger).proposals.get(model_id)
    if proposal is None or proposal.verdict != judged.id:
        ledger.tell(model_id, PROPOSED, {"verdict": judged.id}, by=by.name)
    return status(ledger, model_id)


def approve(ledger: Ledger, model: str, by: Principal) -> ModelStatus:
    """Approve the latest proposal of `model`. Approving it again changes nothing.

    Raises Forbidden for somebody without the right and for the proposer, BadConfig where nobody proposed it.
    """
    model_id = ledger.get(model, ModelVersion).id
    proposal = rollout.to_approve(standing(ledger), model_id, by)
    if proposal.approved is None:
        ledger.tell(model_id, APPROVED, {"verdict": proposal.verdict}, by=by.name)
    return status(ledger, model_id)


def deploy(ledger: Ledger, model: str, alias: str, policy: str, index: str, by: Principal) -> Deployment:
    """Put `model` to work under `alias`, with a serving policy and an index. What was live there waits below it.

    Raises NeedsApproval unless the model is approved.
    """
    require(by, "deploy")
    if not NAME.fullmatch(alias):
        raise BadConfig(f"{alias!r} cannot be an alias", "take up to 64 letters, digits, dots, dashes and underscores")
    model_id = ledger.get(model, ModelVersion).id
    proposal = rollout.to_deploy(standing(ledger), model_id)
    deployment = Deployment(
        id=happening_id("deployment", time.time_ns() // 1_000_000, os.urandom(10)),
        alias=alias,
        model=model_id,
        policy=ledger.get(policy, ServingPolicy).id,
        index=ledger.get(index, IndexVersion).id,
        verdict=proposal.verdict,
        by=by.name,
    )
    ledger.put(deployment, by=by.name)
    ledger.tell(ALIAS + alias, DEPLOYED, {"deployment": deployment.id, "model": model_id}, by=by.name)
    return deployment


def rollback(ledger: Ledger, alias: str, by: Principal) -> Deployment:
    """Take the live deployment off `alias` and return the one that is live again."""
    require(by, "deploy")
    top, before = rollout.to_roll_back(standing(ledger), alias)
    ledger.tell(ALIAS + alias, ROLLED_BACK, {"from": top.deployment, "to": before.deployment}, by=by.name)
    return ledger.get(before.deployment, Deployment)


def live(ledger: Ledger, alias: str) -> Deployment | None:
    """The deployment that answers under `alias`, if any."""
    running = standing(ledger).live(alias)
    return ledger.get(running.deployment, Deployment) if running else None


def all_live(ledger: Ledger) -> dict[str, Deployment]:
    """What answers under each alias."""
    stacks = standing(ledger).aliases
    return {alias: ledger.get(stack[-1].deployment, Deployment) for alias, stack in sorted(stacks.items()) if stack}


def status(ledger: Ledger, model: str) -> ModelStatus:
    """Where `model` stands."""
    model_id = ledger.get(model, ModelVersion).id
    now = standing(ledger)
    return ModelStatus(model_id, now.state(model_id), now.proposals.get(model_id), now.live_as(model_id))


def standing(ledger: Ledger) -> Rollout:
    """The whole rollout, folded from the ledger's events."""
    verbs = (PROPOSED, APPROVED, DEPLOYED, ROLLED_BACK)
    events: list[Event] = [event for verb in verbs for event in ledger.events(verb=verb)]
    events.sort(key=lambda event: event.seq)
    return rollout.fold(events)
