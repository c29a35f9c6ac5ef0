"""What a benchmark says: the machine it ran on and its cells, as one JSON object or as a table for people."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("luthier", "torch", "transformers", "lancedb", "numpy")


class Cell(NamedTuple):
    """One figure: ours, that of others on the same task and machine, and the floor that ours must not miss."""

    name: str
    unit: str
    ours: float
    rivals: dict[str, float] = {}
    floor: float | None = None


def describe(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """The machine that this runs on, and the versions of what was measured."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": model or platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "memory_gib": f"{page * pages / 2**30:.1f}",
        "python": platform.python_version(),
    } | {name: installed(name) for name in packages}


def installed(package: str) -> str:
    """The version of an installed package, or that there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def show(cells: list[Cell], as_json: bool) -> None:
    """Print the one JSON object, or a line for each cell."""
    if as_json:
        print(json.dumps({"machine": describe(), "cells": [cell._asdict() for cell in cells]}, indent=1))
        return
    for cell in cells:
        beside = ", ".join(f"{name} {figure:g}" for name, figure in cell.rivals.items())
        floor = "" if cell.floor is None else f"  (floor {cell.floor:g})"
        print(f"{cell.name:40} {cell.ours:8g} {cell.unit:8}{floor}  {beside}")
