"""Locks of open files: one process at a time; the system gives them back however it ends."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


def try_lock(file: int) -> bool:
    """Lock an open file for this process, or return False if it is locked already."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("This file system has no locks; let no two runs write here at once.")
    return True


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock of a file, made if it is missing, or give False if another process has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield try_lock(file)
    finally:
        os.close(file)
