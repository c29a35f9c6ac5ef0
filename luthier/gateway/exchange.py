"""One question on its way to an answer: the value that the stages hand on. No clock, no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from luthier.access import Audience, Principal, Right
from luthier.gateway.policy import fixed_text
from luthier.gateway.requests import Asked
from luthier.records.data import Message
from luthier.records.knowledge import Citation, Passage
from luthier.records.serving import Action, Decision, Ending, ServingPolicy

Search = Callable[[str, Audience, str, int], list[Passage]]
"""(question, audience of the asker, language to prefer, how many) → passages, the best first."""

ENDINGS: dict[Action, Ending] = {"refuse": "refused", "escalate": "escalated"}


@dataclass(frozen=True)
class Route:
    """What answers when a model name is asked for."""

    engine_model: str
    """Its name at the engine."""
    model_id: str
    policy: ServingPolicy
    index_id: str | None = None
    deployment: str | None = None
    search: Search | None = None
    """Where this route has another index than the desk."""
    right: Right = "chat"
    """What a caller has to hold: a candidate that is not live yet is for `evaluate` alone."""
    instructions: str | None = None
    """Where this route has other instructions than the desk."""

    @cached_property
    def policy_id(self) -> str:
        """The policy's id, hashed once and not on every request."""
        return self.policy.id


@dataclass(frozen=True)
class Exchange:
    """What is known so far. A stage returns a changed copy; once there is an ending, no further stage runs."""

    id: str
    at: str
    """ISO 8601, UTC."""
    until: float
    """When it has to be done, on the monotonic clock, in seconds."""
    caller: Principal
    route: Route
    asked: Asked
    question: str
    """As the model sees it: what a rule redacts is taken out."""
    history: tuple[Message, ...] = ()
    """The user's turn before the question and its answer."""
    language: str = "en"
    passages: tuple[Passage, ...] = ()
    draft: str = ""
    """What the model wrote."""
    answer: str = ""
    """What is sent."""
    finish: str = "stop"
    citations: tuple[Citation, ...] = ()
    decisions: tuple[Decision, ...] = ()
    ending: Ending | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    milliseconds: dict[str, float] = field(default_factory=dict)

    def but(self, **changes: Any) -> Exchange:
        """A copy with `changes`."""
        return replace(self, **changes)

    def decided(self, decision: Decision) -> Exchange:
        """A copy that ends as `decision` says, with the policy's words for it."""
        action = decision.action
        if action == "redact":
            return self.but(decisions=(*self.decisions, decision))
        text = fixed_text(self.route.policy, action, self.language)
        return self.but(decisions=(*self.decisions, decision), answer=text, citations=(), ending=ENDINGS[action])

    def abstained(self) -> Exchange:
        """A copy that says the answer was not found."""
        text = fixed_text(self.route.policy, "abstain", self.language)
        return self.but(answer=text, citations=(), ending="abstained")
