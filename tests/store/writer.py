"""A process that writes without end and says what it was promised: `python -m tests.store.writer FOLDER NAME [LIMIT]`.

Each line that it prints names something that a put, tell or checkpoint has returned for, so it must be found
afterwards. With LIMIT no file may grow past so many bytes, as on a full disk; then it ends with the error's name.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from luthier.errors import LuthierError
from luthier.store.audit import checkpoint
from luthier.store.workspace import Workspace
from tests.store.made import ring, trace


def main(folder: str, name: str, limit: str = "0") -> None:
    with Workspace.open(Path(folder), create=True) as workspace:
        if int(limit):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
        number = 0
        while True:
            number += 1
            print("event", workspace.ledger.tell(f"writer:{name}", "said", {"n": number}).seq, flush=True)
            for record in ring(workspace, f"{name}{number}").values():
                print("record", record, flush=True)
            print("blob", workspace.blobs.put(f"{name}{number}".encode() * 200_000), flush=True)
            print("trace", workspace.traces.put(trace(answer="x" * 5000)), flush=True)
            print("head", checkpoint(workspace).size, flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except LuthierError as error:
        print("error", type(error).__name__, flush=True)
