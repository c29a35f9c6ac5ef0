"""A scrubber that needs no pulled model (its language model is a list of three names), and one that does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luthier import plugins
from luthier.data import prepared
from luthier.data.scrub import PresidioScrubber, absent
from luthier.errors import Missing
from luthier.store.blobs import Blobs


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory) -> Path:
    """A spaCy pipeline without weights: it labels three names as persons and one as a company."""
    with absent("torch", "transformers", "tensorflow"):
        import spacy

    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns(
        [{"label": "PERSON", "pattern": name} for name in ("Quillon Marsh", "Zephyrine", "Everyday")]
        + [{"label": "ORG", "pattern": "Fennick Mills"}]
    )
    folder = tmp_path_factory.mktemp("spacy") / "names"
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="session")
def scrubber(pipeline) -> PresidioScrubber:
    return PresidioScrubber(pipeline)


@pytest.fixture(scope="session")
def pulled() -> PresidioScrubber:
    """The scrubber as users have it. Skips where the model was not pulled."""
    try:
        return PresidioScrubber()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def weightless(monkeypatch, pipeline, scrubber) -> None:
    """Builds use the scrubber without weights."""
    real = plugins.find

    def made(*, allow: tuple[str, ...] = ()) -> PresidioScrubber:
        return PresidioScrubber(pipeline, allow=allow) if allow else scrubber

    made.made_with = PresidioScrubber.made_with  # type: ignore[attr-defined]

    def find(kind: str, name: str) -> Any:
        return made if (kind, name) == ("scrubber", "presidio") else real(kind, name)

    monkeypatch.setattr(plugins, "find", find)
    prepared.scrubber.cache_clear()
    yield
    prepared.scrubber.cache_clear()


@pytest.fixture
def blobs(tmp_path) -> Blobs:
    return Blobs.open(tmp_path / "blobs")
