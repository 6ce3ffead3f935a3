"""A progress bar on standard error, if that is a terminal: seconds of audio, times real time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(name: str, *, quiet: bool = False) -> Iterator[Callable[[float, float], None] | None]:
    """Show a bar while a piece is at work; yields the callback for `on_progress`, None if silent.

    Args:
        name: of the piece.
        quiet: show nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f} / {task.total:.0f} s  {task.fields[speed]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0, speed="")
        began = time.perf_counter()

        def on_progress(done_seconds: float, total_seconds: float) -> None:
            speed = done_seconds / max(time.perf_counter() - began, 1e-6)
            bar.update(task, completed=done_seconds, total=total_seconds, speed=f"{speed:.0f}×")

        yield on_progress
