"""Near-duplicates: time, memory, recall and precision at 1,000 to a million rows, ours beside datasketch and rensa.

    python -m benchmarks.duplicates --json
    python -m benchmarks.duplicates --most 1000000 --rivals-most 10000 --data ../shared/data --json

Made rows of 20 to 90 words; one in ten is a copy of an earlier one with a few words changed (Jaccard similarity .8 and
above: planted) or with more of them (below .8: has to stay). The truth is counted in sets of five characters, in plain
Python. All sides read the same texts, make the same shingles and use one process; ours verifies what it finds, theirs
do not. An environment with the rivals is made for the run unless `--rivals` names the Python of one. The real sets have
no truth, so what leaves is told, not judged.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from math import log
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import Cell, show
from benchmarks.near_rivals import peak, texts
from luthier.data.clusters import Text, replaced
from luthier.data.minhash import Rule
from luthier.data.near import clusters

THRESHOLD, SIZE = 0.8, 5
RIVALS = {"datasketch": "datasketch>=2", "rensa": "rensa>=0.5"}
SIZES = (1_000, 10_000, 100_000, 1_000_000)
WORDS = 20_000


class Planted(NamedTuple):
    """A copy, what it was made from, and their similarity."""

    copy: int
    original: int
    similarity: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000, help="rows of the largest set")
    parser.add_argument("--rivals-most", type=int, default=100_000, help="rows of the largest set for the rivals")
    parser.add_argument("--rivals", type=Path, help="a Python that has datasketch and rensa")
    parser.add_argument("--data", type=Path, help="holds gpteacher_dedup and banking77")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with TemporaryDirectory() as scratch:
        python = asked.rivals or environment(Path(scratch) / "rivals")
        cells: list[Cell] = []
        seconds: dict[int, float] = {}
        for size in (size for size in SIZES if size <= asked.most):
            file = Path(scratch) / f"{size}.jsonl"
            planted = write(file, size)
            rivals = list(RIVALS) if size <= asked.rivals_most else []
            results = {"luthier": measured(Path(sys.executable), "luthier", file)}
            results |= {rival: measured(python, rival, file) for rival in rivals}
            seconds[size] = results["luthier"]["seconds"]
            cells += compared(size, results, planted, list(texts(file)))
            file.unlink()
    cells += [
        Cell(f"{low} → {high} rows, growth", "exponent", round(log(seconds[high] / seconds[low], high / low), 2))
        for low, high in zip(list(seconds), list(seconds)[1:], strict=False)
    ]
    show(cells + (real(asked.data) if asked.data else []), asked.json)


def environment(folder: Path) -> Path:
    """The Python of a fresh environment with the rivals."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *RIVALS.values()], check=True, stdout=sys.stderr)
    return python


