"""Which model names are served: live aliases for callers; the base and every candidate for who may evaluate.

Folded from the ledger at most once a second, so a deployment or a rollback is served without a restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from threading import Lock

from luthier.gateway.exchange import Route, Search
from luthier.records.knowledge import IndexVersion
from luthier.records.serving import Deployment, ServingPolicy
from luthier.records.training import ModelVersion
from luthier.release import registry
from luthier.store.ledger import Ledger

FRESH = 1.0
"""Seconds for which what was folded counts."""


class Served(Mapping[str, Route]):
    """Model name → route, as the ledger has it now."""

    def __init__(
        self, ledger: Ledger, policy: ServingPolicy, index: IndexVersion, search_in: Callable[[IndexVersion], Search]
    ) -> None:
        self.ledger = ledger
        self.policy = policy
        self.index = index
        self.search_in = lru_cache(maxsize=8)(lambda index_id: search_in(ledger.get(index_id, IndexVersion)))
        self._lock = Lock()
        self._at = float("-inf")
        self._routes: dict[str, Route] = {}

    def __getitem__(self, name: str) -> Route:
        return self._current()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    def _current(self) -> dict[str, Route]:
        with self._lock:
            if time.monotonic() - self._at > FRESH:
                self._routes = self._folded()
                self._at = time.monotonic()
            return self._routes

    def _folded(self) -> dict[str, Route]:
        models = [model for model in self.ledger.ls("model", limit=10_000) if isinstance(model, ModelVersion)]
        routes = {}
        for model in models:
            route = Route(
                engine_model(model),
                model.id,
                self.policy,
                self.index.id,
                search=self.search_in(self.index.id),
                right="evaluate",
            )
            routes[model.id] = route
            if not model.files:
                routes[model.base] = route
        return routes | {alias: self._live(found) for alias, found in registry.all_live(self.ledger).items()}

    def _live(self, deployment: Deployment) -> Route:
        model = self.ledger.get(deployment.model, ModelVersion)
        policy = self.ledger.get(deployment.policy, ServingPolicy)
        search = self.search_in(deployment.index)
        return Route(engine_model(model), model.id, policy, deployment.index, deployment.id, search)


def engine_model(model: ModelVersion) -> str:
    """What the engine calls it: adapters go by their id, the base by its name."""
    return model.id if model.files else model.base
