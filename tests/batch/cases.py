"""Pieces, runs in processes of their own, and what they leave: shared by the tests of the batch."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import soundfile as sf
from tests.signals import pink_noise

from nitido.batch import Job, Outcome, RestoreOptions, make_jobs, restore_many

PROGRAM = "import sys; from nitido.cli import main; main(sys.argv[1:])"
COMMAND = [sys.executable, "-c", PROGRAM, "restore"]
SAMPLE_RATE = 32_000


def make_pieces(folder: Path, count: int, *, seconds: float = 1.0) -> list[Path]:
    """Write quiet pieces that nitido has something to do for, every other one in a folder below."""
    paths = []
    for number in range(count):
        path = folder / ("below" if number % 2 else "") / f"piece{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wav = pink_noise(seconds=seconds, sample_rate=SAMPLE_RATE, rms=0.02, seed=number)
        sf.write(path, wav.T, SAMPLE_RATE)
        paths.append(path)
    return paths


def how(**given: Any) -> Job:
    """Return a job without names; choices of the restoration may stand among its fields."""
    chosen = {name: given.pop(name) for name in vars(RestoreOptions()).keys() & given.keys()}
    return Job(options=RestoreOptions(**chosen), **given)


def jobs_of(folder: Path, output: Path, **given: Any) -> list[Job]:
    return make_jobs([str(folder)], how(**given), output=f"{output}/")


def run_all(folder: Path, output: Path, **options: Any) -> list[Outcome]:
    """Restore a folder in this process."""
    return list(restore_many(jobs_of(folder, output, **options)))


def start(*arguments: str, cwd: Path, before: str = "", **options: Any) -> subprocess.Popen[str]:
    """Start `nitido restore` in a process group of its own, one thread for matrix products.

    `before` is a program that its process runs first: it may break what lies below.
    """
    return subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{PROGRAM}", "restore", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def run(*arguments: str, cwd: Path, **options: Any) -> tuple[int, str, str]:
    """Run `nitido restore`; return its exit status, what it printed, and its errors."""
    process = start(*arguments, cwd=cwd, **options)
    try:
        said, errors = process.communicate(timeout=280)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.returncode, said, errors


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def holders(folder: Path) -> list[int]:
    """Return the processes that are at work on a result below the folder."""
    found = []
    for place, _, names in os.walk(folder):  # unlike rglob, at ease with what vanishes meanwhile
        if place.endswith(".nitido") and "lock" in names:
            with contextlib.suppress(OSError, IndexError):
                found.append(int(Path(place, "lock").read_text().split()[0]))
    return found


def wait_for_work(
    folder: Path,
    *,
    but: Sequence[int] = (),
    seconds: float = 60.0,
    run: subprocess.Popen[str] | None = None,
) -> int:
    """Return a process that is at work below the folder, as soon as there is one.

    If `run` ends first, the test fails with what it said.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for process in holders(folder):
            if process not in but:
                return process
        if run is not None and run.poll() is not None:
            raise AssertionError(run.communicate())
        time.sleep(0.005)
    raise AssertionError("nothing is at work")


def is_running(process: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
