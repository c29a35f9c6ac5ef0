"""One thread for each process where there is a process for each core. Imports nothing that could start threads."""

from __future__ import annotations

import os

LIBRARIES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    "NUMEXPR_NUM_THREADS",
)
"""Read by OpenMP, OpenBLAS, MKL, BLIS, Accelerate and numexpr when they are loaded."""


def one_thread() -> None:
    """Called first thing in a new process: what is loaded afterwards calculates in one thread, unless told before."""
    for name in LIBRARIES:
        os.environ.setdefault(name, "1")
