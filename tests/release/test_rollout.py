"""The rollout by tables, and as a machine: nothing is live that somebody else than its proposer did not approve."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from luthier.access import Principal
from luthier.errors import BadConfig, Forbidden, LuthierError, NeedsApproval
from luthier.release import rollout
from luthier.release.rollout import Rollout, fold, step


class Event(NamedTuple):
    subject: str
    verb: str
    body: dict[str, Any]
    by: str = "ada"
    at: str = "2026-01-01T00:00:00Z"


def proposed(model: str = "model-a", verdict: str = "verdict-1", by: str = "ada") -> Event:
    return Event(model, "proposed", {"verdict": verdict}, by)


def approved(model: str = "model-a", verdict: str = "verdict-1", by: str = "bob") -> Event:
    return Event(model, "approved", {"verdict": verdict}, by)


def deployed(deployment: str, model: str = "model-a", alias: str = "desk") -> Event:
    return Event(f"alias:{alias}", "deployed", {"deployment": deployment, "model": model})


def rolled_back(deployment: str, alias: str = "desk") -> Event:
    return Event(f"alias:{alias}", "rolled-back", {"from": deployment, "to": "whatever"})


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "new"),
        ([proposed()], "proposed"),
        ([approved()], "new"),
        ([proposed(), approved()], "approved"),
        ([proposed(), approved(by="ada")], "proposed"),
        ([proposed(), approved(verdict="verdict-2")], "proposed"),
        ([proposed(), approved(), proposed(verdict="verdict-2")], "proposed"),
        ([proposed(), approved(), deployed("d1")], "live"),
        ([proposed(), approved(), deployed("d1"), deployed("d2", "model-b")], "retired"),
        ([deployed("d1"), deployed("d2", "model-b"), rolled_back("d2")], "live"),
        ([deployed("d0", "model-b"), deployed("d1"), rolled_back("d1")], "retired"),
        ([deployed("d1"), rolled_back("d1")], "live"),
        ([deployed("d1"), deployed("d2", "model-b", alias="other")], "live"),
        ([Event("model-a", "recorded", {}), Event("review-1", "approved", {}), Event("alias:x", "noted", {})], "new"),
    ],
)
def test_states(events: list[Event], state: str) -> None:
    assert fold(events).state("model-a") == state


def test_two_rollbacks_at_once_take_off_one_deployment() -> None:
    events = [
        deployed("d1"),
        deployed("d2", "model-b"),
        deployed("d3", "model-c"),
        rolled_back("d3"),
        rolled_back("d3"),
    ]
    running = fold(events).live("desk")
    assert running is not None
    assert running.deployment == "d2"


def test_what_may_be_done() -> None:
    approver, engineer = Principal("bob", ("approver",)), Principal("bob", ("engineer",))
    one = fold([proposed()])
    assert rollout.to_approve(one, "model-a", approver).verdict == "verdict-1"
    with pytest.raises(Forbidden, match="may not approve"):
        rollout.to_approve(one, "model-a", engineer)
    with pytest.raises(Forbidden, match="ada proposed this model"):
        rollout.to_approve(one, "model-a", Principal("ada", ("admin",)))
    with pytest.raises(BadConfig, match="nobody has proposed"):
        rollout.to_approve(one, "model-b", approver)
    with pytest.raises(NeedsApproval, match="ada proposed model-a, and nobody has approved it"):
        rollout.to_deploy(one, "model-a")
    with pytest.raises(NeedsApproval, match="nobody has proposed"):
        rollout.to_deploy(one, "model-b")
    with pytest.raises(BadConfig, match="nothing is deployed under 'desk'"):
        rollout.to_roll_back(one, "desk")
    with pytest.raises(BadConfig, match="d1 is the first deployment"):
        rollout.to_roll_back(fold([deployed("d1")]), "desk")


NAMES = st.sampled_from(["ada", "bob", "cy"])
MODELS = st.sampled_from(["model-a", "model-b", "model-c"])
ALIASES = st.sampled_from(["desk", "shop"])


class Machine(RuleBasedStateMachine):
    """Anybody tries anything in any order; a plain account of who did what is kept beside the fold."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Rollout({}, {})
        self.events: list[Event] = []
        self.signed: dict[str, tuple[str, str | None]] = {}
        self.stacks: dict[str, list[str]] = {"desk": [], "shop": []}

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self.now = step(self.now, event)

    @rule(model=MODELS, by=NAMES)
    def propose(self, model: str, by: str) -> None:
        self.tell(proposed(model, f"verdict-{len(self.events)}", by))
        self.signed[model] = (by, None)

    @rule(model=MODELS, by=NAMES)
    def approve(self, model: str, by: str) -> None:
        try:
            proposal = rollout.to_approve(self.now, model, Principal(by, ("approver",)))
        except LuthierError:
            assert model not in self.signed or self.signed[model][0] == by
            return
        self.tell(approved(model, proposal.verdict, by))
        self.signed[model] = (self.signed[model][0], self.signed[model][1] or by)

    @rule(model=MODELS, by=NAMES)
    def forge(self, model: str, by: str) -> None:
        """An approval that slipped past the check, by the proposer or for a verdict of long ago, changes nothing."""
        before = self.now
        proposer = self.signed.get(model, (by, None))[0]
        self.tell(approved(model, "verdict-none", by))
        if model in before.proposals:
            self.tell(approved(model, before.proposals[model].verdict, proposer))
        assert self.now == before

    @rule(model=MODELS, alias=ALIASES)
    def deploy(self, model: str, alias: str) -> None:
        try:
            rollout.to_deploy(self.now, model)
        except NeedsApproval:
            assert self.signed.get(model, ("", None))[1] is None
            return
        proposer, approver = self.signed[model]
        assert approver is not None
        assert approver != proposer
        self.tell(deployed(f"deployment-{len(self.events)}", model, alias))
        self.stacks[alias].append(model)

    @precondition(lambda self: any(self.stacks.values()))
    @rule(alias=ALIASES)
    def roll_back(self, alias: str) -> None:
        try:
            top, before = rollout.to_roll_back(self.now, alias)
        except BadConfig:
            assert len(self.stacks[alias]) < 2
            return
        self.tell(rolled_back(top.deployment, alias))
        self.stacks[alias].pop()
        assert self.now.live(alias) == before

    @invariant()
    def the_account_and_the_fold_agree(self) -> None:
        assert self.now == fold(self.events)
        for alias, stack in self.stacks.items():
            running = self.now.live(alias)
            assert (running.model if running else None) == (stack[-1] if stack else None)
        for model in ("model-a", "model-b", "model-c"):
            live = [alias for alias, stack in self.stacks.items() if stack and stack[-1] == model]
            assert self.now.live_as(model) == tuple(live)
            assert (self.now.state(model) == "live") == bool(live)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
