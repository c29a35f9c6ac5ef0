"""Runs a stranger's `grade` over samples in locked-in children, and stays alive whatever they do.

A child grades one sample after the other; one that hangs or dies costs the sample it was at, and a new child goes on
behind it. How it is locked in stands in `jail`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from luthier.errors import BadConfig

JAIL = Path(__file__).with_name("jail.py")
START = 20.0
"""Seconds in which a child has to stand locked in."""
MOST_DEATHS = 3
"""Children in a row that may end without a grade, before the rest is given up."""
MOST_BYTES = 1 << 20
"""Of what a child says between two grades."""
FENCES = ("files", "network", "processes")


class Limits(NamedTuple):
    """What a child may use."""

    seconds: float
    """For one sample."""
    memory: int
    """Bytes of address space."""
    unfenced: bool = False
    """Run also where this system cannot fence files or network."""


class Ended(Exception):
    """The child said nothing more: why."""


def run(source: str, samples: Sequence[dict[str, Any]], limits: Limits) -> list[float | str]:
    """What `grade` in `source` says of each sample ({"sample": …, "item": …}): its number, or why there is none.

    Raises BadConfig where `source` has no `grade`, or where this system lacks a fence and `unfenced` is not said.
    """
    results: list[float | str] = []
    deaths = 0
    while len(results) < len(samples) and deaths < MOST_DEATHS:
        before = len(results)
        try:
            for result in one_child(source, samples[before:], limits):
                results.append(result)
        except Ended as end:
            results.append(str(end))
        deaths = deaths + 1 if len(results) == before + 1 else 0
    return results + [f"given up after {MOST_DEATHS} children ended"] * (len(samples) - len(results))


def one_child(source: str, samples: Sequence[dict[str, Any]], limits: Limits) -> Iterator[float | str]:
    """The results of one child, in order, until it is through or ends (Ended)."""
    told = {
        "source": source,
        "samples": list(samples),
        "memory": limits.memory,
        "seconds": int(limits.seconds * (len(samples) + 1)) + 2,
        "unfenced": limits.unfenced,
    }
    with tempfile.TemporaryDirectory(prefix="grade-") as empty, child(empty) as process:
        assert process.stdin
        assert process.stdout
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(told).encode())
            process.stdin.close()
        lines = Lines(process.stdout.fileno())
        stands = lines.next(START).get("fences", {})
        missing = [name for name in FENCES if not stands.get(name)]
        if missing and not limits.unfenced:
            raise BadConfig(
                f"this system cannot keep a python grader from {' and '.join(missing)}",
                "run on Linux 5.13 or newer, or say unfenced: true where the code is your own",
            )
        for _ in samples:
            yield result(lines.next(limits.seconds))


def result(said: dict[str, Any]) -> float | str:
    """One sample's number, or why there is none. Raises BadConfig where the source cannot be used at all."""
    if "broken" in said:
        raise BadConfig(f"the python grader cannot be used: {said['broken']}", "define grade(sample, item)")
    score = said.get("score")
    if isinstance(score, float) and math.isfinite(score):
        return score
    return str(said.get("fault", "grade wrote where its results go"))[:300]


@contextlib.contextmanager
def child(folder: str) -> Iterator[subprocess.Popen[bytes]]:
    """A locked-in Python in `folder`, killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(JAIL)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class Lines:
    """The lines of a child, each waited for only so long."""

    def __init__(self, handle: int) -> None:
        self.handle, self.rest = handle, b""

    def next(self, seconds: float) -> dict[str, Any]:
        """The next line as JSON. Raises Ended."""
        until = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.handle], [], [], left)[0]:
                raise Ended(f"grade took longer than {seconds:g} s")
            got = os.read(self.handle, 65536)
            if not got:
                raise Ended("grade ended its process (out of memory or processor seconds?)")
            self.rest += got
            if len(self.rest) > MOST_BYTES:
                raise Ended("grade wrote where its results go")
        line, _, self.rest = self.rest.partition(b"\n")
        try:
            said = json.loads(line)
        except ValueError as error:
            raise Ended("grade wrote where its results go") from error
        if not isinstance(said, dict) or not {"fences", "broken", "score", "fault"} & said.keys():
            raise Ended("grade wrote where its results go")
        return said
