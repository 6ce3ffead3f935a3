"""Progress bars on standard error, if that is a terminal: seconds of audio, times real time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nitido.batch.many import Progress

BAR_WIDTH = 20  # leaves room for the words on a terminal of 80 columns
LEAST_SHARE = 0.01  # of the work: before that, nobody can say how long the rest will take


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
    with _bar("{task.completed:.0f} / {task.total:.0f} s  {task.fields[speed]}") as bar:
        task = bar.add_task(name, total=1.0, speed="")
        began = time.perf_counter()

        def on_progress(done_seconds: float, total_seconds: float) -> None:
            speed = done_seconds / max(time.perf_counter() - began, 1e-6)
            bar.update(task, completed=done_seconds, total=total_seconds, speed=f"{speed:.0f}×")

        yield on_progress


@contextmanager
def progress_of_many(*, quiet: bool = False) -> Iterator[Callable[[Progress], None] | None]:
    """Show one bar for a whole run; yields its callback, None if silent.

    Args:
        quiet: show nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with _bar("{task.fields[words]}") as bar:
        task = bar.add_task("", total=1.0, words="")
        began = time.perf_counter()

        def on_progress(progress: Progress) -> None:
            words = describe(progress, time.perf_counter() - began)
            bar.update(task, completed=progress.share, words=words)

        yield on_progress


def describe(progress: Progress, took_seconds: float) -> str:
    """Return how far a run is: pieces, seconds of audio, times real time, remaining time.

    >>> from nitido.batch.many import Progress
    >>> describe(Progress(20, done=9, failed=1, seconds=300.0, share=0.5), 10.0)
    '10 of 20, 1 failed  300 s of audio  30×  0:10 left'
    """
    ended = progress.done + progress.unchanged + progress.failed
    failed = f", {progress.failed} failed" if progress.failed else ""
    speed = progress.seconds / max(took_seconds, 1e-6)
    words = f"{ended} of {progress.pieces}{failed}  {progress.seconds:.0f} s of audio  {speed:.0f}×"
    if not LEAST_SHARE < progress.share < 1:
        return words
    left = round(took_seconds * (1 - progress.share) / progress.share)
    hours = f"{left // 3600}:{left // 60 % 60:02}" if left >= 3600 else f"{left // 60}"
    return f"{words}  {hours}:{left % 60:02} left"


@contextmanager
def _bar(column: str) -> Iterator[Any]:
    """Show a bar, with text after it; lines that are printed meanwhile stand above it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar_column = BarColumn(bar_width=BAR_WIDTH)
    columns = (TextColumn("{task.description}", markup=False), bar_column, TextColumn(column))
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # what goes into a file is none of the bar's business
    ) as bar:
        yield bar
