"""One piece of many: is it done already? If not: restore it, write it, publish it."""

from __future__ import annotations

import hashlib
import json
import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from time import perf_counter
from typing import TYPE_CHECKING, Any

from nitido.batch.claim import SIDECAR, Claim, claim
from nitido.batch.task import Outcome, Request, Task, explain, is_remote, read_content
from nitido.errors import AudioReadError, AudioWriteError, ConfigError
from nitido.jobs import Job, removed_path, report_path, stems_path

if TYPE_CHECKING:
    from nitido.restoration.result import Restoration

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
    began = perf_counter()
    source, target = Path(task.source), Path(os.path.realpath(task.output))
    sha256 = _sha256(source)
    if target == Path(os.path.realpath(source)):
        raise AudioWriteError(
            f"The result {target} would replace the input; -o names another place."
        )
    _make_folder(target.parent)
    while (claimed := claim(target)) is None:
        if not wait:
            return Outcome(task.source, task.output, "busy")
        time.sleep(WAIT_SECONDS)
    with claimed:
        content = read_sidecar(target)
        if (task.request.resume or again) and is_done(target, content, sha256, task.request):
            return _outcome(task, "unchanged", content, began)
        overwrite = task.request.overwrite or (task.request.resume and bool(content))
        names = ("removed", "report", "stems")
        extra = {name: getattr(task.request, name) for name in names}
        Job(source, Path(task.output)).check_output(overwrite=overwrite, **extra)
        try:
            content, account = _restore(task, claimed, sha256, on_progress)
        except AudioWriteError as error:
            raise _outside(error, claimed) from error
        claimed.publish(overwrite=overwrite)
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


def read_sidecar(target: Path) -> dict[str, Any]:
    """Return what the sidecar of a result says; empty if there is none that nitido wrote."""
    path = target.with_name(target.name + SIDECAR)
    try:
        return read_content(path.read_bytes()) if path.is_file() else {}  # a pipe would hang
    except OSError:
        return {}


def is_done(target: Path, content: Mapping[str, Any], sha256: str, request: Request) -> bool:
    """Return whether a result is there, whole, and what the request would give."""
    if not request.gave(content, sha256):
        return False
    beside = [removed_path(target)] if request.removed else []
    beside += [report_path(target)] if request.report else []
    beside += [stems_path(target)] if request.stems else []
    if not all(path.exists() for path in [target, *beside]):
        return False
    return bool(content["result"].get("sha256") == _sha256(target))


def _restore(
    task: Task, claimed: Claim, sha256: str, on_progress: OnProgress | None
) -> tuple[dict[str, Any], list[str]]:
    """Write everything into the folder of the claim; return the sidecar, and an account."""
    from nitido import api
    from nitido.audio import write_text
    from nitido.report.words import account

    request = task.request
    restoration = api.restore(
        task.source,
        plan=request.plan,
        stems=request.stems,
        on_progress=on_progress,
        **request.choice,
        **request.lent,
    )
    _write(restoration, claimed.path, request)
    content: dict[str, Any] = {
        **restoration.sidecar(),
        "request": request.fingerprint,
        "result": {
            "name": claimed.target.name,
            "bytes": claimed.path.stat().st_size,
            "sha256": _sha256(claimed.path),
        },
    }
    if content["input"]["sha256"] != sha256:
        raise AudioReadError(
            f"{task.shown} changed while it was at work; run again when it is complete."
        )
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Bytes of a file name that are not text stand for themselves in JSON, escaped.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    write_text(claimed.folder / (claimed.target.name + SIDECAR), text)
    return content, account(restoration)


def _write(restoration: Restoration, path: Path, request: Request) -> None:
    restoration.write(
        path,
        sidecar=False,
        format=request.format,
        bit_depth=request.bit_depth,
        removed=request.removed,
        stems=request.stems,
    )
    if request.report:
        restoration.report(report_path(path))


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


def _sha256(path: Path) -> str:
    from nitido.audio import open_source

    if not path.is_file():
        open_source(path)  # says why it cannot be read
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AudioReadError(f"{path} cannot be read: {error.strerror}.") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioWriteError(f"The folder {folder} cannot be made: {error.strerror}.") from error


def _outside(error: AudioWriteError, claimed: Claim) -> AudioWriteError:
    """Return the error as it reads outside the folder of the claim."""
    if not claimed.folder.is_dir():
        return AudioWriteError(
            f"The folder {claimed.target.parent} was removed while {claimed.target.name} was at "
            "work; run again."
        )
    return AudioWriteError(str(error).replace(str(claimed.folder), str(claimed.target.parent)))
