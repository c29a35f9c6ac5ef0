"""`luthier demo` in a fresh folder: seconds from the command to its end, and what the tuned model shows.

    python -m benchmarks.demo --json

The models have to be pulled before. The ceiling is 300 s on 2 cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._example import result
from benchmarks.machine import Cell, show
from luthier.errors import GateFailed
from luthier.records.evaluation import EvalReport
from luthier.records.project import Project
from luthier.store.workspace import Workspace

CEILING = 300.0
"""Seconds that it may take at most: here `floor` is the most, as for every cell whose unit is s."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="luthier-") as scratch:
        folder = Path(scratch) / "demo"
        made = result(["luthier.cli.main", "demo", str(folder), "--json"], passing=(0, GateFailed.exit_code))
        cells = [Cell("demo, from command to end", "s", made["seconds"], {}, CEILING), *measures(folder, made)]
    show(cells, asked.json)


def measures(folder: Path, made: dict[str, Any]) -> list[Cell]:
    """Every measure of the whole suite, tuned model beside base, and the paired difference's lower end."""
    cells = [Cell("demo, deployed", "share", float(made["outcome"] == "deployed"), {}, 1.0)]
    with Workspace.open(folder / Project.model_fields["workspace"].default) as workspace:
        base, tuned = (workspace.ledger.get(made[name], EvalReport) for name in ("base_report", "report"))
    for name in (name for name in tuned.measures if "@" not in name):
        beside = {"untouched base": round(base.measures[name].mean, 4)}
        cells.append(Cell(f"demo, {name}", "share", round(tuned.measures[name].mean, 4), beside))
        low = round(tuned.differences[name].low, 4)
        cells.append(Cell(f"demo, {name}, tuned - base, low end", "share", low))
    return cells


if __name__ == "__main__":
    main()
