"""One piece of many: is it done already? If not: restore it, write it, publish it."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from time import perf_counter
from typing import TYPE_CHECKING, Any

from nitido.batch.task import Outcome, Request, Task, explain, is_remote
from nitido.errors import AudioWriteError, ConfigError
from nitido.output import Reservation, check_outputs, check_writable, read_sidecar, reserve

if TYPE_CHECKING:
    from nitido.audio import Source

OnProgress = Callable[[float, float], None]
WAIT_SECONDS = 0.2  # between two looks at whether another run has finished


def carry_out(
    task: Task,
    *,
    on_progress: OnProgress | None = None,
    wait: bool = False,
    again: bool = False,
) -> Outcome:
    """Restore a piece, write the result and its sidecar, and return what was done.

    Args:
        task: the piece.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work, and
            nothing is left of it.
        wait: until another run has finished the same result; else its state is ``busy``.
        again: an earlier try may have finished it unseen: a result that is what this task asks for
            counts as done.

    Raises:
        NitidoError: as `nitido.restore` and `Restoration.write`; the input changed meanwhile.
    """
    if is_remote(task.source) or is_remote(task.output):
        return _carry_out_elsewhere(task, on_progress=on_progress, wait=wait, again=again)
    from nitido.audio import open_source

    began = perf_counter()
    check_outputs([(task.source, task.files)])
    source = open_source(task.source, **task.request.reading)
    target = Path(task.files["audio"])
    _make_folder(target.parent)
    while (reserved := reserve(target)) is None:
        if not wait:
            return Outcome(task.source, task.output, "busy")
        time.sleep(WAIT_SECONDS)
    with reserved:
        content = read_sidecar(target)
        if (task.request.resume or again) and is_done(task, content, source.sha256):
            return _outcome(task, "unchanged", content, began)
        overwrite = task.request.overwrite or (task.request.resume and bool(content))
        check_writable(task.files, overwrite=overwrite)
        content, account = _restore(task.request, source, reserved, on_progress)
        reserved.publish(overwrite=overwrite)
    return _outcome(task, "done", content, began, account)


def _carry_out_elsewhere(task: Task, **options: Any) -> Outcome:
    """Fetch the piece, restore it here, send the result."""
    from nitido.batch.remote import fetch, find_unchanged, send, workshop

    with workshop() as (fetched, made):
        here = replace(task, name=task.shown)
        if is_remote(task.source):
            here = replace(here, source=str(fetch(task.source, fetched)))
        if is_remote(task.output):
            content = find_unchanged(task, Path(here.source))
            if content is not None:
                return Outcome(task.source, task.output, "unchanged", content=content)
            here = replace(here, output=str(made / PurePosixPath(task.output).name))
        outcome = carry_out(here, **options)
        if is_remote(task.output):
            send(Path(here.output), task.output)
    return replace(outcome, source=task.source, output=task.output)


def attempt(task: Task, **options: Any) -> Outcome:
    """Return what `carry_out` does, or why it failed."""
    began = perf_counter()
    try:
        return carry_out(task, **options)
    except Exception as error:
        return Outcome(
            task.source,
            task.output,
            "failed",
            wall_seconds=perf_counter() - began,
            error=explain(error),
            wrong_setting=isinstance(error, ConfigError),
            trace=traceback.format_exc(),
        )


def is_done(task: Task, content: Mapping[str, Any], sha256: str) -> bool:
    """Return whether a result is there, whole, and what the task would give.

    Args:
        task: the piece.
        content: of the sidecar that is there.
        sha256: of the input, in hexadecimal.
    """
    if not task.request.gave(content, sha256):
        return False
    if not all(Path(file).exists() for file in task.files.values()):
        return False
    with Path(task.files["audio"]).open("rb") as file:
        there = hashlib.file_digest(file, "sha256").hexdigest()
    return bool(content["result"].get("sha256") == there)


def _restore(
    request: Request, source: Source, reserved: Reservation, on_progress: OnProgress | None
) -> tuple[dict[str, Any], list[str]]:
    """Write everything into the reserved folder; return the sidecar, and an account."""
    from nitido import api

    restoration = api.restore(
        source,
        plan=request.plan,
        stems=request.stems,
        on_progress=on_progress,
        **request.choice,
        **request.lent,
    )
    content = reserved.fill(
        restoration,
        removed=request.removed,
        stems=request.stems,
        report=request.report,
        request=request.fingerprint,
        format=request.format,
        bit_depth=request.bit_depth,
    )
    stages = [step.stage for step in restoration.plan.steps if step.on]
    ran = [f"stages: {', '.join(stages)}."] if stages else []
    return content, [*restoration.sentences(), *ran]


def _outcome(
    task: Task, state: Any, content: Mapping[str, Any], began: float, account: Any = ()
) -> Outcome:
    before = content["before"] if state == "done" else {"samples": 0, "sample_rate": 1}
    return Outcome(
        task.source,
        task.output,
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
