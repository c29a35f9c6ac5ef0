"""What the tests run as a child: `python -m tests.workflows.kid HOW …`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from luthier.errors import GateFailed, as_dict
from luthier.process import end_with_parent
from luthier.workflows import child


def main(how: str, *more: str) -> int:
    end_with_parent()
    match how:
        case "fail":
            print(
                "loading …\n" + json.dumps(as_dict(GateFailed("it did not pass", "train it longer"))), file=sys.stderr
            )
            return 3
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            raise KeyError("x")
        case "wait":
            Path(more[0]).write_text(str(os.getpid()))
            time.sleep(120)
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            Path(more[0]).write_text(str(os.getpid()))
            time.sleep(120)
        case "parent":
            with child.running("tests.workflows.kid", ["wait", more[0]], Path(more[0] + ".log")):
                time.sleep(120)
        case "thread":
            starting = threading.Thread(target=lambda: started.append(begin(more[0])))
            started: list[object] = []
            starting.start()
            starting.join()
            time.sleep(120)
    return 0


def begin(pid_file: str) -> object:
    running = child.running("tests.workflows.kid", ["wait", pid_file], Path(pid_file + ".log"))
    running.__enter__()
    return running


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
