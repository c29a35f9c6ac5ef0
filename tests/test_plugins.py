"""Extensions are found by name, among installed packages, and imported no sooner than asked for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from luthier import plugins
from luthier.errors import UnknownName


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    plugins.offered.cache_clear()
    plugins.find.cache_clear()


def test_ours_come_through_the_same_door() -> None:
    from luthier.evaluation.scorers import exact

    assert plugins.find("scorer", "exact") is exact
    assert plugins.version("scorer", "exact").startswith("luthier ")


def test_a_near_name_is_offered() -> None:
    with pytest.raises(UnknownName) as caught:
        plugins.find("scorer", "fact")
    assert caught.value.what == "no scorer is called 'fact'"
    assert caught.value.mend == "did you mean 'facts'?"


def test_without_a_near_name_all_are_listed() -> None:
    with pytest.raises(UnknownName, match=r"there are: .*exact.*facts"):
        plugins.find("scorer", "zzzzzz")


def test_an_empty_kind_says_what_to_do() -> None:
    with pytest.raises(UnknownName, match="is luthier installed"):
        plugins.find("guard", "strict")


def test_only_what_is_asked_for_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("good", "json:dumps", "luthier.scorer"),
        EntryPoint("broken", "no_such_module_anywhere:f", "luthier.scorer"),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == "luthier.scorer" else [])
    plugins.offered.cache_clear()
    plugins.find.cache_clear()
    import json

    assert plugins.find("scorer", "good") is json.dumps
    assert plugins.version("scorer", "good") == "unknown"  # offered by no package
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        plugins.find("scorer", "broken")


@pytest.mark.parametrize("path", ["os:system", "luthier.evaluation.scorers:exact", "../evil"])
def test_a_dotted_path_is_no_name(path: str) -> None:
    with pytest.raises(UnknownName):
        plugins.find("scorer", path)
