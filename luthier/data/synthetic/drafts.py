"""What the parts of this package hand to one another: sources, requests, what came of them. Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from luthier.data.synthetic.templates import Messages
from luthier.records.knowledge import Passage
from luthier.records.serving import ServingPolicy


class Ask(Protocol):
    """Asks a model and returns its words. Raises a LuthierError where none come."""

    def __call__(self, messages: Messages, *, seed: int, temperature: float, max_tokens: int) -> str: ...


class Example(NamedTuple):
    """A question of an existing row and its answer."""

    row: str
    question: str
    answer: str
    language: str
    dialogue: str
    """What decides on the split: rows made of this one have to follow it."""
    documents: str | None = None
    """The documents that answer it, as the row names them; None where it does not say."""
    licence: str = ""
    until: str = ""
    """ISO date on which the basis of its use ends."""


class Material(NamedTuple):
    """What rows are made from."""

    passages: Sequence[Passage] = ()
    examples: Sequence[Example] = ()
    policy: ServingPolicy | None = None
    decides: Callable[[str], str] = lambda _: ""
    """The id of the policy's rule that a message would fall under, "" for none."""
    alike: Callable[[str, str], float] | None = None
    """Cosine of two texts in meaning, where there is a model for it."""
    licence: str = ""
    """Licence of the documents, where it is known."""


class Draft(NamedTuple):
    """A row that may join, if it is like no other and gives nothing away."""

    question: str
    answer: str
    language: str
    metadata: Mapping[str, str]
    rejected: str = ""
    licence: str = ""
    until: str = ""


class Refusal(NamedTuple):
    """A candidate that may not join: the reason, which is counted, and what is special about this one."""

    reason: str
    detail: str = ""
    question: str = ""
    answer: str = ""


class Work(NamedTuple):
    """One candidate: what to ask, and who judges the answers."""

    unit: str
    """What it is about; the same in every run."""
    messages: Callable[[], Messages]
    """What to ask, made when it is asked: there may be very many candidates."""
    judge: Callable[[Sequence[str]], Draft | Refusal]
    samples: int = 1
    """How many answers are wanted."""


class Maker(Protocol):
    """A kind of synthetic row: every candidate that `material` offers, each once."""

    def __call__(self, material: Material) -> Sequence[Work]: ...
