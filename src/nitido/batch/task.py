"""What is to be done with a piece, and what became of it: plain data that travels as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nitido.errors import ConfigError, NitidoError
from nitido.jobs import STDIN, SUFFIXES, make_jobs
from nitido.output import check_outputs, output_files, resolved
from nitido.version import __version__

if TYPE_CHECKING:
    from nitido.restoration.plan import Plan

State = Literal["done", "unchanged", "failed", "busy"]
FORMS = (*SUFFIXES, None)
BIT_DEPTHS = (16, 24, 32, None)
PARTS = {  # of a sidecar
    **dict.fromkeys(("input", "plan", "before", "after", "request", "result"), dict),
    **dict.fromkeys(("changes", "sentences", "new_faults"), list),
}
DEFAULTS: dict[str, Any] = {  # of `nitido.restore`
    "preset": "musicgen",
    "stages": None,
    "without": [],
    "settings": {},
    "output_sample_rate": 48_000,
}


@dataclass(frozen=True)
class Request:
    """How a piece is to be restored and written.

    Attributes:
        choice: keyword arguments of `nitido.restore`: preset, stages, without, settings,
            output_sample_rate.
        plan: carry out this one; the choice is then not looked at.
        lent: more keyword arguments of `nitido.restore`, which the result does not depend on:
            places in this file system, devices.
        format: ``wav``, ``flac`` …; None: the suffix says it.
        bit_depth: of the result, or None for the format's own.
        removed: also write what was taken away.
        report: also write the page.
        stems: also write the stems.
        overwrite: replace results that exist already, whatever they are.
        resume: leave results alone that are what this request would give, make the others again.
    """

    choice: Mapping[str, Any] = field(default_factory=dict)
    plan: Plan | None = None
    lent: Mapping[str, Any] = field(default_factory=dict)
    format: str | None = None
    bit_depth: int | None = None
    removed: bool = False
    report: bool = False
    stems: bool = False
    overwrite: bool = False
    resume: bool = False

    @property
    def reading(self) -> dict[str, Any]:
        """What of it concerns how a file is read: keyword arguments of `open_source`."""
        return {key: self.lent[key] for key in ("max_seconds", "damaged") if key in self.lent}

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Everything in the request that the bytes of a result depend on, as JSON values."""
        how = {"choice": DEFAULTS | dict(self.choice)}
        if self.plan is not None:
            how = {"plan": self.plan.to_dict()}
        names = ("format", "bit_depth", "removed", "report", "stems")
        content = {**how, **{name: getattr(self, name) for name in names}}
        plain: dict[str, Any] = json.loads(json.dumps(content))  # tuples become lists
        return plain

    def gave(self, content: Mapping[str, Any], sha256: str) -> bool:
        """Return whether a sidecar tells of this request, this version and the input of that hash.

        Args:
            content: of the sidecar, see `nitido.output.read_content`.
            sha256: of the input, in hexadecimal.
        """
        return (
            all(isinstance(content.get(part), kind) for part, kind in PARTS.items())
            and content["input"].get("sha256") == sha256
            and content.get("nitido") == __version__
            and content.get("request") == self.fingerprint
        )

    def check(self) -> None:
        """Say before any work what is wrong with the request.

        Raises:
            ConfigError: a preset, stage, setting, format or bit depth that does not exist.
        """
        from nitido.restoration.preset import adjust, load_preset

        if self.format not in FORMS:
            raise ConfigError(f"The format is {self.format!r}; it is one of {', '.join(SUFFIXES)}.")
        if self.bit_depth not in BIT_DEPTHS:
            raise ConfigError(f"The bit depth is {self.bit_depth!r}; it is 16, 24 or 32.")
        if self.plan is None:
            adjust(
                load_preset(self.choice.get("preset", "musicgen")),
                stages=self.choice.get("stages"),
                without=list(self.choice.get("without", ())),
                settings=self.choice.get("settings"),
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the request as plain JSON values."""
        plan = None if self.plan is None else self.plan.to_dict()
        return {**vars(self), "plan": plan}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Request:
        """Return the request that `to_dict` gave."""
        from nitido.restoration.plan import Plan

        plan = content["plan"]
        return cls(**{**content, "plan": None if plan is None else Plan.from_dict(plan)})


@dataclass(frozen=True)
class Task:
    """One piece to restore.

    Attributes:
        source: file to read, or where fsspec finds it: ``s3://…``, ``gs://…``.
        output: file to write, likewise.
        request: how.
        place: name of the piece below the folder or list that it was found in; `shard` goes by it.
        name: of the piece in messages; the source if empty.
    """

    source: str
    output: str
    request: Request = field(default_factory=Request)
    place: str = ""
    name: str = ""

    @property
    def shown(self) -> str:
        """Name of the piece in messages."""
        return self.name or self.source

    @property
    def files(self) -> dict[str, str]:
        """The files that the result consists of, by kind; links followed."""
        output = self.output if is_remote(self.output) else str(resolved(Path(self.output)))
        request = self.request
        return output_files(
            output, removed=request.removed, stems=request.stems, report=request.report
        )

    def to_json(self) -> str:
        """Return the task as JSON text."""
        return json.dumps({**vars(self), "request": self.request.to_dict()})

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Return the task that `to_json` gave."""
        content = json.loads(text)
        return cls(**{**content, "request": Request.from_dict(content["request"])})


@dataclass(frozen=True)
class Outcome:
    """What became of a piece.

    Attributes:
        source: as in its task.
        output: as in its task.
        state: ``done``; ``unchanged``: the result was there and is what was asked for; ``failed``;
            ``busy``: another run is at work on it.
        seconds: length of the piece; 0 unless it is done.
        wall_seconds: that it took.
        error: why it failed, in one line.
        wrong_setting: it failed because of what was asked for, not because of the file.
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
    wrong_setting: bool = False
    trace: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)
    account: Sequence[str] = ()

    def to_json(self) -> str:
        """Return the outcome as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """Return the outcome that `to_json` gave."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        pieces: of the run.
        done: restored now.
        unchanged: left alone.
        failed: could not be restored.
        seconds: of audio restored so far, those of the pieces at work included.
        share: of the bytes that are to be restored, 0 to 1.
    """

    pieces: int
    done: int = 0
    unchanged: int = 0
    failed: int = 0
    seconds: float = 0.0
    share: float = 0.0


def make_tasks(
    inputs: Iterable[str],
    request: Request,
    *,
    output: str | None = None,
) -> list[Task]:
    """Return one task per piece, in the order given, folders sorted by name.

    Args:
        inputs: files, folders, globs, or folders and files that fsspec finds (``s3://…``).
        request: the same for all.
        output: a file, a folder or a pattern, see `nitido.jobs.make_jobs`.

    Raises:
        ConfigError: nothing to do, two pieces would get the same result, or standard streams.
        AudioWriteError: a result would be one of the inputs.
    """
    inputs = [local(name) for name in inputs]
    output = None if output is None else local(output)
    if any(map(is_remote, [*inputs, output or ""])):
        from nitido.batch.remote import find_pieces

        return find_pieces(inputs, request, output=output)
    tasks = []
    for job in make_jobs(inputs, output=output, format=request.format):
        if job.from_stdin or job.output is None:
            raise ConfigError(f"{STDIN!r} is a single stream; a run of many takes files.")
        tasks.append(Task(str(job.source), str(job.output), request, job.place))
    check_tasks(tasks)
    return tasks


def check_tasks(tasks: Iterable[Task]) -> None:
    """Say before any work what is wrong with the requests and the names of a run.

    Raises:
        ConfigError: see `Request.check`, or two files of results would lie in one place.
        AudioWriteError: a file would replace one of the inputs.
    """
    tasks = list(tasks)
    for request in {id(task.request): task.request for task in tasks}.values():
        request.check()
    check_outputs((task.source, task.files) for task in tasks)


def is_remote(name: str) -> bool:
    """Return whether a name is to be found by fsspec.

    >>> is_remote("s3://bucket/song.wav"), is_remote("songs/a.wav")
    (True, False)
    """
    scheme, mark, _ = name.partition("://")
    return bool(mark) and scheme.isalnum()


def local(name: str) -> str:
    """Return what fsspec knows as a file of this computer as a plain name; others as they are.

    >>> local("file:///songs/a.wav"), local("local://a.wav"), local("s3://bucket/a.wav")
    ('/songs/a.wav', 'a.wav', 's3://bucket/a.wav')
    """
    scheme, mark, place = name.partition("://")
    return place if mark and scheme.lower() in ("file", "local") else name


def explain(error: BaseException) -> str:
    """Return an error in one line; one that nitido did not foresee says what it is."""
    message = one_line(" ".join(str(error).split()))
    if isinstance(error, NitidoError):
        return message
    return f"unexpected {type(error).__name__}: {message}"


def one_line(text: str) -> str:
    r"""Return a text without line breaks and without commands to the terminal.

    >>> one_line("a\nb")
    'a\\nb'
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text
    )
