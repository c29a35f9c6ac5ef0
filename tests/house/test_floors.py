"""The one law: imports go down, and stages meet only in records. The contracts stand in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.house.tree import PACKAGE, ROOT, pyproject

STAGES = {"data", "knowledge", "training", "evaluation", "release", "engine", "gateway", "feedback"}


def layers() -> list[str]:
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    (found,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return list(found)


def test_the_contracts_are_kept() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[ran.stdout.find("Contracts") :]


def test_every_room_stands_on_a_floor() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert rooms - {"__init__"} == {room.strip() for layer in layers() for room in layer.split("|")}


def test_the_stages_are_siblings() -> None:
    """A stage on a floor of its own could be imported by the others."""
    assert STAGES in [{room.strip() for room in layer.split("|")} for layer in layers()]


def test_the_architecture_page_draws_the_same_floors() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = page[page.index("<!-- floors -->") : page.index("<!-- /floors -->")]
    lines = [
        set(line.split("  ")[0].replace("|", " ").split()[1:]) for line in drawn.splitlines() if line[:1].isdigit()
    ]
    assert lines == [{room.strip() for room in layer.split("|")} for layer in layers()]
