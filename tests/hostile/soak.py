"""Throw spoiled files and plans at nitido: `python -m tests.hostile.soak --inputs 100000`.

A child process does the work, so that a crash or a hang is seen and its input known: the same seed
and number give the same input again (`--seed 0 --start NUMBER --inputs 1`). Prints its figures.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TextIO, TypeAlias

import numpy as np
from tests.hostile.mutations import spoiled_json, spoiled_sound
from tests.signals import pink_noise

import nitido
from nitido.audio import FileSource
from nitido.batch.job import Job
from nitido.batch.manifest import read_manifest
from nitido.errors import NitidoError
from nitido.restoration.plan import Plan
from nitido.restoration.registry import STAGES
from nitido.result_files import SIDECAR, read_sidecar

Attempt: TypeAlias = Callable[[int, int, Path], str]

HANG_SECONDS = 10.0
MEMORY_MAX_BYTES = (
    6 * 2**30
)  # of the child: what takes more is a failure, not the end of the machine
MAX_SECONDS = 60.0  # of sound
RATES_HZ = (48_000, 16_000, 96_000)  # of the sounds that plans are carried out on
NEEDS_WEIGHTS = ("stems",)
LINES: tuple[dict[str, Any], ...] = (
    {"input": "a.wav", "output": "a.flac"},
    {"input": "b.wav", "output": "x/b.wav", "preset": "gentle", "settings": {"decomb.amount": 0.5}},
    {"input": "c.wav", "output": "c.wav", "plan": {"steps": [{"stage": "decomb"}]}},
    {"input": "d.wav", "output": "d.wav", "plan": "a.wav.nitido.json"},
)
START_SECONDS = 60.0  # for the child to import what it needs


class _Place(ctypes.Structure):
    """Number of the input at work, and since when; in memory that a dead child leaves readable."""

    _fields_ = (("number", ctypes.c_int64), ("since", ctypes.c_double))


@dataclass
class Figures:
    """What became of the inputs."""

    inputs: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    slowest_seconds: float = 0.0  # of processor time
    slowest_input: int = -1
    peak_mib: float = 0.0  # resident memory over that before the input
    peak_input: int = -1
    faults: list[str] = field(default_factory=list)

    def count(self, outcome: str) -> None:
        """Add an input."""
        self.inputs += 1
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def text(self) -> str:
        """Return the figures as JSON."""
        return json.dumps(vars(self), indent=1, ensure_ascii=False)


def attempt(number: int, seed: int, folder: Path) -> str:
    """Give one input to nitido; return what became of it, or raise what is no `NitidoError`."""
    kind = {7: "list", 8: "drawn plan", 9: "plan"}.get(number % 10, "sound")
    try:
        rng = np.random.default_rng([seed, number])
        if kind == "sound":
            _sound(number, seed, folder)
        elif kind == "list":
            _list(rng, folder)
        else:
            _carry_out(_spoiled_plan(rng) if kind == "plan" else _drawn_plan(rng), number)
    except NitidoError as error:
        if "\n" in str(error) or len(str(error)) > 600:
            raise ValueError(f"no sentence: {str(error)[:200]!r}") from error
        return f"{kind} refused"
    return f"{kind} accepted"


def _sound(number: int, seed: int, folder: Path) -> None:
    name, content = spoiled_sound(number, seed)
    path = folder / name
    path.write_bytes(content)
    source = FileSource(path, max_seconds=MAX_SECONDS)
    count = sum(block.shape[1] for block in source.blocks())
    if count != source.samples:
        raise ValueError(f"{source.samples} samples promised, {count} came")
    if number % 20 == 0 and count * source.channels < 2**20:
        result = nitido.restore(path) if number % 100 == 0 else None
        if result is not None:
            result.write(folder / "result.wav", overwrite=True)
        else:
            json.dumps(nitido.diagnose(path).to_dict(), allow_nan=False)


@cache
def _plans() -> tuple[Any, ...]:
    """Return the contents of a sidecar and of plans, for a sound that needs most stages."""
    wav = _sounds()[1]
    found = [nitido.restore(wav, sample_rate=16_000, preset="musicgen").sidecar()]
    return (
        *found,
        *(
            nitido.plan(nitido.diagnose(wav, sample_rate=16_000), preset=p).to_dict()
            for p in ("musicgen", "gentle", "master")
        ),
    )


@cache
def _sounds() -> tuple[Any, ...]:
    loud = pink_noise(seconds=0.4, sample_rate=16_000, channels=2, rms=0.4) + np.float32(0.05)
    five = pink_noise(seconds=0.01, sample_rate=96_000, channels=5)
    return pink_noise(seconds=0.1, sample_rate=48_000), np.clip(loud, -0.8, 0.8), five


def _list(rng: np.random.Generator, folder: Path) -> None:
    """Read a spoiled list of pieces, and a spoiled sidecar as `--resume` does."""
    sidecar = folder / f"a.wav{SIDECAR}"
    sidecar.write_text(spoiled_json(_plans()[0], rng), "utf-8", "replace")
    Job().gave(read_sidecar(folder / "a.wav"), "0")
    lines = [spoiled_json(LINES[rng.integers(len(LINES))], rng) for _ in range(3)]
    path = folder / "list.jsonl"
    path.write_text("\n".join(line.replace("\n", " ") for line in lines), "utf-8", "replace")
    for job in read_manifest(path, Job(), output=str(folder / "out")):
        if not Path(job.output).resolve().is_relative_to((folder / "out").resolve()):
            raise ValueError(f"{job.output} lies outside the folder")


def _spoiled_plan(rng: np.random.Generator) -> str:
    contents = _plans()
    return spoiled_json(contents[rng.integers(len(contents))], rng)


def _drawn_plan(rng: np.random.Generator) -> str:
    """Return a plan whose settings all are of the right kind and in range, however unlikely."""
    steps = []
    for name, stage in STAGES.items():
        count = int(rng.choice([0, 1, 2, 3, 100]))  # of all lists
        settings = {
            key: _drawn(rng, setting.default, setting.range, setting.nullable, count)
            for key, setting in stage.schema.items()
            if isinstance(setting.default, list) or rng.random() < 0.6
        }
        on = bool(rng.random() < 0.5) and name not in NEEDS_WEIGHTS
        steps.append({"stage": name, "on": on, "settings": settings})
    rate = int(rng.choice([8000, 16_000, 44_100, 48_000, 192_000]))
    return json.dumps({"sample_rate": rate, "budget_db": -60, "steps": steps})


def _drawn(rng: np.random.Generator, default: Any, limits: Any, nullable: bool, count: int) -> Any:
    if isinstance(default, str) or (nullable and rng.random() < 0.3):
        return default if isinstance(default, str) else None
    if isinstance(default, bool):
        return bool(rng.integers(2))
    if isinstance(default, list):
        return [_drawn(rng, 0.0, limits, nullable, 0) for _ in range(count)]
    low, high = limits or (-1e6, 1e6)
    return float(rng.choice([low, high, rng.uniform(low, high), min(max(0.0, low), high)]))


def _carry_out(text: str, number: int) -> None:
    plan = Plan.from_json(text)
    if Plan.from_json(plan.to_json()) != plan:
        raise ValueError("the plan does not survive JSON")
    if any(plan[name].on for name in NEEDS_WEIGHTS):
        return
    turn = number // 10 % 3
    result = nitido.restore(_sounds()[turn], sample_rate=RATES_HZ[turn], plan=plan)
    json.dumps(result.sidecar(), allow_nan=False)
    if not np.isfinite(result.wav).all():
        raise ValueError("the result is not finite")


def _work(pipe: Connection, place: Any, work: Attempt, seed: int, start: int, stop: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # decoders written in C say what they think
    warnings.simplefilter("error")
    _plans(), _sounds()  # made once, at no input's cost
    with tempfile.TemporaryDirectory() as folder:
        for number in range(start, stop):
            place.number, place.since = number, time.monotonic()
            before, worked = _reset_peak(), time.process_time()
            try:
                outcome = work(number, seed, Path(folder))
            except BaseException as error:
                outcome = f"FAULT {type(error).__name__}: {str(error)[:200]} {_where(error)}"
            pipe.send((number, outcome, time.process_time() - worked, _peak() - before))
    pipe.send(None)


def _where(error: BaseException) -> str:
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return "<".join(reversed(places[-4:]))


def _reset_peak() -> float:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> float:
    """Return the peak resident memory since it was reset, MiB; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0


