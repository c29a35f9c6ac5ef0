"""Runs an example in a process of its own, as its reader would, and turns what it prints into cells."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import Cell


def flags(description: str | None, data: str) -> argparse.ArgumentParser:
    """The flags of a benchmark that runs an example; what else is given goes on to the example."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help=f"the folder that holds {data}")
    parser.add_argument("--json", action="store_true")
    return parser


def result(command: list[str], passing: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """The JSON object that `python -m command` prints; its progress goes to standard error. Exits where it fails."""
    done = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in passing:
        sys.exit(f"python -m {' '.join(command)} ended with exit code {done.returncode}: {done.stdout[:500]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])  # an error may follow on a line of its own
    return found


def measure(name: str, found: dict[str, Any], key: str, floor: float | None = None) -> Cell:
    """A measure of the tuned model beside the untouched base's."""
    return Cell(name, "share", round(found["tuned"][key], 4), {"untouched base": round(found["base"][key], 4)}, floor)


def gain(name: str, found: dict[str, Any], key: str, floor: float | None = None) -> list[Cell]:
    """The paired difference of a measure, and the ends of its 95 % interval."""
    difference = found["differences"][key]
    return [
        Cell(f"{name}, tuned - base", "share", round(difference["mean"], 4), {}, floor),
        Cell(f"{name}, tuned - base, low end", "share", round(difference["low"], 4), {}, 0.0),
        Cell(f"{name}, tuned - base, high end", "share", round(difference["high"], 4)),
    ]


def effort(name: str, run: dict[str, Any]) -> list[Cell]:
    """How long the training took, and how fast it went."""
    return [
        Cell(f"{name}, training", "s", run["seconds"]),
        Cell(f"{name}, training speed", "tokens/s", round(run["tokens"] / run["seconds"], 1)),
    ]
