"""Processes that restore pieces side by side, and what happens when one of them dies.

Each hears jobs over a pipe, says how far it is, and answers with outcomes, all as JSON. It ends
when it is told to, when the pipe is closed, and when the process that started it ends in whatever
way.

`concurrent.futures` gives up all pieces when one process dies. Here its piece gets a fresh process
once, and the others go on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from nitido import c_stderr
from nitido.batch.job import Job, Outcome, attempt
from nitido.batch.names import is_remote
from nitido.cores import end_with_the_starter, usable_cores, use_one_core
from nitido.errors import AudioWriteError, CancelledError, one_line
from nitido.output import reserve

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

TRIES = 2
SIGNALS = tuple(  # that stop a run
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
STOP = "stop"
SAY_SECONDS = 0.1  # between two words on how far a piece is
TIDY_SECONDS = 2.0  # to leave nothing behind when the starting process has ended
STOP_SECONDS = 5.0  # for a process to leave nothing behind when it is told to stop


@dataclass(frozen=True)
class _Turn:
    """One try at a piece."""

    index: int
    tries: int = 0
    wait: bool = False


class _Worker:
    """A process, and the turn that it is at."""

    def __init__(self, *, crowded: bool) -> None:
        from multiprocessing import get_context

        context = get_context("spawn")
        self.connection, end = context.Pipe()
        self.process = context.Process(
            target=serve, args=(end,), kwargs={"crowded": crowded}, daemon=True
        )
        with _signals_held(), _caller_not_run_again():
            self.process.start()
        end.close()  # else the pipe would stay open when the process dies
        self.turn: _Turn | None = None

    def begin(self, turn: _Turn, job: Job) -> None:
        self.turn = turn
        message = {"job": job.to_json(), "wait": turn.wait, "again": turn.tries > 0}
        with suppress(OSError):  # a dead process is noticed when it is listened to
            self.connection.send(json.dumps(message))

    def death(self) -> str:
        """Return what the process died of."""
        self.process.join(STOP_SECONDS)
        self.process.kill()  # one that only closed its pipe
        self.process.join()
        code = self.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            return f"by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return f"with status {code}"


def run_pool(
    jobs: Sequence[Job],
    *,
    workers: int,
    on_progress: Callable[[int, float, float], None],
) -> Generator[tuple[int, Outcome], None, None]:
    """Yield the index and the outcome of each job, as they come.

    When the iterator is closed, or an exception goes through it, the processes are stopped; what
    they were at leaves nothing behind.

    Args:
        jobs: the pieces.
        workers: processes at once.
        on_progress: called with `(index, done_seconds, total_seconds)`.
    """
    from multiprocessing.connection import wait  # here: one piece needs no other process

    todo = deque(_Turn(index) for index in range(len(jobs)))
    later: deque[_Turn] = deque()  # what another run is at work on
    crew: list[_Worker] = []
    try:
        while todo or later or any(worker.turn for worker in crew):
            _employ(crew, todo or later, jobs, workers)
            for ready in wait([worker.connection for worker in crew]):
                worker = next(one for one in crew if one.connection is ready)
                turn = worker.turn
                kind, content = _hear(worker)
                if kind == "progress" and turn:
                    on_progress(turn.index, *content)
                    continue
                worker.turn = None
                if kind == "died":
                    crew.remove(worker)
                    outcome = _after_death(worker, turn, jobs, todo)
                else:
                    outcome = Outcome.from_json(content)
                if turn and outcome and outcome.state == "busy":
                    later.append(_Turn(turn.index, turn.tries, wait=True))
                elif turn and outcome:
                    yield turn.index, outcome
    finally:
        _dismiss(crew, jobs)


def _employ(crew: list[_Worker], queue: deque[_Turn], jobs: Sequence[Job], workers: int) -> None:
    """Give the idle something to do, starting processes as far as there is something."""
    while queue:
        worker = next((one for one in crew if one.turn is None), None)
        if worker is None:
            if len(crew) >= workers:
                return
            worker = _Worker(crowded=usable_cores() < 2 * workers)
            crew.append(worker)
        turn = queue.popleft()
        worker.begin(turn, jobs[turn.index])


def _hear(worker: _Worker) -> tuple[str, Any]:
    try:
        kind, content = worker.connection.recv()
    except (EOFError, OSError):
        return "died", None
    return kind, content


def _after_death(
    worker: _Worker, turn: _Turn | None, jobs: Sequence[Job], todo: deque[_Turn]
) -> Outcome | None:
    """Put the piece of a dead process back in the queue, or give it up."""
    reason = worker.death()
    worker.connection.close()
    if turn is None:
        return None
    if turn.tries + 1 < TRIES:
        todo.appendleft(_Turn(turn.index, turn.tries + 1, turn.wait))
        return None
    job = jobs[turn.index]
    _tidy(job)
    return lost(job, f"its process ended {reason}")


def lost(job: Job, why: str) -> Outcome:
    """Return the outcome of a piece that was given up."""
    error = f"{job.shown} was given up: {why}, {TRIES} times; fewer `workers=` leave more memory."
    return Outcome(job.source, job.output, "failed", error=one_line(error))


def _dismiss(crew: Sequence[_Worker], jobs: Sequence[Job]) -> None:
    """Let all processes end: those at work give up their piece, and are killed if they do not."""
    for worker in crew:
        with suppress(OSError):
            worker.connection.send(STOP)
    end = monotonic() + STOP_SECONDS
    for worker in crew:
        while worker.process.is_alive() and monotonic() < end:
            with suppress(EOFError, OSError):  # a full pipe would keep it from ending
                while worker.connection.poll(0.02):
                    worker.connection.recv()
            worker.process.join(0.02)
        if worker.process.is_alive():
            worker.process.kill()
        worker.process.join()
        worker.connection.close()
        if worker.turn is not None:
            _tidy(jobs[worker.turn.index])


def _tidy(job: Job) -> None:
    """Clear away what a killed process has left of a piece."""
    target = Path(os.path.realpath(job.output))
    if not is_remote(job.output) and target.parent.is_dir():
        with suppress(AudioWriteError):
            left = reserve(target)
            if left is not None:
                left.__exit__()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM from a process that is being started, until it is ready."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _caller_not_run_again() -> Iterator[None]:
    """Keep `multiprocessing` from running the caller's program in a process that is being started.

    It would do so for functions that are defined there; a worker needs none. So a program needs no
    `if __name__ == "__main__":`, and one that came over a pipe, which nobody can run again, works.
    """
    main = sys.modules["__main__"]
    before = {name: value for name, value in vars(main).items() if name in ("__file__", "__spec__")}
    vars(main).pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(before)


# ── In the process ───────────────────────────────────────────────────────────────────────────────


def serve(connection: Connection, *, crowded: bool) -> None:
    """Carry out jobs until there are no more.

    Args:
        connection: to whom gives them.
        crowded: there are as many such processes as cores, or nearly: each uses one.
    """
    _leave_signals_to_the_starter()
    c_stderr.mute()
    if crowded:
        use_one_core()
    end_with_the_starter(after_seconds=TIDY_SECONDS)
    while True:
        try:
            message = connection.recv()
            if message == STOP:
                return
            outcome = _carry_out(connection, **json.loads(message))
            connection.send(("outcome", outcome))
        except (EOFError, OSError):  # the other end of the pipe is closed
            return


def _carry_out(connection: Connection, job: str, **options: Any) -> str:
    said = time.monotonic()

    def on_progress(done_seconds: float, total_seconds: float) -> None:
        nonlocal said
        if time.monotonic() - said < SAY_SECONDS:
            return
        said = time.monotonic()
        try:
            connection.send(("progress", (done_seconds, total_seconds)))
            stopped = connection.poll()  # the only word while at work is to stop
        except (EOFError, OSError):
            stopped = True
        if stopped:
            raise CancelledError("The run was stopped.")

    return attempt(Job.from_json(job), on_progress=on_progress, **options).to_json()


def _leave_signals_to_the_starter() -> None:
    """Let Ctrl-C and SIGTERM, which reach the whole group, be heard where the run is led.

    A function that does nothing, not SIG_IGN: programs started from here do not inherit it.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # blocked while this process began
