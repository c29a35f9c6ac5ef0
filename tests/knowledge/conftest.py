"""A small bank in three languages with documents for staff, and an embedder that needs no model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from luthier.knowledge.index import build
from luthier.knowledge.search import Searcher
from luthier.records.knowledge import IndexVersion
from luthier.records.project import KnowledgePart
from luthier.store.workspace import Workspace

DOCUMENTS = {
    "cards.md": "---\ntitle: Cards\n---\n# Cards\n\n## Gold\n\nThe Heron Gold card costs 60 EUR per year.\n\n"
    "## Classic\n\nThe Heron Classic card costs 24 EUR per year.\n",
    "cards-de.md": "---\ntitle: Karten\nlocale: de\n---\n## Gold\n\nDie Heron Gold kostet 60 EUR im Jahr.\n\n"
    "## Gebühren\n\nGebühren für Überweisungen gibt es nicht.\n",
    "cards-es.md": "---\ntitle: Tarjetas\nlocale: es\n---\n## Gold\n\nLa Heron Gold cuesta 60 EUR al año.\n",
    "branches.md": "# Branches\n\nThe branch at Market Square opens at 09:00 and closes at 17:00.\n",
    "goodwill-internal.md": "---\ntitle: Goodwill\naudience: staff\n---\nStaff may refund a Heron Gold card fee of "
    "60 EUR as goodwill. The secret word is Zanzibar.\n",
    "fraud-internal.md": "---\naudience: staff\nlocale: de\n---\n# Betrug\n\nDas Limit für Gold-Karten ist 4711 EUR.\n",
}


class WordVectors:
    """A vector from the hashes of a text's words: equal words, near vectors. Counts the texts that it was given."""

    def __init__(self, width: int = 64, salt: str = "") -> None:
        self.width, self.salt = width, salt
        self.texts: list[str] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.texts += texts
        vectors = np.full((len(texts), self.width), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.casefold()):
                place = int.from_bytes(hashlib.sha256((self.salt + word[:5]).encode()).digest()[:4], "big")
                vectors[row, place % self.width] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace", create=True) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The documents of the bank."""
    (tmp_path / "documents").mkdir()
    for name, text in DOCUMENTS.items():
        (tmp_path / "documents" / name).write_text(text, encoding="utf-8")
    return tmp_path / "documents"


@pytest.fixture
def embed() -> WordVectors:
    return WordVectors()


@pytest.fixture
def part() -> KnowledgePart:
    return KnowledgePart(documents="documents")


@pytest.fixture
def index(part: KnowledgePart, folder: Path, workspace: Workspace, embed: WordVectors) -> IndexVersion:
    return build(part, folder.parent, workspace, embed)


@pytest.fixture
def searcher(workspace: Workspace, index: IndexVersion, embed: WordVectors) -> Searcher:
    return Searcher(workspace, index, embed)
