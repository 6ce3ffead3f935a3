"""How much more several workers get through than one.

One worker is kept on one core, and N may use all: a single restoration already overlaps reading and
computing on two, so N free workers against one free worker would not be a fair question.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from nitido.batch.run import restore_many
from nitido.batch.task import Request, Task
from nitido.benchmark.memory import write_piece
from nitido.benchmark.tables import Table


@dataclass(frozen=True)
class Throughput:
    """What was measured.

    Attributes:
        workers: at once.
        pieces: for each worker.
        seconds: length of a piece.
        one: seconds of audio per second, one worker on one core.
        one_free: the same, on all cores.
        many: the same, all workers, the start of their processes included.
    """

    workers: int
    pieces: int
    seconds: float
    one: float
    one_free: float
    many: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        return {**asdict(self), "of_perfect": self.many / (self.workers * self.one)}

    def table(self) -> Table:
        """Return the figures as they are shown."""
        perfect = self.many / (self.workers * self.one)
        rows = (
            ("one worker, one core", f"{self.one:.1f}×", ""),
            ("one worker, all cores", f"{self.one_free:.1f}×", ""),
            (f"{self.workers} workers", f"{self.many:.1f}×", f"{100 * perfect:.0f} %"),
        )
        return Table("throughput", ("at work", "times real time", "of workers × one core"), rows)


def measure(*, workers: int, pieces: int = 24, seconds: float = 30.0) -> Throughput:
    """Restore the same pieces by one worker and by many.

    Args:
        workers: processes.
        pieces: for each of them.
        seconds: length of a piece, 48 kHz stereo.
    """
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        source = Path(folder, "piece.wav")
        write_piece(source, seconds / 60)
        _rate(source, 1, 1)  # everything is loaded
        with _one_core():
            one = _rate(source, pieces, 1)
        one_free = _rate(source, pieces, 1)
        many = _rate(source, pieces * workers, workers)
    return Throughput(workers, pieces, seconds, one, one_free, many)


def _rate(source: Path, pieces: int, workers: int) -> float:
    """Return seconds of audio per second."""
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        tasks = [Task(str(source), f"{folder}/{n}.wav", Request()) for n in range(pieces)]
        began = perf_counter()
        done = sum(outcome.seconds for outcome in restore_many(tasks, workers=workers))
        return done / (perf_counter() - began)


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this process on one core, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
