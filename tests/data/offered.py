"""The detectors as an installed package offers them, also where this one was installed before it had any."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from luthier import plugins

WHERE = {
    "short": "length:short",
    "long": "length:long",
    **{
        name: f"{name}:{name}"
        for name in ("truncated", "templated", "repetition", "refusal", "language", "encoding", "markup", "toxicity")
    },
}


def offer(patch: pytest.MonkeyPatch, **more: str) -> None:
    """Offer the detectors, and `more` of them by module and name."""
    real = plugins.offered
    points = {name: f"luthier.data.detectors.{place}" for name, place in WHERE.items()} | more
    ours = {name: EntryPoint(name, place, "luthier.detector") for name, place in points.items()}
    patch.setattr(plugins, "offered", lambda kind: ours if kind == "detector" else real(kind))
    plugins.find.cache_clear()
