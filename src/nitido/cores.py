"""How many cores this process may use."""

from __future__ import annotations

import os

LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")

_one_only = False


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if _one_only:
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_one_core() -> None:
    """Work in one thread from now on: the other cores have processes of their own.

    Numerical libraries follow as far as they are loaded after this call.
    """
    global _one_only
    _one_only = True
    os.environ.update(dict.fromkeys(LIBRARIES, "1"))
