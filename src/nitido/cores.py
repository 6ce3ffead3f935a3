"""How many cores this process may use, and how long it lives as one of many."""

from __future__ import annotations

import os
import threading
import time

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


def end_with_the_starter(*, after_seconds: float = 0.0) -> None:
    """End this process soon after the one that started it has ended, be it by a kill.

    A worker of a pool would wait for work for ever.
    """
    from multiprocessing import parent_process  # here: only workers need it

    starter = parent_process()

    def watch() -> None:
        if starter is not None:
            starter.join()
            time.sleep(after_seconds)
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def begin_in_a_pool() -> None:
    """Begin as one of many: on one core, and to end with the process that has started it."""
    use_one_core()
    end_with_the_starter()
