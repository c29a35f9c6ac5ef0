"""What this machine can do: products a second as measured, memory, and where it stands; knows nothing of models.

The rate of large matrix products is the roof that training is held against: it moves numbers around besides, so it
stays below. Measured once per process and precision, in a fraction of a second.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import resource
import time
from functools import cache
from pathlib import Path

import torch

SIDE = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the measured product: larger than the caches that training runs in, small enough to be quick."""
SECONDS = 0.25
"""How long is measured at most."""


@cache
def matmul_rate(dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product on this machine (2 n³ for a product of n × n).

    The best of several: what else runs on the machine can only slow it down.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    side = SIDE[device.type]
    a, b = (torch.randn(side, side, dtype=torch.float32, device=device).to(dtype) for _ in range(2))
    best, spent = float("inf"), 0.0
    torch.mm(a, b)  # the first product also chooses its kernel
    while spent < SECONDS:
        began = time.perf_counter()
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
        spent += time.perf_counter() - began
    return 2 * side**3 / best


def memory(*, free: bool = False) -> int:
    """Bytes of the memory that models live in: the GPU's, or the machine's within its control group."""
    if torch.cuda.is_available():
        available, whole = torch.cuda.mem_get_info()
        return int(available if free else whole)
    page = os.sysconf("SC_PAGE_SIZE")
    limit = os.sysconf("SC_PHYS_PAGES") * page
    group = Path("/sys/fs/cgroup/memory.max")
    if group.is_file() and (said := group.read_text(encoding="ascii").strip()).isdigit():
        limit = min(limit, int(said))
    if not free:
        return limit
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return min(limit, int(told["MemAvailable"].split()[0]) * 1024)


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """The most bytes of this process that were ever in memory at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def give_back() -> None:
    """Give the system the memory that freed tensors have left in the C library's heap.

    Tensors of unlike sizes leave gaps there that are never given back by themselves: a run's process grew by a third
    within six steps (measured), and a second model that is read at its end came on top of that.
    """
    library = ctypes.util.find_library("c")
    if library and hasattr(trim := ctypes.CDLL(library), "malloc_trim"):  # glibc's; others give back by themselves
        trim.malloc_trim(0)


def has_gpu() -> bool:
    """Whether training here runs on a GPU."""
    return torch.cuda.is_available()
