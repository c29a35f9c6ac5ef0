"""How fast rows are read and made into a dataset version, how much memory that takes, and how both grow.

    python -m benchmarks.data --json              1,000 and 10,000 rows
    python -m benchmarks.data --most 1000000      and 100,000, and a million (hours of scrubbing; use --plain)

Rows are made up for their size: dialogues of two turns, every tenth with a name, an IBAN and an e-mail address. Each
figure comes from a process of its own. Memory is the largest resident size of that process and, for each core, of the
largest that it started: no less than all of them hold at once. Reading is held against the same lines through json and
nothing else: what checking, scrubbing and keeping books cost is the distance to it.

    read           the lines as checked dialogues
    plain build    scrubber none, no detectors
    near build     the same, near-duplicates taken out
    judged build   the same with the usual detectors
    build          and scrubbed
    diff, export   of what the near build made, against itself and as chat JSONL

The scrubber's rival stands in `benchmarks.scrubber` (Presidio), that of near-duplicates in `benchmarks.duplicates`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import Cell, show
from benchmarks.near_rivals import peak

if TYPE_CHECKING:
    from luthier.records.data import DatasetVersion
    from luthier.store.blobs import Blobs

SIZES = (1_000, 10_000, 100_000, 1_000_000)
WORKS = ("json", "read", "plain build", "near build", "judged build", "build", "diff", "export")
GROWS_FROM = 10_000
RIVAL = "json.loads alone"
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
    works = [work for work in WORKS if not (given.plain and work == "build")]
    found = {size: figures(size, works) for size in SIZES if size <= given.most}
    show([cell for size in found for cell in cells(size, found)], given.json)
    return 0


def figures(size: int, works: list[str]) -> dict[str, tuple[float, float]]:
    """Rows a second and peak memory of each kind of work on `size` rows."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        with file.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(line) + "\n" for line in made_up(size))
        found = {}
        for work in works:
            found[work] = child(work, file)
            print(f"{work}, {size:,} rows: {found[work][0]:g} rows/s, {found[work][1]:g} MiB", file=sys.stderr)
    return found


def cells(size: int, found: dict[int, dict[str, tuple[float, float]]]) -> Iterator[Cell]:
    """The figures of one size, and how many times as fast as at 10,000 rows it went: 1 is linear."""
    plain = found[size]["json"]
    for work, (rate, memory) in found[size].items():
        if work == "json":
            continue
        yield Cell(f"{work}, {size:,} rows", "rows/s", rate, {RIVAL: plain[0]})
        if size > GROWS_FROM in found:
            yield Cell(f"{work}, {size:,} rows, growth", "times", round(rate / found[GROWS_FROM][work][0], 2), {})
        yield Cell(f"{work}, {size:,} rows, peak memory", "MiB", memory, {RIVAL: plain[1]})


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
    """Rows a second, and an upper bound in MiB of what all processes held at once."""
    how = {"json": only_json, "read": only_read, "diff": only_diff, "export": only_export}
    rows, seconds = how[work](file) if work in how else built(file, work)
    memory = peak() + len(os.sched_getaffinity(0)) * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return round(rows / seconds, 1), round(memory, 1)


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
    """The file as a dataset version; that of the near build is left for what looks at versions."""
    from luthier.data.build import build
    from luthier.records.project import DataPart, SourceSpec
    from luthier.store.blobs import Blobs

    source = SourceSpec(name="made-up", path=file.name, licence="CC0-1.0", consent="fictional")
    part = DataPart(sources=(source,), near=None if work == "plain build" else 0.8)
    if work != "build":
        part = part.model_copy(update={"scrubber": "none"})
    if work in ("plain build", "near build"):
        part = part.model_copy(update={"detectors": ()})
    began = time.perf_counter()
    made = build(part, file.parent, Blobs.open(file.parent / "blobs"), key=b"k" * 32)
    seconds = time.perf_counter() - began
    left = made.duplicates + made.quarantined + sum(made.left_out.values())
    if work == "near build":
        (file.parent / "version.json").write_text(made.model_dump_json(), encoding="utf-8")
    return sum(made.counts.values()) + left, seconds


def only_diff(file: Path) -> tuple[int, float]:
    """The version against itself: both sides are read."""
    from luthier.data.diff import diff

    made, blobs = version_beside(file)
    began = time.perf_counter()
    diff(made, made, blobs)
    return sum(made.counts.values()), time.perf_counter() - began


def only_export(file: Path) -> tuple[int, float]:
    """The version as chat JSONL."""
    from luthier.data.build import rows
    from luthier.data.export import export

    made, blobs = version_beside(file)
    began = time.perf_counter()
    export(rows(made, blobs), file.parent / "exported.jsonl", "chat-jsonl")
    return sum(made.counts.values()), time.perf_counter() - began


def version_beside(file: Path) -> tuple[DatasetVersion, Blobs]:
    """What the near build left."""
    from luthier.records.data import DatasetVersion
    from luthier.store.blobs import Blobs

    made = DatasetVersion.model_validate_json((file.parent / "version.json").read_text(encoding="utf-8"))
    return made, Blobs.open(file.parent / "blobs")


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
