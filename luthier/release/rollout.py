"""Where a model stands, folded from events: proposed → approved → live → retired. Pure: no clock, disk or network.

Events about a model bear its id as their subject, those about an alias `alias:NAME`. An alias is a stack of
deployments: deploying lays one on top, rolling back takes it off again, and the top one is live.

An approval belongs to one proposal with its verdict. A proposal with another verdict needs another approval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal, NamedTuple, Protocol

from luthier.access import Principal, may_approve
from luthier.errors import BadConfig, NeedsApproval
from luthier.records.base import short

State = Literal["new", "proposed", "approved", "live", "retired"]
PROPOSED, APPROVED, DEPLOYED, ROLLED_BACK = "proposed", "approved", "deployed", "rolled-back"
MODEL, ALIAS = "model-", "alias:"


class Told(Protocol):
    """What the rollout reads of an event."""

    @property
    def subject(self) -> str: ...
    @property
    def verb(self) -> str: ...
    @property
    def body(self) -> Mapping[str, Any]: ...
    @property
    def by(self) -> str: ...
    @property
    def at(self) -> str: ...


class Signed(NamedTuple):
    """Who did it and when (ISO 8601, UTC)."""

    by: str
    at: str


class Proposal(NamedTuple):
    """A verdict that somebody proposed a model on, and who approved it, if anybody."""

    verdict: str
    proposed: Signed
    approved: Signed | None = None


class Running(NamedTuple):
    """A deployment and the model that it puts to work."""

    deployment: str
    model: str


@dataclass(frozen=True)
class Rollout:
    """The latest proposal of each model, the stack of each alias (the last is live), and what was ever live."""

    proposals: Mapping[str, Proposal]
    aliases: Mapping[str, tuple[Running, ...]]
    served: frozenset[str] = frozenset()

    def state(self, model: str) -> State:
        """Where `model` stands."""
        if self.live_as(model):
            return "live"
        if model in self.served:
            return "retired"
        proposal = self.proposals.get(model)
        if proposal is None:
            return "new"
        return "approved" if proposal.approved else "proposed"

    def live_as(self, model: str) -> tuple[str, ...]:
        """The aliases that `model` answers under now."""
        return tuple(sorted(alias for alias, stack in self.aliases.items() if stack and stack[-1].model == model))

    def live(self, alias: str) -> Running | None:
        """What answers under `alias` now."""
        stack = self.aliases.get(alias, ())
        return stack[-1] if stack else None


def fold(events: Iterable[Told]) -> Rollout:
    """The state that `events`, in their order, have led to. Events of other verbs change nothing."""
    return reduce(step, events, Rollout({}, {}))


def step(rollout: Rollout, event: Told) -> Rollout:
    """The state after one more event."""
    if event.subject.startswith(ALIAS):
        stack = stack_after(rollout.aliases.get(event.subject.removeprefix(ALIAS), ()), event)
        served = rollout.served | {running.model for running in stack}
        return replace(rollout, aliases={**rollout.aliases, event.subject.removeprefix(ALIAS): stack}, served=served)
    if event.subject.startswith(MODEL):
        proposal = proposal_after(rollout.proposals.get(event.subject), event)
        if proposal is not None:
            return replace(rollout, proposals={**rollout.proposals, event.subject: proposal})
    return rollout


def stack_after(stack: tuple[Running, ...], event: Told) -> tuple[Running, ...]:
    """An alias's stack after an event about it."""
    if event.verb == DEPLOYED:
        return (*stack, Running(str(event.body["deployment"]), str(event.body["model"])))
    # Two people may roll back at once: the second one finds its deployment gone, and takes off no other.
    if event.verb == ROLLED_BACK and len(stack) > 1 and stack[-1].deployment == event.body["from"]:
        return stack[:-1]
    return stack


def proposal_after(proposal: Proposal | None, event: Told) -> Proposal | None:
    """A model's proposal after an event about it. An approval counts for the verdict that it names, by another hand."""
    if event.verb == PROPOSED:
        return Proposal(str(event.body["verdict"]), Signed(event.by, event.at))
    if event.verb != APPROVED or proposal is None or proposal.approved is not None:
        return proposal
    if proposal.verdict != event.body["verdict"] or proposal.proposed.by == event.by:
        return proposal
    return proposal._replace(approved=Signed(event.by, event.at))


def to_approve(rollout: Rollout, model: str, by: Principal) -> Proposal:
    """The proposal that `by` may approve. Raises BadConfig where there is none, Forbidden where it is their own."""
    proposal = rollout.proposals.get(model)
    if proposal is None:
        raise BadConfig(f"nobody has proposed {short(model)}", "propose it with a verdict that passed")
    may_approve(by, proposal.proposed.by)
    return proposal


def to_deploy(rollout: Rollout, model: str) -> Proposal:
    """The approved proposal that lets `model` go live. Raises NeedsApproval where there is none."""
    proposal = rollout.proposals.get(model)
    if proposal is None:
        raise NeedsApproval(f"nobody has proposed {short(model)}", "propose it, and have somebody else approve it")
    if proposal.approved is None:
        raise NeedsApproval(
            f"{proposal.proposed.by} proposed {short(model)}, and nobody has approved it",
            "ask somebody else with the role approver",
        )
    return proposal


def to_roll_back(rollout: Rollout, alias: str) -> tuple[Running, Running]:
    """What is live under `alias` and what was before. Raises BadConfig where there is nothing to go back to."""
    stack = rollout.aliases.get(alias, ())
    if len(stack) < 2:
        there = "nothing is deployed" if not stack else f"{short(stack[-1].deployment)} is the first deployment"
        raise BadConfig(f"{there} under {alias!r}, so there is none to go back to", "deploy another model instead")
    return stack[-1], stack[-2]
