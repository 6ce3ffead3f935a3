"""Run a task: every system on every clip, in parallel, and never twice.

Each result is a small JSON file that appears whole or not at all, so a run that was stopped goes on
where it was. A result is used again while the clip, the system and the code are what they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import nitido
from nitido.audio import write, write_text
from nitido.cores import begin_in_a_pool, usable_cores
from nitido.dsp.wav import Wav
from nitido.errors import AudioWriteError, ConfigError, NitidoError
from nitido_lab.benchmark.clips import SAMPLE_RATE, Clip
from nitido_lab.benchmark.systems import Restored, System, fingerprint
from nitido_lab.benchmark.tasks import TASKS, judge

NOT_CODE = {".md", ".pyc"}  # model cards tell the figures: they must not change them
# On these no figure depends.
NOT_MEASURED = {"batch", "cli", "listening.py", "report", "training", "web"}
SOURCES = (Path(nitido.__file__).parent, Path(__file__).parents[1])


@dataclass(frozen=True)
class Result:
    """What one system did to one clip.

    Attributes:
        clip: its name.
        group: part of the task that the clip belongs to.
        system: its name.
        figures: by the keys of the task's measures; None where there is nothing to measure.
        notes: what the system says about its work.
        seconds: that the system took.
        error: why there are no figures; None if there are.
    """

    clip: str
    group: str
    system: str
    figures: Mapping[str, float | None]
    notes: Mapping[str, Any]
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class TaskResults:
    """A task that was run.

    Attributes:
        task: its name.
        results: of all clips and systems.
        left_out: systems and parts that could not run, with the reason.
        fresh: how many results were made now; the others are of earlier runs.
    """

    task: str
    results: tuple[Result, ...]
    left_out: Mapping[str, str]
    fresh: int


@dataclass(frozen=True)
class _Measurement:
    """One clip and the systems that have yet to hear it, as plain data."""

    task: str
    clip: Clip
    systems: tuple[System, ...]
    keys: tuple[str, ...]
    out: Path
    keep: bool
    visqol: bool = True


def run_task(
    name: str,
    *,
    folder: Path,
    systems: Sequence[System],
    out: Path,
    limit: int | None = None,
    workers: int | None = None,
    keep: bool = False,
    visqol: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> TaskResults:
    """Return what every system did to every clip of a task.

    Args:
        name: of the task.
        folder: of its clips.
        systems: the systems, nitido among them.
        out: folder of the results; made if it is not there.
        limit: at most so many files, spread over the folder.
        workers: processes at work; as many as there are cores if None.
        visqol: False leaves ViSQOL out, which takes longer than all else together.
        keep: also keep each clip as it went in, and what each system made of it.
        on_progress: called with `(done, total)` clips.

    Raises:
        AudioWriteError: the results cannot be written.
        ConfigError: no such task, or no clips for it.
    """
    if name not in TASKS:
        raise ConfigError(f"There is no task {name!r}; there are {', '.join(TASKS)}.")
    task = TASKS[name]
    clips = task.clips(folder, limit)
    reasons = {system.name: system.missing() for system in systems}
    usable = [system for system in systems if reasons[system.name] is None]
    left_out = {n: reason for n, reason in reasons.items() if reason} | dict(task.left_out())
    left_out |= {} if visqol else {"ViSQOL": "--no-visqol"}
    jobs = list(_jobs(name, clips, usable, out, keep, visqol))
    try:
        out.mkdir(parents=True, exist_ok=True)
        for system in usable:
            (out / name / system.name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioWriteError(f"The folder {out} cannot be made: {error.strerror}.") from None
    for done, _ in enumerate(_carry_out(jobs, workers)):
        if on_progress is not None:
            on_progress(len(clips) - len(jobs) + done + 1, len(clips))
    results = tuple(_read(_place(out, name, system, clip)) for clip in clips for system in usable)
    return TaskResults(name, results, left_out, sum(len(job.systems) for job in jobs))


def _jobs(
    task: str,
    clips: Sequence[Clip],
    systems: Sequence[System],
    out: Path,
    keep: bool,
    visqol: bool,
) -> Iterator[_Measurement]:
    for clip in clips:
        due = []
        for system in systems:
            key = _key(clip, system) + ("" if visqol else ", no ViSQOL")
            stored = _stored(_place(out, task, system, clip))
            kept = not keep or _audio(out, task, clip, system.name).exists()
            if stored.get("key") != key or stored.get("error") or not kept:
                due.append((system, key))
        if due:
            yield _Measurement(
                task, clip, tuple(r for r, _ in due), tuple(k for _, k in due), out, keep, visqol
            )


def _carry_out(jobs: Sequence[_Measurement], workers: int | None) -> Iterator[None]:
    workers = min(workers or usable_cores(), len(jobs))
    if workers < 2:
        for job in jobs:
            _work(job)
            yield
        return
    # Alone: librosa compiles on first use, and two processes at once spoil each other's cache.
    _work(jobs[0])
    yield
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=begin_in_a_pool) as pool:
        try:
            yield from pool.map(_work, jobs[1:])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _work(job: _Measurement) -> None:
    """Let the systems hear one clip, and write down what came of it."""
    task = TASKS[job.task]
    try:
        piece = replace(task.prepare(job.clip), visqol=job.visqol)
    except (NitidoError, OSError) as error:
        for system, key in zip(job.systems, job.keys, strict=True):
            _store(job, system, key, Result(*_of(job, system), {}, {}, 0.0, str(error)))
        return
    if job.keep:
        _keep(_audio(job.out, job.task, job.clip, "input"), piece.wav, piece.sample_rate)
        _keep(_audio(job.out, job.task, job.clip, "reference"), piece.reference, SAMPLE_RATE)
    for system, key in zip(job.systems, job.keys, strict=True):
        began = perf_counter()
        try:
            restored = system.restore(piece)
            seconds = perf_counter() - began
            figures = {**judge(task, piece, restored.wav), **_numbers(restored)}
            result = Result(*_of(job, system), figures, dict(restored.notes), seconds)
        except Exception as error:  # a system that fails is a result too, and stops no other
            message = " ".join(f"{type(error).__name__}: {error}".split())
            result = Result(*_of(job, system), {}, {}, perf_counter() - began, message)
        else:
            if job.keep:
                path = _audio(job.out, job.task, job.clip, system.name)
                _keep(path, restored.wav, SAMPLE_RATE)
        _store(job, system, key, result)


def _of(job: _Measurement, system: System) -> tuple[str, str, str]:
    return job.clip.name, job.clip.group, system.name


def _numbers(restored: Restored) -> dict[str, float | None]:
    """Return what a system says in numbers: figures like any other."""
    return {
        name: float(value)
        for name, value in restored.notes.items()
        if isinstance(value, int | float)
    }


def _place(out: Path, task: str, system: System, clip: Clip) -> Path:
    return out / task / system.name / f"{clip.name}.json"


def _audio(out: Path, task: str, clip: Clip, what: str) -> Path:
    return out / task / "audio" / what / f"{clip.name}.wav"


def _keep(path: Path, wav: Wav, sample_rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels, samples = wav.shape
    write(
        path,
        [wav],
        sample_rate=sample_rate,
        channels=channels,
        samples=samples,
        bit_depth=32,
        overwrite=True,
    )


def _store(job: _Measurement, system: System, key: str, result: Result) -> None:
    text = json.dumps({"key": key, **asdict(result)}, indent=1, ensure_ascii=False)
    write_text(_place(job.out, job.task, system, job.clip), text + "\n", overwrite=True)


def _stored(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _read(path: Path) -> Result:
    stored = _stored(path)
    stored.pop("key", None)
    return Result(**stored)


def _key(clip: Clip, system: System) -> str:
    """Return what a result depends on, as a hash."""
    depends = [
        code(),
        _file_hash(clip.path),
        _file_hash(clip.reference) if clip.reference else "",
        str((clip.group, clip.start_seconds, clip.seconds, clip.lag_seconds)),
        system.name,
        fingerprint(system, clip.name),
    ]
    return hashlib.sha256(json.dumps(depends).encode()).hexdigest()


@cache
def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code() -> str:
    """Return a hash of everything in nitido and here that a figure can depend on."""
    total = hashlib.sha256()
    for root in SOURCES:
        for path in sorted(root.rglob("*")):
            inside = path.relative_to(root)
            counts = path.suffix not in NOT_CODE and inside.parts[0] not in NOT_MEASURED
            if path.is_file() and counts:
                total.update(inside.as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()
