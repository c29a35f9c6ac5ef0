"""How an extension is found: by its name, among what installed packages offer under `luthier.<kind>`.

Ours come through the same door: they are entry points in our own pyproject.toml. A configuration holds
names and never dotted paths, so that a file sent by a stranger cannot call any function it likes.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from luthier.errors import UnknownName

KINDS = ("source", "scrubber", "detector", "method", "scorer", "grader", "tracker")


@cache
def offered(kind: str) -> dict[str, EntryPoint]:
    """Every extension of `kind` that an installed package offers, by name."""
    return {point.name: point for point in entry_points(group=f"luthier.{kind}")}


@cache
def find(kind: str, name: str) -> Any:
    """The extension of `kind` called `name`. Its module is imported now, and not before.

    Raises UnknownName with the nearest name, or the whole list where none is near.
    """
    points = offered(kind)
    if name not in points:
        near = get_close_matches(name, points, n=1)
        there = ", ".join(sorted(points)) or "none; is luthier installed (pip install -e .)?"
        mend = f"did you mean {near[0]!r}?" if near else f"there are: {there}"
        raise UnknownName(f"no {kind} is called {name!r}", mend)
    return points[name].load()


def version(kind: str, name: str) -> str:
    """`package version` of an extension: written into each record that it helped to make."""
    dist = offered(kind)[name].dist
    return f"{dist.name} {dist.version}" if dist else "unknown"
