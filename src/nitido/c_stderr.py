"""What libraries written in C print to standard error of their own accord.

libmpg123, inside libsndfile, comments on odd MP3 files with `fprintf(stderr, …)`. Where the process
is ours, C's own variable `stderr` can lead elsewhere. Descriptor 2 stays what it is: `sys.stderr`,
faulthandler and the programs that are started write on as before.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys


def mute() -> None:
    """Let what C code prints to its `stderr` vanish, until this process ends.

    Only for processes of our own: it is one variable for all of the process. Does nothing where
    that is no variable (Windows, musl).

    Source: GNU C Library manual sec. 12.2; Apple's stdio.h, where it is called `__stderrp`.
    """
    if sys.platform == "darwin":
        name = "__stderrp"
    elif platform.libc_ver()[0] == "glibc":
        name = "stderr"
    else:
        return
    library = ctypes.CDLL(None)
    library.fopen.restype = ctypes.c_void_p
    nowhere = library.fopen(os.devnull.encode(), b"w")
    if nowhere:
        ctypes.c_void_p.in_dll(library, name).value = nowhere
