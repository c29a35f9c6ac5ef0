"""Files, functions and classes stay small enough to be read in one go. What is waived is waived here, in the open."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from luthier.records.project import TrainingPart
from luthier.records.training import Recipe
from tests.house.tree import CODE, PACKAGE, Function, functions, modules, name, parsed

FILE, FUNCTION, CLASS, PARAMETERS, FIELDS = 400, 60, 200, 7, 25
AIM = 150
"""Median lines of a file of the package."""
WAIVED: dict[str, str] = {}
"""`path` or `path:function`, and why the code would be worse inside the budget."""


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def over() -> dict[str, str]:
    """Everything over its budget, by the name under which it would be waived."""
    found: dict[str, str] = {}
    for path in modules(*CODE):
        if (count := lines(path)) > FILE:
            found[name(path)] = f"{count} lines, at most {FILE}"
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef) and (length := span(node)) > CLASS:
                found[f"{name(path)}:{node.name}"] = f"{length} lines, at most {CLASS}"
        for function in functions(path):
            where = f"{name(path)}:{function.name}"
            if (length := span(function)) > FUNCTION:
                found[where] = f"{length} lines, at most {FUNCTION}"
            if (count := parameters(function)) > PARAMETERS and "tests" not in path.parts:
                found[where] = f"{count} parameters, at most {PARAMETERS}"
    return found


def span(node: ast.ClassDef | Function) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def parameters(function: Function) -> int:
    """How many parameters a caller has to think of; commands of click are called by nobody but click."""
    if any("click" in ast.unparse(each) or "option" in ast.unparse(each) for each in function.decorator_list):
        return 0
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([each for each in names if each not in {"self", "cls"}])


def test_everything_is_within_its_budget() -> None:
    assert {where: why for where, why in over().items() if where not in WAIVED} == {}


def test_no_waiver_outlives_its_reason() -> None:
    assert set(WAIVED) <= set(over())
    assert all(WAIVED.values())


def test_the_median_file_is_short() -> None:
    counts = sorted(count for path in modules("luthier") if (count := lines(path)))
    assert counts[len(counts) // 2] <= AIM


def test_package_faces_are_empty() -> None:
    """Nobody gathers their children: importing one module costs that module."""
    faces = [path for path in modules("luthier") if path.name == "__init__.py"]
    assert [name(path) for path in faces if path != PACKAGE / "__init__.py" and path.stat().st_size] == []
    docstring, version = parsed(PACKAGE / "__init__.py").body
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(version).startswith("__version__ = ")


@pytest.mark.parametrize("part", [Recipe, TrainingPart])
def test_a_recipe_has_few_settings(part: type[Recipe]) -> None:
    assert len(part.model_fields) <= FIELDS


def imported(path: Path, allowed: bool) -> set[str]:
    """What a module takes from records and errors (`allowed`), or from anywhere else in the house."""
    froms = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.ImportFrom) and node.module]
    ours = [node for node in froms if (node.module or "").startswith("luthier.")]
    chosen = [n for n in ours if (n.module or "").startswith(("luthier.records", "luthier.errors")) is allowed]
    return {alias.asname or alias.name for node in chosen for alias in node.names}


def test_nobody_inherits_but_records_errors_and_protocols() -> None:
    """A base class of our own that is no record and no error couples two files by everything they do."""
    found: dict[str, list[str]] = {}
    for path in modules("luthier"):
        if name(path).startswith(("luthier/records/", "luthier/errors.py")):
            continue
        fine, suspect = imported(path, True), imported(path, False)
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).split("[")[0] for base in node.bases}
                (fine if bases & fine else suspect).add(node.name)
                if shared := bases & suspect - {node.name}:
                    found[f"{name(path)}:{node.name}"] = sorted(shared)
    assert found == {}


def test_every_module_says_what_it_is() -> None:
    silent = [
        name(path)
        for path in modules("luthier", "tools", "benchmarks", "examples")
        if path.stat().st_size and not ast.get_docstring(parsed(path))
    ]
    assert silent == []
