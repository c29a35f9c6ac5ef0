"""The servers that a ring needs, started when a step first asks for them and stopped when the ring is done.

A workflow's steps keep ids of records and nothing else; what cannot be written down (a process, an open workspace)
stands here, so that a ring that was killed finds a fresh crew when it goes on.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from luthier.errors import RunFailed
from luthier.progress import Progress
from luthier.store import keys
from luthier.workflows import servers
from luthier.workflows.session import Session


class Crew:
    """An open session with its engine and gateway."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self.session = Session.open(path, progress=progress, by="demo-engineer")
        self.stack = ExitStack()
        self.stack.callback(self.session.close)
        self.stack.enter_context(self.session.workspace.lock("the ring"))
        self._engine: servers.Server | None = None
        self._gateway: servers.Server | None = None
        self._key: str | None = None

    @property
    def engine(self) -> str:
        """URL of the engine."""
        if self._engine is None:
            self._engine = self.stack.enter_context(servers.engine(self.session))
        return self._engine.url

    @property
    def gateway(self) -> str:
        """URL of the gateway. Needs an index."""
        if self._gateway is None:
            self._gateway = self.stack.enter_context(servers.gateway(self.session, self.engine))
        return self._gateway.url

    @property
    def key(self) -> str:
        """A key that may chat with and evaluate every model. Revoked when the crew leaves."""
        if self._key is None:
            ledger = self.session.workspace.ledger
            self._key = keys.issue(ledger, "ring", ("engineer",), "public", self.session.by)
            self.stack.callback(keys.revoke, ledger, "ring", self.session.by)
        return self._key

    def leave(self) -> None:
        """Stop the servers and close the workspace."""
        self.stack.close()


class _Current:
    crew: Crew | None = None


def enter(crew: Crew | None) -> None:
    """Make `crew` the one that steps work with."""
    _Current.crew = crew


def current() -> Crew:
    """The crew of the running ring."""
    if _Current.crew is None:
        raise RunFailed("a step of the ring ran outside of a ring", "start it with: luthier demo")
    return _Current.crew
