"""What the gateway works with: the engine, the search, the policies, the scrubber, the traces. Wires, and no rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

from luthier.access import Principal, require
from luthier.errors import UnknownName
from luthier.gateway.exchange import Route, Search
from luthier.gateway.nearness import Learnt, learn
from luthier.gateway.policy import Side
from luthier.gateway.remembering import Embed, Remembering
from luthier.lm.client import Reply
from luthier.records.data import Found, Scrubbed
from luthier.records.serving import Trace


class Engine(Protocol):
    """A `lm.client.Client`, or anything that answers like one."""

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        model: str,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        stop: Sequence[str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Reply:
        """The model's answer, or Unavailable."""


class Scrubber(Protocol):
    """What finds personal data and takes it out: `data.scrub.PresidioScrubber` is one."""

    def find(self, text: str, language: str = "") -> list[Found]:
        """The personal data in one text."""

    def dialogue(self, texts: Sequence[str], language: str = "") -> list[Scrubbed]:
        """The texts of one dialogue, scrubbed together."""


@dataclass
class Desk:
    """One gateway. `routes` may be replaced while it serves: requests under way keep the route they began with."""

    engine: Engine
    search: Search
    embed: Embed
    recognise: Callable[[str], Principal | None]
    """The holder of a key; None for a key that is not known."""
    scrubber: Scrubber
    keep: Callable[[Trace], object]
    """Writes a trace; no answer leaves before it returned."""
    routes: Mapping[str, Route]
    instructions: str
    keyed: Callable[[str], str] | None = None
    """The keyed hash of a value that was replaced in a trace, so that whoever asks to be forgotten is found there."""
    max_tokens: int = 96
    """Of an answer, where the request does not say."""
    most_tokens: int = 1024
    passages: int = 3
    seconds: float = 60.0
    """In which an answer has to be there."""
    waiting: float = 5.0
    """Seconds between two signs of life in a stream; also how long its first answer decides the HTTP status."""
    at_once: int = 8
    """Requests of one key under way at the same time."""
    threads: int = 32
    """Requests of all keys worked on at the same time; more wait, and their deadline runs."""
    ordinary: Sequence[str] = ()
    """Harmless texts of the house (headings of public documents, customers' questions): what is usual here."""
    _learnt: dict[tuple[str, Side], Learnt | None] = field(default_factory=dict, repr=False)
    _learning: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.embed, Remembering):
            self.embed = Remembering(self.embed)

    def route(self, name: str, caller: Principal) -> Route:
        """The route called `name`. Raises UnknownName, and Forbidden where the caller may not use it."""
        route = self.routes.get(name)
        if route is None:
            there = ", ".join(sorted(self.open_to(caller))) or "none"
            raise UnknownName(f"no model is called {name!r}", f"there are: {there}")
        require(caller, route.right)
        return route

    def open_to(self, caller: Principal) -> dict[str, Route]:
        """The routes that `caller` may use, by name."""
        return {name: route for name, route in self.routes.items() if route.right in caller.rights}

    def learnt(self, route: Route, side: Side) -> Learnt | None:
        """What the examples of the route's policy taught. The first call for a policy takes seconds."""
        key = (route.policy_id, side)
        with self._learning:
            if key not in self._learnt:
                self._learnt[key] = learn(route.policy, side, self.embed, self.ordinary)
            return self._learnt[key]

    def warm(self) -> None:
        """Learn every policy now rather than at somebody's first question."""
        for route in self.routes.values():
            self.learnt(route, "input")
            self.learnt(route, "output")
