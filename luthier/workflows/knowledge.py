"""Documents → index version, with vectors from the engine's embedding route; and search over it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from luthier.knowledge import index
from luthier.knowledge.search import Searcher
from luthier.lm.client import Client
from luthier.records.knowledge import IndexVersion, Passage
from luthier.workflows.session import Session

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
BATCH = 64


def embedder(session: Session, engine_url: str) -> Embed:
    """Texts → unit vectors, by the engine."""
    client, model = Client(engine_url), session.project.knowledge.embedder

    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        parts = [client.embed(list(texts[at : at + BATCH]), model) for at in range(0, len(texts), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    return embed


def build(session: Session, engine_url: str) -> IndexVersion:
    """Index the project's documents; what has not changed is not embedded again."""
    workspace = session.workspace
    versions = [v for v in workspace.ledger.ls("index") if isinstance(v, IndexVersion)]
    previous = next((v for v in versions if v.name == session.project.knowledge.name), None)
    embed = embedder(session, engine_url)
    version = index.build(session.project.knowledge, session.root, workspace, embed, session.progress, previous)
    workspace.ledger.put(version, session.by)
    return version


def searcher(session: Session, version: IndexVersion, engine_url: str) -> Callable[[str, int, str], list[Passage]]:
    """(question, how many, language) → passages that a public caller may see."""
    found = Searcher(session.workspace, version, embedder(session, engine_url))
    how = session.project.knowledge.search

    def search(question: str, count: int, language: str) -> list[Passage]:
        return found.search(question, count, "public", language or None, how)

    return search
