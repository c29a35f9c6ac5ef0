"""Work in a process of its own: what dies there takes nothing along, and its error comes back as the error it was."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from luthier.errors import LuthierError, RunFailed, from_dict
from luthier.process import MARK

GRACE = 10.0
"""Seconds between asking a child to stop and ending it."""
BEGINNING = "\n--- luthier child: "
"""Stands in a log before what each child writes."""


@contextlib.contextmanager
def running(module: str, arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m module arguments` with its output in `log`; stopped at the end of the block."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(BEGINNING.encode() + f"{module}\n".encode())
        output.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=output,
            stderr=output,
            stdin=subprocess.PIPE,
            env=os.environ | {MARK: "1"},
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and end it when it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdin:
        process.stdin.close()


def require_success(process: subprocess.Popen[bytes], log: Path, what: str) -> None:
    """Raise the error that the ended child wrote as its last line, or RunFailed that names the log."""
    if process.returncode == 0:
        return
    last = last_line(log)
    raise error_in(last) or RunFailed(
        f"{what} ended with {describe(process.returncode)}" + (f" ({last[:300]})" if last else ""),
        f"its output is in {log}; run the same command again to go on where it stopped",
    )


def last_line(log: Path) -> str:
    """The last line that the child wrote; nothing of what children before it left in the same log."""
    told = log.read_text(encoding="utf-8", errors="replace").rpartition(BEGINNING)[2].partition("\n")[2]
    lines = told.strip().splitlines()
    return lines[-1] if lines else ""


def error_in(line: str) -> LuthierError | None:
    """The error that a child left as JSON in the last line of its output."""
    if not line.startswith('{"type"'):
        return None
    try:
        return from_dict(json.loads(line))
    except (ValueError, KeyError):
        return None


def describe(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"exit status {code}"
    name = signal.Signals(-code).name
    return f"{name} (out of memory?)" if name == "SIGKILL" else name
