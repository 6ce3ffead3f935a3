"""How much more several workers get through than one.

One worker is kept on one core, and N may use all: a single restoration already overlaps reading and
computing on two, so N free workers against one free worker would not be a fair question. Each run
starts its processes, as `nitido restore FOLDER` does. The runs take turns and the figures are
medians: a machine is not equally fast from one minute to the next.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from nitido.batch.job import Job
from nitido.batch.pool import run_pool
from nitido_lab.benchmark.faulty import write_piece
from nitido_lab.benchmark.tables import Table


@dataclass(frozen=True)
class Throughput:
    """What was measured.

    Attributes:
        workers: at once.
        pieces: for each worker, in each round.
        seconds: length of a piece.
        rounds: of all three, in turn.
        one: seconds of audio per second, one worker on one core.
        one_free: the same, on all cores.
        many: the same, all workers.
    """

    workers: int
    pieces: int
    seconds: float
    rounds: int
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


def measure(
    *, workers: int, pieces: int = 16, seconds: float = 30.0, rounds: int = 3
) -> Throughput:
    """Restore the same pieces by one worker and by many.

    Args:
        workers: processes.
        pieces: for each of them, in each round.
        seconds: length of a piece, 48 kHz stereo.
        rounds: of one worker on one core, one on all, and all workers, in turn.
    """
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        source = Path(folder, "piece.wav")
        write_piece(source, seconds / 60)
        ones, free, many = [], [], []
        for _ in range(rounds):
            with _one_core():
                ones.append(_rate(source, pieces, 1))
            free.append(_rate(source, pieces, 1))
            many.append(_rate(source, pieces * workers, workers))
    return Throughput(workers, pieces, seconds, rounds, median(ones), median(free), median(many))


def _rate(source: Path, pieces: int, workers: int) -> float:
    """Return seconds of audio per second."""
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        jobs = [Job(str(source), f"{folder}/{n}.wav") for n in range(pieces)]
        began = perf_counter()
        outcomes = run_pool(jobs, workers=workers, on_progress=lambda *_: None)
        done = sum(outcome.seconds for _, outcome in outcomes)
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
