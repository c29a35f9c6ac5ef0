"""Scrubbing chunk by chunk: in this process, or in one per core where there is enough of it to pay for their start."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache

from luthier import plugins
from luthier.data.scrub import Scrubber, scrub_all
from luthier.errors import RunFailed
from luthier.records.data import Scrubbed

Chunk = Sequence[tuple[Sequence[str], str]]
"""Dialogues: their texts and language."""
CHUNK = 64
"""Dialogues that are scrubbed together. The same with one process and with many, so that the results are."""
PAYS = 2000
"""Dialogues from which on more processes are started: each needs seconds and 200 MB before its first text."""
AHEAD = 4
"""Chunks per process that are read before their turn."""


@cache
def scrubber(name: str, allow: tuple[str, ...]) -> Scrubber:
    """The scrubber called `name`, made once in a process."""
    made: Scrubber = plugins.find("scrubber", name)(allow=allow)
    return made


def work(name: str, allow: tuple[str, ...], chunk: Chunk) -> list[list[Scrubbed]]:
    """Scrub one chunk."""
    return scrub_all(scrubber(name, allow), chunk)


def scrubbed(
    chunks: Iterable[Chunk], name: str, allow: tuple[str, ...], dialogues: int
) -> Iterator[list[list[Scrubbed]]]:
    """Each chunk scrubbed, in their order. Raises RunFailed where a process dies."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2 or dialogues < PAYS:
        yield from (work(name, allow, chunk) for chunk in chunks)
        return
    processes = min(cores, 1 + dialogues // PAYS)
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        waiting: deque[Future[list[list[Scrubbed]]]] = deque()
        for chunk in chunks:
            waiting.append(pool.submit(work, name, allow, chunk))
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
