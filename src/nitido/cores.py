"""How many cores this process may use."""

from __future__ import annotations

import os
import threading

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


class _OneBlasThread:
    """A context in which matrix products stay on the thread that asks for them.

    The stages already keep the cores busy and the products are small: on two cores, a thread for
    each core in every product made a restoration 1.3 times as long; and a sum that is shared out
    among threads is rounded otherwise. The number is one for the whole process, so the first of
    several restorations at once sets it, and after the last one it is what it was. A thread of its
    own holds it: threadpoolctl heeds only the one that came first, and the last may be another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._end = threading.Event()

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                is_set, self._end = threading.Event(), threading.Event()
                self._holder = threading.Thread(
                    target=self._hold, args=(is_set, self._end), name="nitido-blas", daemon=True
                )
                self._holder.start()
                is_set.wait()
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._end.set()
                self._holder.join()

    @staticmethod
    def _hold(is_set: threading.Event, end: threading.Event) -> None:
        try:
            from threadpoolctl import threadpool_limits

            with threadpool_limits(limits=1, user_api="blas"):
                is_set.set()
                end.wait()
        finally:
            is_set.set()


one_blas_thread = _OneBlasThread()
