"""One piece to restore: what is asked of it, doing it, and what became of it.

A job and its outcome are plain data that travels as JSON.
"""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from nitido.batch.names import STREAM, SUFFIXES, is_remote
from nitido.errors import AudioWriteError, ConfigError, explain
from nitido.output import Reservation, reserve
from nitido.restoration.restore_options import RestoreOptions
from nitido.result_files import check_outputs, check_writable, output_files, read_sidecar, resolved
from nitido.version import __version__

if TYPE_CHECKING:
    from nitido.audio import Source
    from nitido.restored import Restoration

OnProgress = Callable[[float, float], None]
State = Literal["done", "unchanged", "failed", "busy"]
WAIT_SECONDS = 0.2  # between two looks at whether another run has finished
BIT_DEPTHS = (16, 24, 32)
_REPLACE = "`overwrite=True` replaces it"
_PARTS = {  # of a sidecar
    **dict.fromkeys(("input", "plan", "before", "after", "request", "result"), dict),
    **dict.fromkeys(("changes", "sentences", "new_faults", "no_faults"), list),
    "nitido": str,
}


@dataclass(frozen=True)
class Job:
    """One piece to restore: which, how, and where its result goes.

    Attributes:
        source: file to read, or where fsspec finds it: ``s3://…``, ``gs://…``; ``-`` is standard
            input.
        output: file to write, likewise; ``-`` is standard output.
        options: how it is restored.
        format: ``wav``, ``flac`` …; None: the suffix says it.
        bit_depth: of the result, or None for the format's own.
        removed: also write what was taken away.
        report: also write the page.
        overwrite: replace results that exist already, whatever they are.
        resume: leave results alone that are what this job would give, make the others again.
        place: name of the piece below the folder or list that it was found in; `shard` goes by it.
        name: of the piece in messages; the source if empty.
    """

    source: str = ""
    output: str = ""
    options: RestoreOptions = field(default_factory=RestoreOptions)
    format: str | None = None
    bit_depth: int | None = None
    removed: bool = False
    report: bool = False
    overwrite: bool = False
    resume: bool = False
    place: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        """Check how the result is to be written.

        Raises:
            ConfigError: a format or bit depth that does not exist.
        """
        if self.format not in (*SUFFIXES, None):
            raise ConfigError(f"The format is {self.format!r}; it is one of {', '.join(SUFFIXES)}.")
        if self.bit_depth not in (*BIT_DEPTHS, None):
            raise ConfigError(f"The bit depth is {self.bit_depth!r}; it is 16, 24 or 32.")

    @property
    def suffix(self) -> str:
        """Of results that nobody named."""
        return SUFFIXES[self.format or "wav"]

    @property
    def shown(self) -> str:
        """Name of the piece in messages."""
        return self.name or self.source

    @property
    def files(self) -> dict[str, str]:
        """The files that the result consists of, by kind; links followed."""
        output = self.output if is_remote(self.output) else str(resolved(Path(self.output)))
        return output_files(
            output, removed=self.removed, stems=self.options.stems, report=self.report
        )

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Everything in the job that the bytes of a result depend on, as JSON values."""
        plan = self.options.plan
        content = {
            **({"choice": self.options.choice} if plan is None else {"plan": plan.to_dict()}),
            **{name: getattr(self, name) for name in ("format", "bit_depth", "removed", "report")},
            "stems": self.options.stems,
            **({"album": True} if self.options.album else {}),
        }
        plain: dict[str, Any] = json.loads(json.dumps(content))  # tuples become lists
        return plain

    def gave(self, content: Mapping[str, Any], sha256: str) -> bool:
        """Return whether a sidecar tells of this job, this version and the input of that hash.

        Args:
            content: of the sidecar, see `nitido.result_files.read_content`.
            sha256: of the input, in hexadecimal.
        """
        return (
            _is_whole(content)
            and content["input"].get("sha256") == sha256
            and content["nitido"] == __version__
            and content["request"] == self.fingerprint
        )

    def to_json(self) -> str:
        """Return the job as JSON text."""
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        return json.dumps({**content, "options": self.options.to_dict()})

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Return the job that `to_json` gave."""
        content = json.loads(text)
        return cls(**{**content, "options": RestoreOptions.from_dict(content["options"])})


