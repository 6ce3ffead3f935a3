"""A run over many pieces, in this process or in several: one that fails does not stop it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from nitido.batch.job import Job, Outcome, attempt, check_jobs
from nitido.batch.pool import run_pool
from nitido.errors import ConfigError


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


OnProgress = Callable[[Progress], None]


def restore_many(
    jobs: Sequence[Job],
    *,
    workers: int = 1,
    fail_fast: bool = False,
    on_progress: OnProgress | None = None,
) -> Generator[Outcome, None, None]:
    """Yield what became of each piece, in the order in which they come to an end.

    Closing the iterator, or an exception such as KeyboardInterrupt, stops the run: what is at work
    is given up and leaves nothing behind, what is done stays. Several runs over the same pieces at
    once, with ``Job(resume=True)``, share the work: none makes what another is making.

    Args:
        jobs: the pieces; see `make_jobs` and `read_manifest`.
        workers: processes; 1 works in this process.
        fail_fast: stop at the first piece that fails.
        on_progress: called with a `Progress` now and then; what it raises stops the run.

    Raises:
        AudioWriteError: a result would be one of the inputs; before any work, as what follows.
        ConfigError: a request that makes no sense, or two results in one place.
    """
    if workers < 1:
        raise ConfigError(f"workers is {workers!r}; it is 1 or more.")
    check_jobs(jobs)
    return _run(jobs, min(workers, len(jobs)), fail_fast, on_progress)


def _run(
    jobs: Sequence[Job], workers: int, fail_fast: bool, on_progress: OnProgress | None
) -> Generator[Outcome, None, None]:
    tally = Tally(jobs, on_progress)
    if workers > 1:
        outcomes = run_pool(jobs, workers=workers, on_progress=tally.at_work)
    else:
        outcomes = _run_here(jobs, tally.at_work)
    with closing(outcomes):
        for index, outcome in outcomes:
            tally.ended(index, outcome)
            yield outcome
            if fail_fast and outcome.state == "failed":
                return


class _Raised(BaseException):
    """Carries what the caller raised past everything that catches an `Exception`."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _run_here(
    jobs: Sequence[Job], on_progress: Callable[[int, float, float], None]
) -> Generator[tuple[int, Outcome], None, None]:
    todo = deque((index, False) for index in range(len(jobs)))
    while todo:
        index, wait = todo.popleft()

        def at_work(done_seconds: float, total_seconds: float, index: int = index) -> None:
            try:
                on_progress(index, done_seconds, total_seconds)
            except Exception as error:  # the caller's: not a failure of this piece
                raise _Raised(error) from error

        try:
            outcome = attempt(jobs[index], on_progress=at_work, wait=wait)
        except _Raised as stopped:
            raise stopped.error from None
        if outcome.state == "busy":
            todo.append((index, True))
        else:
            yield index, outcome


@dataclass
class Tally:
    """Adds up how far the pieces of a run are.

    Attributes:
        jobs: the pieces.
        on_progress: to be told.
        progress: so far.
    """

    jobs: Sequence[Job]
    on_progress: OnProgress | None
    progress: Progress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = Progress(len(self.jobs))
        self._bytes = [_size(job) for job in self.jobs]
        self._total = sum(self._bytes)  # that are to be restored
        self._done = 0.0
        self._seconds = 0.0
        self._working: dict[int, tuple[float, float]] = {}  # seconds and bytes done of each

    def at_work(self, index: int, done_seconds: float, total_seconds: float) -> None:
        """Note how far a piece is."""
        share = min(done_seconds / total_seconds, 1.0) if total_seconds else 0.0
        self._working[index] = done_seconds, share * self._bytes[index]
        self._tell()

    def ended(self, index: int, outcome: Outcome) -> None:
        """Note that a piece came to an end."""
        self._working.pop(index, None)
        if outcome.state == "unchanged":
            self._total -= self._bytes[index]
        else:
            self._done += self._bytes[index]
        self._seconds += outcome.seconds
        count = {outcome.state: getattr(self.progress, outcome.state) + 1}
        self.progress = replace(self.progress, **count)
        self._tell()

    def _tell(self) -> None:
        working = self._working.values()
        done = self._done + sum(part for _, part in working)
        self.progress = replace(
            self.progress,
            seconds=self._seconds + sum(seconds for seconds, _ in working),
            share=done / self._total if self._total else 1.0,
        )
        if self.on_progress is not None:
            self.on_progress(self.progress)


def _size(job: Job) -> int:
    """Return the bytes of an input, or 1 where nobody can say yet."""
    try:
        return max(1, Path(job.source).stat().st_size)
    except (OSError, ValueError):
        return 1
