"""Work chunk by chunk: in this process, or in one per core where there is enough of it to pay for their start.

Knows nothing of what is done to a chunk.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from luthier.data.one_thread import one_thread
from luthier.errors import RunFailed

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")

CHUNK = 64
"""Dialogues that are worked on together. The same with one process and with many, so that the results are."""
PAYS = 2000
"""Dialogues from which on more processes are started: each needs seconds and 200 MB before its first text."""
AHEAD = 4
"""Chunks per process that are read before their turn."""


def worked(work: Callable[[Chunk], Result], chunks: Iterable[Chunk], dialogues: int) -> Iterator[Result]:
    """What comes of each chunk, in their order. `work` has to pickle. Raises RunFailed where a process dies."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2 or dialogues < PAYS:
        yield from map(work, chunks)
        return
    processes = min(cores, 1 + dialogues // PAYS)
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=one_thread)
    try:
        waiting: deque[Future[Result]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(work, chunk))
            if len(waiting) >= processes * AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise RunFailed(
            "a process that scrubs died", "see whether memory ran out; each process needs 300 MB"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
