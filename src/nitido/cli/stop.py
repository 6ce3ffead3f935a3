"""Ctrl-C, SIGTERM, a closed terminal: the first stops the work tidily, the second at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

AT_ONCE = b"Error: stopped at once; the next run with --resume clears away what was at work.\n"


class Stopped(click.ClickException):
    """The work was stopped from outside; shown in one line, exit status 128 + signal."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        setattr(self, "exit_code", 128 + number)  # noqa: B010  declared for the class by click


@contextmanager
def stoppable(told: Callable[[], str]) -> Iterator[None]:
    """Let the first signal raise KeyboardInterrupt inside, and what leaves here say so in one line.

    Args:
        told: what has become of the work when it is stopped.

    Raises:
        Stopped: the work was stopped.
    """
    from nitido.batch.pool import SIGNALS

    heard: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        if heard:
            os.write(2, AT_ONCE)
            os._exit(128 + number)
        heard.append(number)
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():  # only there can signals be caught
        kept = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, stop) for number in kept}
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(told(), heard[0] if heard else signal.SIGINT) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
