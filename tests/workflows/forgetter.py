"""Forgets a person in copies of a project, and kills itself before every step that leaves a mark: one child each.

    python -m tests.workflows.forgetter PROJECT COPIES PERSON

Prints how many steps there were. The process that forks has opened nothing yet, so no thread is lost on the way.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import luthier.knowledge.index as _index  # noqa: F401 - imported once, here, instead of in every child
from luthier.store import erasure, scan
from luthier.store.blobs import Blobs
from luthier.store.ledger import Ledger
from luthier.store.traces import Traces
from luthier.workflows import forget
from luthier.workflows.session import Session

STEPS: list[tuple[Any, str]] = [
    (Ledger, "tell"),
    (Blobs, "put_lines"),
    (Blobs, "delete"),
    (Traces, "delete"),
    (erasure, "redact"),
    (erasure, "emptied"),
    (erasure, "compacted"),
    (forget, "unlined"),
    (scan, "scan"),
]


def main(project: Path, copies: Path, person: str) -> None:
    deadly = 0
    while True:
        deadly += 1
        copy = copies / f"killed-{deadly}"
        shutil.copytree(project, copy)
        child = os.fork()
        if child == 0:
            work(copy, person, deadly)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, status
            print(deadly - 1)
            return
        assert os.WTERMSIG(status) == signal.SIGKILL


def work(copy: Path, person: str, deadly: int) -> None:
    done = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **more: Any) -> Any:
            nonlocal done
            done += 1
            if done == deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **more)

        return step

    for owner, name in STEPS:
        setattr(owner, name, counted(getattr(owner, name)))
    session = Session.open(copy)
    with session.workspace.lock("forgetting a person"):
        forget.forget(session, [person])
    session.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
