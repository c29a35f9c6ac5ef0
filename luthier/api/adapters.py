"""The engine as the desk sees it: an adapter is loaded the first time that somebody asks for it. Knows no policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from luthier.errors import UnknownName
from luthier.lm.client import Client, Reply


class LoadingEngine:
    """A client of the engine that fetches `folder_of(model)` and loads it before the first answer of that adapter."""

    def __init__(self, client: Client, folder_of: Callable[[str], Path]) -> None:
        self.client = client
        self.folder_of = folder_of
        self._lock = Lock()
        self._there: set[str] = set()
        self.look()

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
        """The model's answer. An engine that was restarted meanwhile gets the adapter again."""
        self.ensure(model)
        sampling = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed, "stop": stop, "extra": extra}
        try:
            return self.client.chat(messages, model, **sampling)  # type: ignore[arg-type]
        except UnknownName:
            self.look()
            self.ensure(model)
            return self.client.chat(messages, model, **sampling)  # type: ignore[arg-type]

    def look(self) -> None:
        """Ask the engine what it has: another caller may have loaded it again meanwhile."""
        with self._lock:
            self._there = {str(model["id"]) for model in self.client.models()}

    def ensure(self, model: str) -> None:
        """Load `model` unless the engine has it."""
        if model in self._there:
            return
        with self._lock:
            if model not in self._there:
                self.client.load_adapter(model, str(self.folder_of(model)))
                self._there.add(model)
