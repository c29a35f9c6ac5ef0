"""How fast rows are read and made into a dataset version, how much memory that takes, and how both grow.

    python -m benchmarks.data --json              1,000 and 10,000 rows
    python -m benchmarks.data --most 1000000      and 100,000, and a million (hours of scrubbing; use --plain)

Rows are made up for their size: dialogues of two turns, every tenth with a name, an IBAN and an e-mail address. Each
figure comes from a process of its own, whose largest resident size is the memory. Reading is held against the same
lines through json and nothing else: what checking, scrubbing and keeping books cost is the distance to it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import Cell, show

SIZES = (1_000, 10_000, 100_000, 1_000_000)
WORDS = (
    *("card", "account", "fee", "limit", "branch", "letter", "code", "app", "transfer", "day", "week", "form"),
    *("address", "bank", "term", "rate", "loan", "saving"),
)


def main() -> int:
    """The benchmark from the command line; returns its exit code."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--most", type=int, default=10_000, help="rows of the largest set")
    flags.add_argument("--plain", action="store_true", help="without scrubbing: what the house's own code costs")
    flags.add_argument("--json", action="store_true")
    flags.add_argument("--child", nargs=2, metavar=("WORK", "FILE"), help=argparse.SUPPRESS)
    given = flags.parse_args()
    if given.child:
        print(json.dumps(measured(given.child[0], Path(given.child[1]))))
        return 0
    works = ["json", "read", "plain build", "plain near build"] + ([] if given.plain else ["build"])
    show([cell for size in SIZES if size <= given.most for cell in cells(size, works)], given.json)
    return 0


def cells(size: int, works: list[str]) -> Iterator[Cell]:
    """Rows a second and peak memory of each kind of work on `size` rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        with file.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(line) + "\n" for line in made_up(size))
        found = {work: child(work, file) for work in works}
    plain = found.pop("json")
    for work, (rate, memory) in found.items():
        yield Cell(f"{work}, {size:,} rows", "rows/s", rate, {"json.loads alone": plain[0]})
        yield Cell(f"{work}, {size:,} rows, peak memory", "MiB", memory, {"json.loads alone": plain[1]})


def child(work: str, file: Path) -> tuple[float, float]:
    """The figures of one kind of work in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.data", "--child", work, str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    rate, memory = json.loads(done.stdout)
    return rate, memory


def measured(work: str, file: Path) -> tuple[float, float]:
    """Rows a second and the largest resident size in MiB, its children's included."""
    rows, seconds = {"json": only_json, "read": only_read}.get(work, lambda f: built(f, work))(file)
    memory = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(rows / seconds, 1), round(memory / 1024, 1)


def only_json(file: Path) -> tuple[int, float]:
    """The lines through json."""
    began = time.perf_counter()
    with file.open(encoding="utf-8") as lines:
        rows = sum(1 for line in lines if json.loads(line))
    return rows, time.perf_counter() - began


def only_read(file: Path) -> tuple[int, float]:
    """The lines as checked dialogues."""
    from luthier.data.chat_jsonl import read

    began = time.perf_counter()
    return sum(1 for _ in read(file, {})), time.perf_counter() - began


def built(file: Path, work: str) -> tuple[int, float]:
    """The file as a dataset version."""
    from luthier.data.build import build
    from luthier.records.project import DataPart, SourceSpec
    from luthier.store.blobs import Blobs

    source = SourceSpec(name="made-up", path=file.name, licence="CC0-1.0", consent="fictional")
    scrubber = "none" if work.startswith("plain") else "presidio"
    part = DataPart(sources=(source,), scrubber=scrubber, near=0.8 if "near" in work else None)
    began = time.perf_counter()
    made = build(part, file.parent, Blobs.open(file.parent / "blobs"), key=b"k" * 32)
    left = made.duplicates + made.quarantined + sum(made.left_out.values())
    return sum(made.counts.values()) + left, time.perf_counter() - began


def made_up(size: int) -> Iterator[dict[str, object]]:
    """Dialogues, the same for the same size."""
    draw = random.Random(size)
    for number in range(size):
        question = " ".join(draw.choices(WORDS, k=14)) + f" {number}?"
        answer = " ".join(draw.choices(WORDS, k=30)) + "."
        if number % 10 == 0:
            question = f"I am Anna Schmidt ({draw.randrange(10**6)}@example.org, DE89370400440532013000): {question}"
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        yield {"messages": turns, "metadata": {"dialogue": f"d-{number}"}, "language": "en"}


if __name__ == "__main__":
    sys.exit(main())
