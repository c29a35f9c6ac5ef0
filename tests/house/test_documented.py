"""What a person can set, call or extend is written down, and what is written down is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from luthier import plugins
from luthier.cli.main import COMMANDS
from luthier.records.training import Recipe
from tests.house.tree import ROOT, files, modules, name, parsed
from tools.reference import FILES, models_in, reference

PAGES = [
    path for path in files() if path.suffix == ".md" and path.relative_to(ROOT).parts[0] not in {"luthier", "tests"}
]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")


def page(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def settable(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[tuple[type[BaseModel], str]]:
    """Every field that a file or a recipe may set."""
    if model not in seen:
        seen.add(model)
        for field, info in model.model_fields.items():
            yield model, field
            for inner, _ in models_in(info.annotation):
                yield from settable(inner, seen)


def test_the_reference_says_what_the_code_says() -> None:
    assert page("docs/reference.md") == reference(), "run: make docs"


def test_every_setting_has_a_description() -> None:
    seen: set[type[BaseModel]] = set()
    models = [*(model for _, _, model in FILES), Recipe]
    silent = [
        f"{model.__name__}.{field}"
        for start in models
        for model, field in settable(start, seen)
        if not model.model_fields[field].description
    ]
    assert silent == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_reference(command: str) -> None:
    assert f"### `luthier {command}" in page("docs/reference.md")


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_kind_of_extension_is_in_the_reference(kind: str) -> None:
    assert f"`luthier.{kind}`" in page("docs/reference.md")


@pytest.mark.parametrize("kind", ["source", "scrubber", "method", "scorer"])
def test_contributing_shows_how_to_add_each_kind(kind: str) -> None:
    text = page("CONTRIBUTING.md")
    assert f'[project.entry-points."luthier.{kind}"]' in text
    assert f"check_{kind}" in text


def test_contributing_has_at_most_two_pages() -> None:
    assert len(page("CONTRIBUTING.md").splitlines()) <= 130


def test_every_room_is_on_the_architecture_page() -> None:
    text = page("docs/architecture.md")
    rooms = {path.parent.name for path in modules("luthier") if path.name == "__init__.py"} - {
        "luthier",
        "recognisers",
        "detectors",
        "formats",
        "synthetic",
    }
    assert {room for room in rooms if f"`{room}/`" not in text} == set()


def test_every_event_verb_is_on_the_architecture_page() -> None:
    """State is folded from events: whoever reads the log needs the words."""
    told = {
        call.args[1].value
        for path in modules("luthier")
        for call in ast.walk(parsed(path))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "tell"
        and ast.unparse(call.func.value).endswith("ledger")
        and len(call.args) > 1
        and isinstance(call.args[1], ast.Constant)
        and isinstance(call.args[1].value, str)
    }
    assert told
    assert {verb for verb in told if f"`{verb}`" not in page("docs/architecture.md")} == set()


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = [target for target, _ in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_benchmark_and_make_target_that_a_page_names_is_there() -> None:
    makefile = page("Makefile")
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"`make ([a-z]+)[`\s]", text):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{name(path)} names make {target}"
        for module in re.findall(r"python -m ((?:benchmarks|examples|tools)\.[a-z_]+)", text):
            file = ROOT / module.replace(".", "/")
            assert file.with_suffix(".py").is_file() or (file / "__main__.py").is_file(), f"{name(path)} names {module}"
