"""What others drop as near-duplicates: run by `benchmarks.duplicates` with the Python of an environment that has them.

Needs nothing but the rival's package. Both are used as their documentation shows, in one process: a row is asked for,
and inserted if nothing like it is there. What they find is not verified, as their indexes keep signatures alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def run(rival: str, file: str, threshold: float, size: int) -> None:
    """Prints JSON: seconds, how many of them made shingles, and for each dropped row those that it is like."""
    seen = {"datasketch": datasketch, "rensa": rensa}[rival](threshold)
    shingling, dropped = 0.0, {}
    began = time.perf_counter()
    for number, text in enumerate(texts(Path(file))):
        start = time.perf_counter()
        shingles = list({text[at : at + size] for at in range(max(1, len(text) - size + 1))})
        shingling += time.perf_counter() - start
        if found := seen(str(number), shingles):
            dropped[number] = [int(name) for name in found]
    seconds = time.perf_counter() - began
    json.dump({"seconds": seconds, "shingling": shingling, "dropped": dropped, "peak": peak()}, sys.stdout)


def texts(path: Path) -> Iterator[str]:
    """The texts of a file, one JSON string a line."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def datasketch(threshold: float) -> Callable[[str, list[str]], list[str]]:
    """MinHashLSH with 128 hash functions, its own choice of bands, and its fast bulk update."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=threshold, num_perm=128)

    def seen(name: str, shingles: list[str]) -> list[str]:
        sketch = MinHash(num_perm=128)
        sketch.update_batch([shingle.encode() for shingle in shingles])
        found = index.query(sketch)
        if not found:
            index.insert(name, sketch)
        return list(found)

    return seen


def rensa(threshold: float) -> Callable[[str, list[str]], list[str]]:
    """RMinHashDeduplicator with LSH and 128 hash functions (Rust)."""
    from rensa import RMinHash, RMinHashDeduplicator

    index = RMinHashDeduplicator(threshold, 128, True, seed=0)

    def seen(name: str, shingles: list[str]) -> list[str]:
        sketch = RMinHash(128, 0)
        sketch.update(shingles)
        found = index.get_duplicates(sketch)
        if not found:
            index.add(name, sketch)
        return list(found)

    return seen


def peak() -> float:
    """Most memory that this process held, in MiB. Not ru_maxrss, which counts the parent's before it was replaced."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