def write(file: Path, size: int) -> list[Planted]:
    """Write `size` made rows, one JSON string a line, and tell what was planted."""
    draw = np.random.Generator(np.random.PCG64(size))
    letters = np.array(list("etaoinshrdlucmfwygpb"))
    spelt = ["".join(letters[draw.integers(len(letters), size=n)]) for n in draw.integers(2, 10, size=WORDS)]
    weights = 1 / (np.arange(WORDS) + 3)
    below = np.cumsum(weights / weights.sum())
    rows: list[NDArray[np.uint16]] = []
    planted = []
    for number in range(size):
        if number % 10 == 9:
            original = int(draw.integers(number // 10 * 9)) if number > 9 else 0
            original += original // 9  # skips the copies
            row = rows[original].copy()
            for _ in range(1 + int(draw.integers(max(1, len(row) // 9)))):
                row[int(draw.integers(len(row)))] = int(draw.integers(WORDS))
            planted.append(Planted(number, original, 0.0))
        else:
            drawn = np.searchsorted(below, draw.random(int(draw.integers(20, 91))))
            row = np.minimum(drawn, WORDS - 1).astype(np.uint16)
        rows.append(row)
    with file.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(" ".join(spelt[word] for word in row)) + "\n")

    def text(number: int) -> str:
        return " ".join(spelt[word] for word in rows[number])

    return [each._replace(similarity=truth(text(each.copy), text(each.original))) for each in planted]


def truth(one: str, other: str) -> float:
    """The Jaccard similarity of two texts, counted in sets of five characters."""
    a, b = ({text[at : at + SIZE] for at in range(len(text) - SIZE + 1)} for text in (one, other))
    return len(a & b) / len(a | b)


def measured(python: Path, side: str, file: Path) -> dict[str, Any]:
    """What one side says of the texts in `file`, in a process of its own."""
    where = "duplicates" if side == "luthier" else "near_rivals"
    code = f"from benchmarks.{where} import run; run({side!r}, {str(file)!r}, {THRESHOLD}, {SIZE})"
    done = subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    print(f"{file.stem} rows, {side}: {result['seconds']:.1f} s, {result['peak']:.0f} MiB", file=sys.stderr)
    return result


def run(side: str, file: str, threshold: float, size: int) -> None:
    """Our side, as `near_rivals.run` for the others."""
    named = (Text(str(number), text) for number, text in enumerate(texts(Path(file))))
    began = time.perf_counter()
    found = replaced(clusters(named, Rule(threshold, size=size)))
    seconds = time.perf_counter() - began
    dropped = {int(name): [int(kept)] for name, kept in found.items()}
    json.dump({"seconds": seconds, "shingling": 0.0, "dropped": dropped, "peak": peak(), "side": side}, sys.stdout)


def compared(size: int, results: dict[str, Any], planted: list[Planted], rows: list[str]) -> list[Cell]:
    """The cells of one size."""
    bars = {"recall": 0.98, "precision": 0.95}
    scores: dict[str, dict[str, float]] = {}
    for side, result in results.items():
        dropped = {int(name): kept for name, kept in result["dropped"].items()}
        due = [each for each in planted if each.similarity >= THRESHOLD]
        right = sum(
            any(truth(rows[name], rows[other]) >= THRESHOLD for other in kept) for name, kept in dropped.items()
        )
        scores[side] = {
            "time": round(result["seconds"], 2),
            "speed": round(size / result["seconds"]),
            "speed without making shingles": round(size / (result["seconds"] - result["shingling"])),
            "peak memory": round(result["peak"]),
            "recall": round(sum(each.copy in dropped for each in due) / len(due), 4),
            "precision": round(right / max(1, len(dropped)), 4),
        }
    ours = scores.pop("luthier")
    units = {"time": "s", "peak memory": "MiB", "recall": "share", "precision": "share"}
    return [
        Cell(
            f"{size} rows, {name}",
            units.get(name, "rows/s"),
            figure,
            {side: score[name] for side, score in scores.items()},
            max([score[name] * 5 for side, score in scores.items() if side == "datasketch"], default=None)
            if name == "speed"
            else bars.get(name),
        )
        for name, figure in ours.items()
    ]


def real(data: Path) -> list[Cell]:
    """What leaves the real sets at .8 and .9, numbers counted and not."""
    cells = []
    for name, rows in (
        ("gpteacher_dedup", gpteacher(data)),
        ("gpteacher_dedup, answers alone", answers(data)),
        ("banking77", banking(data)),
    ):
        named = [Text(str(number), row) for number, row in enumerate(rows)]
        for rule in (Rule(0.8), Rule(0.9), Rule(0.8, figures=False)):
            began = time.perf_counter()
            leave = len(replaced(clusters(named, rule)))
            label = f"{name}, {rule.threshold}" + ("" if rule.figures else ", numbers may differ")
            cells.append(Cell(f"{label}: rows that leave of {len(named)}", "rows", leave))
            print(f"{label}: {leave} in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return cells


def gpteacher(data: Path) -> Iterator[str]:
    """Instruction, input and answer: each instruction repeats the tools at hand."""
    with gzip.open(data / "gpteacher_dedup" / "exact_dedup.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            yield "\n".join((row["instruction"], row["input"], row["output"]))


def answers(data: Path) -> Iterator[str]:
    """Input and answer alone."""
    with gzip.open(data / "gpteacher_dedup" / "exact_dedup.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            yield "\n".join((row["input"], row["output"]))


def banking(data: Path) -> Iterator[str]:
    """Customers' questions."""
    with (data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        yield from (row["text"] for row in csv.DictReader(file))


if __name__ == "__main__":
    main()