@dataclass(frozen=True)
class Outcome:
    """What became of a piece.

    Attributes:
        source: as in its job.
        output: as in its job.
        state: ``done``; ``unchanged``: the result was there and is what was asked for; ``failed``;
            ``busy``: another run is at work on it.
        seconds: length of the piece; 0 unless it is done.
        wall_seconds: that it took.
        error: why it failed, in one line.
        trace: where it failed, for those who mend nitido.
        content: of the sidecar.
        account: what was found and done, a line each.
    """

    source: str
    output: str
    state: State
    seconds: float = 0.0
    wall_seconds: float = 0.0
    error: str | None = None
    trace: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)
    account: Sequence[str] = ()

    def entry(self, job: Job) -> dict[str, Any]:
        """Return what became of the piece of a job as plain JSON values, as programs get it."""
        if self.error is not None:
            return {"file": job.shown, "output": job.output, "error": self.error}
        return {
            "file": job.shown,
            "output": job.output,
            **{kind: job.files.get(kind) for kind in ("removed", "report", "stems")},
            "unchanged": self.state == "unchanged",
            "wall_seconds": round(self.wall_seconds, 3),
            **self.content,
        }

    def to_json(self) -> str:
        """Return the outcome as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Return the outcome that `to_json` gave."""
        return cls(**json.loads(text))


def check_jobs(jobs: Iterable[Job]) -> None:
    """Say before any work what is wrong with the names of a run.

    Raises:
        ConfigError: two files of results would lie in one place, or a standard stream is named.
        AudioWriteError: a file would replace one of the inputs.
    """
    jobs = list(jobs)
    if any(STREAM in (job.source, job.output) for job in jobs):
        raise ConfigError(f"{STREAM!r} is a single stream; a run of many takes files.")
    check_outputs((job.source, job.files) for job in jobs)


def carry_out(
    job: Job,
    *,
    on_progress: OnProgress | None = None,
    wait: bool = False,
    again: bool = False,
) -> Outcome:
    """Restore a piece, write the result and its sidecar, and return what was done.

    Args:
        job: the piece.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work, and
            nothing is left of it.
        wait: until another run has finished the same result; else its state is ``busy``.
        again: an earlier try may have finished it unseen: a result that is what this job asks for
            counts as done.

    Raises:
        NitidoError: as `nitido.restore` and `Restoration.write`; the input changed meanwhile.
    """
    if is_remote(job.source) or is_remote(job.output):
        return _carry_out_elsewhere(job, on_progress=on_progress, wait=wait, again=again)
    from nitido.audio import open_source

    began = perf_counter()
    check_outputs([(job.source, job.files)])
    source = open_source(job.source, **job.options.reading)
    target = Path(job.files["audio"])
    _make_folder(target.parent)
    while (reserved := reserve(target)) is None:
        if not wait:
            return Outcome(job.source, job.output, "busy")
        time.sleep(WAIT_SECONDS)
    with reserved:
        content = read_sidecar(target)
        if (job.resume or again) and is_done(job, content, source.sha256):
            return _outcome(job, "unchanged", content, began)
        overwrite = job.overwrite or (job.resume and bool(content))
        remedy = _REPLACE if job.resume else f"`resume=True` keeps it if up to date, {_REPLACE}"
        check_writable(job.files, overwrite=overwrite, remedy=remedy)
        content, account = _restore(job, source, reserved, on_progress)
        reserved.publish(overwrite=overwrite)
    return _outcome(job, "done", content, began, account)


def _carry_out_elsewhere(job: Job, **options: Any) -> Outcome:
    """Fetch the piece, restore it here, send the result."""
    from nitido.batch.remote import fetch, send, workshop

    with workshop() as (fetched, made):
        here = replace(job, name=job.shown)
        if is_remote(job.source):
            here = replace(here, source=str(fetch(job.source, fetched)))
        if is_remote(job.output):
            content = _unchanged_elsewhere(job, Path(here.source))
            if content is not None:
                return Outcome(job.source, job.output, "unchanged", content=content)
            here = replace(here, output=str(made / PurePosixPath(job.output).name))
        outcome = carry_out(here, **options)
        if is_remote(job.output):
            send(Path(here.output), job.output)
    return replace(outcome, source=job.source, output=job.output)


def _unchanged_elsewhere(job: Job, source: Path) -> dict[str, Any] | None:
    """Return the sidecar of a result elsewhere if it is what was asked for, else None.

    The result itself is not fetched: its size has to be right.

    Args:
        job: the piece.
        source: its input, here.

    Raises:
        AudioWriteError: there is another result, which may not be replaced.
    """
    from nitido.batch.remote import look_up

    content, size = look_up(job.output)
    same = job.gave(content, _sha256(source)) and content["result"].get("bytes") == size
    if job.resume and same:
        return content
    replaceable = job.overwrite or (job.resume and bool(content))
    if size is not None and not replaceable:
        raise AudioWriteError(f"{job.output} exists already; {_REPLACE}.")
    return None


def attempt(job: Job, **options: Any) -> Outcome:
    """Return what `carry_out` does, or why it failed."""
    began = perf_counter()
    try:
        return carry_out(job, **options)
    except Exception as error:
        return Outcome(
            job.source,
            job.output,
            "failed",
            wall_seconds=perf_counter() - began,
            error=explain(error),
            trace=traceback.format_exc(),
        )