def run(
    inputs: int,
    *,
    seed: int = 0,
    start: int = 0,
    work: Attempt = attempt,
    hang_seconds: float = HANG_SECONDS,
    log: TextIO | None = None,
) -> Figures:
    """Work through inputs `start` to `start + inputs`; return the figures."""
    figures = Figures()
    next_input, stop = start, start + inputs
    context = multiprocessing.get_context("spawn")
    while next_input < stop:
        place = context.RawValue(_Place, next_input, time.monotonic() + START_SECONDS)
        receiving, sending = context.Pipe(duplex=False)
        child = context.Process(target=_work, args=(sending, place, work, seed, next_input, stop))
        child.start()
        sending.close()
        why = _listen(receiving, place, hang_seconds, figures, log)
        if why == "hang":
            child.kill()
        child.join()
        number = place.number
        if why != "done":
            figures.faults.append(f"{number}: {why}, exit status {child.exitcode}")
            figures.count(f"FAULT {why}")
        next_input = number + 1
    return figures


def _listen(
    pipe: Connection, place: Any, hang_seconds: float, figures: Figures, log: TextIO | None
) -> str:
    """Take what the child reports until it is done, has crashed, or hangs; return which."""
    while True:
        if not pipe.poll(0.5):
            if time.monotonic() - place.since > hang_seconds * _crowd():
                return "hang"
            continue
        try:
            report = pipe.recv()
        except EOFError:
            return "crash"
        if report is None:
            return "done"
        number, outcome, seconds, mib = report
        figures.count(outcome.partition(":")[0])
        if outcome.startswith("FAULT"):
            figures.faults.append(f"{number}: {outcome}")
        if seconds > figures.slowest_seconds:
            figures.slowest_seconds, figures.slowest_input = seconds, number
        if mib > figures.peak_mib:
            figures.peak_mib, figures.peak_input = mib, number
        if log is not None and figures.inputs % 1000 == 0:
            log.write(figures.text() + "\n")


def _crowd() -> float:
    """Return how many want each core: on a busy machine, slow is no hang."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 1.0
    return max(1.0, load / (os.cpu_count() or 1))


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    chosen = parser.parse_args()
    figures = run(chosen.inputs, seed=chosen.seed, start=chosen.start, log=sys.stderr)
    sys.stdout.write(figures.text() + "\n")


if __name__ == "__main__":
    main()
