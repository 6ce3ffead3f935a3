"""What a piece costs when there are many: time, memory and start-up by the number of pieces.

Each run is the command that a user gives, `nitido restore FOLDER -o OUT --workers N`, in a process
of its own. What it takes is a start, once, and so much per piece: the line through its runs tells
both, and from that slope what a million pieces cost (docs/scale.md).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nitido.errors import NitidoError, one_line
from nitido_lab.benchmark.faulty import write_piece
from nitido_lab.benchmark.tables import Table

SIZES = (10, 100)
RESULT_BYTES = 250_000  # of a second of 48 kHz stereo as 24-bit FLAC, and some to spare
PROGRAM = "import sys; from nitido.cli import main; main(sys.argv[1:])"
# A small process in between: on Linux the peak memory of a process starts at that of its parent.
LAUNCHER = """\
import os, subprocess, sys
from time import perf_counter
began = perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(abs(os.waitstatus_to_exitcode(status)))
"""


@dataclass(frozen=True)
class Run:
    """One run over a folder.

    Attributes:
        pieces: in the folder.
        workers: processes at once.
        seconds: from start to end.
        processor_seconds: of all processes together.
        memory_mib: peak of the largest of them.
    """

    pieces: int
    workers: int
    seconds: float
    processor_seconds: float
    memory_mib: float


@dataclass(frozen=True)
class Scale:
    """What was measured.

    Attributes:
        piece_seconds: length of a piece.
        runs: smallest first, for each number of workers.
    """

    piece_seconds: float
    runs: tuple[Run, ...]

    def line(self, workers: int) -> tuple[float, float]:
        """Return what a run with so many workers takes at its start, and for each piece, s."""
        runs = [run for run in self.runs if run.workers == workers]
        sizes, times = np.array([(run.pieces, run.seconds) for run in runs]).T
        if len(runs) == 1:
            return 0.0, float(times[0] / sizes[0])
        # Each run counts alike, whatever its size: the errors are a share of the time.
        each, start = np.polyfit(sizes, times, 1, w=1 / times)
        return max(0.0, float(start)), float(each)

    def start_share(self, run: Run) -> float:
        """Return the share of a run's time that went by before its first piece, 0 to 1."""
        return min(1.0, self.line(run.workers)[0] / run.seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        workers = sorted({run.workers for run in self.runs})
        lines = {str(count): self.line(count) for count in workers}
        rows = [{**asdict(run), "start_share": self.start_share(run)} for run in self.runs]
        return {
            "piece_seconds": self.piece_seconds,
            "runs": rows,
            "start_seconds": {count: line[0] for count, line in lines.items()},
            "seconds_per_piece": {count: line[1] for count, line in lines.items()},
        }

    def table(self) -> Table:
        """Return the figures as they are shown."""
        heads = ("pieces × workers", "time, s", "processor per piece, s", "real time", "start")
        rows = tuple(
            (
                f"{run.pieces} × {run.workers}",
                f"{run.seconds:.1f}",
                f"{run.processor_seconds / run.pieces:.2f}",
                f"{run.pieces * self.piece_seconds / run.seconds:.0f}×",
                f"{self.start_share(run):.0%}",
                f"{run.memory_mib:.0f}",
            )
            for run in self.runs
        )
        return Table("scale", (*heads, "memory, MiB"), rows)

    def plot(self, path: Path) -> None:
        """Draw time, memory and the share of the start by the number of pieces into a file."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 3.2), layout="constrained")
        axes = figure.subplots(1, 3)
        for workers in sorted({run.workers for run in self.runs}):
            runs = [run for run in self.runs if run.workers == workers]
            sizes, label = [run.pieces for run in runs], f"{workers} worker(s)"
            axes[0].loglog(sizes, [run.seconds for run in runs], "o-", label=label)
            axes[1].semilogx(sizes, [run.memory_mib for run in runs], "o-", label=label)
            axes[2].semilogx(sizes, [100 * self.start_share(run) for run in runs], "o-")
        titles = ("time, s", "memory of a process, MiB", "start, %")
        for axis, title in zip(axes, titles, strict=True):
            axis.set(title=title, xlabel="pieces")
            axis.set_ylim(bottom=None if title.startswith("time") else 0)
        axes[0].legend()
        figure.savefig(path, dpi=120)


def measure(
    *, sizes: Sequence[int] = SIZES, workers: Sequence[int] = (1, 2), piece_seconds: float = 10.0
) -> Scale:
    """Restore folders of the same piece.

    Args:
        sizes: numbers of pieces in a folder.
        workers: numbers of processes.
        piece_seconds: length of a piece, 48 kHz stereo.

    Raises:
        NitidoError: the results would fill the disk, or a run failed.
    """
    needed, free = max(sizes) * piece_seconds * RESULT_BYTES, _free_bytes()
    if needed > free:
        raise NitidoError(
            f"The results of {max(sizes)} pieces take {needed / 1e9:.1f} GB while they are made, "
            f"and {tempfile.gettempdir()} has {free / 1e9:.1f}; make room, or give fewer pieces."
        )
    runs = _runs(sorted(set(sizes)), sorted(set(workers)), piece_seconds)
    return Scale(piece_seconds, tuple(runs))


def _free_bytes() -> int:
    return shutil.disk_usage(tempfile.gettempdir()).free


def _runs(sizes: Sequence[int], workers: Sequence[int], piece_seconds: float) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        source = Path(folder, "piece.wav")
        write_piece(source, piece_seconds / 60)
        for count in workers:
            for size in sizes:
                pieces = Path(folder, f"{size}")
                pieces.mkdir(exist_ok=True)
                for number in range(size):
                    place = pieces / f"{number:06}.wav"
                    if not place.exists():
                        os.link(source, place)
                yield _run(pieces, size, count)


def _run(pieces: Path, size: int, workers: int) -> Run:
    """Return what it takes to restore a folder; the results go as they came."""
    with tempfile.TemporaryDirectory(prefix="nitido-") as out:
        command = [sys.executable, "-c", PROGRAM, "restore", str(pieces), "-o", out]
        command += ["--workers", str(workers), "--format", "flac", "--json"]
        launched = [sys.executable, "-c", LAUNCHER, *command]
        done = subprocess.run(launched, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise NitidoError(
            f"nitido restore of {size} pieces with {workers} workers ended with "
            f"{done.returncode}, so nothing is measured; it said: {one_line(done.stderr.strip())}"
        )
    took, work, peak = map(float, done.stdout.split())
    memory = peak / (2**20 if sys.platform == "darwin" else 2**10)
    return Run(size, workers, took, work, memory)
