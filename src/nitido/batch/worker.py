"""A process that restores one piece after the other, told what over a pipe.

It hears tasks, says how far it is, and answers with outcomes, all as JSON. It ends when it is told
to, when the pipe is closed, and when the process that started it ends in whatever way.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from nitido import c_stderr
from nitido.batch.task import Task
from nitido.batch.work import attempt
from nitido.cores import use_one_core
from nitido.errors import CancelledError

SIGNALS = tuple(  # that stop a run
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
STOP = "stop"
SAY_SECONDS = 0.1  # between two words on how far a piece is
TIDY_SECONDS = 2.0  # to leave nothing behind when the starting process has ended


def serve(connection: Connection, *, crowded: bool) -> None:
    """Carry out tasks until there are no more.

    Args:
        connection: to whom gives them.
        crowded: there are as many such processes as cores, or nearly: each uses one.
    """
    _leave_signals_to_the_starter()
    c_stderr.mute()
    if crowded:
        use_one_core()
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    while True:
        try:
            message = connection.recv()
            if message == STOP:
                return
            outcome = _carry_out(connection, **json.loads(message))
            connection.send(("outcome", outcome))
        except (EOFError, OSError):  # the other end of the pipe is closed
            return


def _carry_out(connection: Connection, task: str, **options: Any) -> str:
    said = time.monotonic()

    def on_progress(done_seconds: float, total_seconds: float) -> None:
        nonlocal said
        if time.monotonic() - said < SAY_SECONDS:
            return
        said = time.monotonic()
        try:
            connection.send(("progress", (done_seconds, total_seconds)))
            stopped = connection.poll()  # the only word while at work is to stop
        except (EOFError, OSError):
            stopped = True
        if stopped:
            raise CancelledError("The run was stopped.")

    return attempt(Task.from_json(task), on_progress=on_progress, **options).to_json()


def _leave_signals_to_the_starter() -> None:
    """Let Ctrl-C and SIGTERM, which reach the whole group, be heard where the run is led.

    A function that does nothing, not SIG_IGN: programs started from here do not inherit it.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # blocked while this process began


def _end_with_the_starter() -> None:
    starter = multiprocessing.parent_process()
    if starter is not None:
        starter.join()
        time.sleep(TIDY_SECONDS)
        os._exit(1)
