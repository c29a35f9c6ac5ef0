"""Documents read in a child process: one that hangs, swells or dies is one refusal, and the next gets a new one.

Knows how to ask and how long to wait; what is in a document, `extract` knows.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

SECONDS = 60.0
"""Longest that one document may take."""


class Extracted(NamedTuple):
    """What a document says, or why it says nothing."""

    title: str = ""
    text: str = ""
    reason: str = ""


class Extractor:
    """A child that reads documents, started for the first one; at the end of the `with` it ends."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Extractor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> tuple[IO[bytes], IO[bytes]]:
        """The child's input and output."""
        if self.child is None:
            command = [sys.executable, "-P", "-m", "luthier.data.formats.extract"]  # -P: nothing from this folder
            pipe = subprocess.PIPE
            self.child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        return self.child.stdin, self.child.stdout

    def read(self, path: Path) -> Extracted:
        """What stands in the document at `path`."""
        asked, said = self.start()
        try:
            asked.write(json.dumps(str(path)).encode() + b"\n")
            asked.flush()
        except OSError:
            self.stop()
            return Extracted(reason="the program that reads documents does not start")
        ready, _, _ = select.select([said], [], [], self.seconds)
        line = said.readline() if ready else b""
        if not line.endswith(b"\n"):
            self.stop()
            took = f"takes longer than {self.seconds:.0f} s" if not ready else "brings its reader down"
            return Extracted(reason=f"the document {took}; it is broken, or made to do that")
        return Extracted(**json.loads(line))

    def stop(self) -> None:
        """End the child, whatever it is doing."""
        if self.child is None:
            return
        self.child.kill()
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe is not None:
                with suppress(OSError):  # a child that is gone takes no more input
                    pipe.close()
        self.child.wait()
        self.child = None