def is_done(job: Job, content: Mapping[str, Any], sha256: str) -> bool:
    """Return whether a result is there, whole, and what the job would give.

    Args:
        job: the piece.
        content: of the sidecar that is there.
        sha256: of the input, in hexadecimal.
    """
    if not job.gave(content, sha256):
        return False
    if not all(Path(file).exists() for file in job.files.values()):
        return False
    return bool(content["result"].get("sha256") == _sha256(Path(job.files["audio"])))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _restore(
    job: Job, source: Source, reserved: Reservation, on_progress: OnProgress | None
) -> tuple[dict[str, Any], list[str]]:
    """Write everything into the reserved folder; return the sidecar, and an account."""
    from nitido import api

    return _fill(job, api.restore_with(job.options, source, on_progress=on_progress), reserved)


def carry_out_album(jobs: Sequence[Job], *, on_progress: OnProgress | None = None) -> list[Outcome]:
    """Restore the pieces of an album, all at one gain, and write them together.

    Args:
        jobs: the pieces, with the same options.
        on_progress: called with `(done_seconds, total_seconds)` of the album; what it raises stops
            the work, and nothing is left of it.

    Raises:
        ConfigError: the pieces have different options, or one is not on this machine.
        NitidoError: as `carry_out`; one piece that fails ends the album, and nothing is written.
    """
    from nitido import api
    from nitido.audio import MAX_SECONDS, open_source

    began = perf_counter()
    check_jobs(jobs)
    options = jobs[0].options
    if any(job.options != options for job in jobs):
        raise ConfigError("An album has one gain, so its pieces take the same preset and settings.")
    if far := next((n for job in jobs for n in (job.source, job.output) if is_remote(n)), None):
        raise ConfigError(f"{far} is not on this machine; an album is restored here as a whole.")
    most = options.max_seconds or MAX_SECONDS
    sources = [open_source(job.source, max_seconds=most) for job in jobs]
    with ExitStack() as stack:
        reservations = []
        for job in jobs:
            target = Path(job.files["audio"])
            _make_folder(target.parent)
            reserved = reserve(target)
            if reserved is None:
                raise AudioWriteError(
                    f"Another run is at work on {job.output}; wait until it ends."
                )
            reservations.append(stack.enter_context(reserved))
            check_writable(job.files, overwrite=job.overwrite)
        told = []
        restorations = api.restore_album_with(options, sources, on_progress=on_progress)
        for job, reserved, restoration in zip(jobs, reservations, restorations, strict=True):
            with restoration:
                told.append(_fill(job, restoration, reserved))
        for job, reserved in zip(jobs, reservations, strict=True):
            reserved.publish(overwrite=job.overwrite)
    outcomes = [
        _outcome(job, "done", content, began, account)
        for job, (content, account) in zip(jobs, told, strict=True)
    ]
    whole = sum(outcome.seconds for outcome in outcomes)
    took = perf_counter() - began  # of which each piece has its share
    return [replace(one, wall_seconds=took * one.seconds / whole) for one in outcomes]


def _fill(
    job: Job, restoration: Restoration, reserved: Reservation
) -> tuple[dict[str, Any], list[str]]:
    """Write everything into the reserved folder; return the sidecar, and an account."""
    content = reserved.fill(
        restoration,
        removed=job.removed,
        stems=job.options.stems,
        report=job.report,
        request=job.fingerprint,
        format=job.format,
        bit_depth=job.bit_depth,
    )
    stages = [step.stage for step in restoration.plan.steps if step.on]
    ran = [f"stages: {', '.join(stages)}."] if stages else []
    return content, [*restoration.sentences(), *ran]


def _outcome(
    job: Job, state: Any, content: Mapping[str, Any], began: float, account: Any = ()
) -> Outcome:
    before = content["before"] if state == "done" else {"samples": 0, "sample_rate": 1}
    return Outcome(
        job.source,
        job.output,
        state,
        seconds=before["samples"] / before["sample_rate"],
        wall_seconds=perf_counter() - began,
        content=content,
        account=account,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioWriteError(f"The folder {folder} cannot be made: {error.strerror}.") from error


def _is_whole(content: Mapping[str, Any]) -> bool:
    """Return whether a sidecar has all of its parts, and each can be read."""
    from nitido.diagnosis.finding import Diagnosis
    from nitido.restoration.plan import Plan

    if not all(isinstance(content.get(part), kind) for part, kind in _PARTS.items()):
        return False
    try:
        Plan.from_dict(content["plan"])
        Diagnosis.from_dict(content["before"])
        Diagnosis.from_dict(content["after"])
    except ConfigError:
        return False
    return True
