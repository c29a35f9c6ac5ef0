"""`luthier.training` that is killed behind the checkpoint of step DIES_AFTER, without a word."""

from __future__ import annotations

import os
import signal
import sys

from luthier.training import __main__, loop


def main() -> int:
    keep = loop.keep

    def last(work: loop.Work, done: int, optimiser: loop.Optimiser) -> None:
        keep(work, done, optimiser)
        work.world.wait()
        if done == int(os.environ["DIES_AFTER"]):
            os.kill(os.getpid(), signal.SIGKILL)

    loop.keep = last
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
