"""Our own extensions come through the door that everybody's do."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from luthier import plugins
from tests.house.tree import pyproject

PREFIX = "luthier."
DECLARED = [
    (group.removeprefix(PREFIX), name, target)
    for group, points in pyproject()["project"]["entry-points"].items()
    for name, target in points.items()
]


def test_every_group_is_a_known_kind() -> None:
    assert {kind for kind, _, _ in DECLARED} <= set(plugins.KINDS)


@pytest.mark.parametrize(("kind", "name", "target"), DECLARED, ids=lambda value: value)
def test_every_entry_point_loads(kind: str, name: str, target: str) -> None:
    module, _, attribute = target.partition(":")
    found = plugins.find(kind, name)
    assert callable(found) or isinstance(found, tuple)
    assert getattr(__import__(module, fromlist=[attribute]), attribute) is found
    assert plugins.version(kind, name).startswith("luthier ")


def test_the_installed_package_offers_what_pyproject_declares() -> None:
    installed = {
        (kind, point.name, point.value)
        for kind in plugins.KINDS
        for point in entry_points(group=f"{PREFIX}{kind}")
        if point.dist and point.dist.name == "luthier"
    }
    assert installed == set(DECLARED), "run: pip install --no-deps -e ."
