"""What the gateway may say, what is deployed, and the trace of each answer."""

from __future__ import annotations

from typing import ClassVar, Literal

from luthier.records.base import Happening, Made, Parent, Value
from luthier.records.data import Message
from luthier.records.knowledge import Citation, Passage

Action = Literal["refuse", "escalate", "redact"]
Ending = Literal["answered", "abstained", "refused", "escalated"]


class Rule(Value):
    """One rule of a policy: when it fires, its action is taken; the first that fires decides."""

    id: str
    """Decisions and traces name the rule by it."""
    side: Literal["input", "output"]
    """Whether it looks at what is asked or at what is answered."""
    action: Action
    """Refuse to answer, hand over to a person, or take the personal data out and go on."""
    why: str = ""
    """The reason, for whoever reads a decision later."""
    patterns: tuple[str, ...] = ()
    """Regular expressions, upper and lower case alike."""
    like: tuple[str, ...] = ()
    """Sentences that the text may be near in meaning to."""
    unlike: tuple[str, ...] = ()
    """Harmless sentences that look alike; the text must be nearer to one of `like`."""
    threshold: float = 0.62
    """Least probability, by the examples, that a text is what the rule is about."""
    entities: tuple[str, ...] = ()
    """Types of personal data that make the rule fire."""


class ServingPolicy(Made):
    """What the assistant refuses, hands to a person or takes out of an answer, and the words for it by language."""

    kind: ClassVar[str] = "policy"
    name: str
    """What the policy is called."""
    languages: tuple[str, ...] = ("en",)
    """Languages that the messages are written in; the first is for everybody else."""
    citations: Literal["required", "optional"] = "required"
    """Where required, an answer without a verified citation is not sent: the caller gets the `abstain` message."""
    rules: tuple[Rule, ...] = ()
    """Asked in this order."""
    messages: dict[Literal["refuse", "escalate", "abstain"], dict[str, str]] = {}
    """What the caller reads instead of an answer, by language."""


class Decision(Value):
    """What a rule decided on a text, and why: what the compliance officer reads."""

    rule: str
    action: Action
    side: Literal["input", "output"]
    why: str
    evidence: str = ""
    """`pattern`, `meaning 0.71` or the entity type; never the personal data itself."""


class Deployment(Happening):
    """A model put to work under an alias with a policy and an index."""

    kind: ClassVar[str] = "deployment"
    alias: str
    model: str
    policy: str
    index: str
    verdict: str | None = None
    by: str = ""

    def parents(self) -> tuple[Parent, ...]:
        own = (Parent("model", self.model), Parent("policy", self.policy), Parent("index", self.index))
        return own + ((Parent("verdict", self.verdict),) if self.verdict else ())


class Trace(Happening):
    """One answered request, its texts scrubbed. Kept apart from the ledger: it has a retention and can be erased."""

    kind: ClassVar[str] = "chatcmpl"
    at: str
    """When it was asked, ISO 8601, UTC."""
    alias: str
    model: str
    deployment: str | None = None
    policy: str | None = None
    index: str | None = None
    caller: str = ""
    messages: tuple[Message, ...] = ()
    answer: str = ""
    draft: str = ""
    """What the model wrote, where something else was sent."""
    ending: Ending = "answered"
    passages: tuple[Passage, ...] = ()
    citations: tuple[Citation, ...] = ()
    decisions: tuple[Decision, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    milliseconds: dict[str, float] = {}
    """Time spent in each stage."""
    subjects: tuple[str, ...] = ()
    """Keyed hashes of whatever personal data was replaced in its texts: by them the person's traces are found."""
