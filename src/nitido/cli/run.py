"""One job of `nitido restore`: read, restore, write, tell."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from nitido.cli.order import Order
from nitido.cli.output import console, table
from nitido.cli.progress import progress
from nitido.errors import AudioWriteError, ConfigError
from nitido.jobs import SUFFIXES, Job, removed_path, report_path

if TYPE_CHECKING:
    from nitido.restoration.plan import Plan
    from nitido.restoration.result import Restoration


def check_streams(jobs: Sequence[Job], order: Order) -> None:
    """Refuse what cannot be done with standard output.

    Raises:
        ConfigError: two things would go there, or sound into a terminal.
    """
    if order.dry_run or all(job.output is not None for job in jobs):
        return
    asked = "--json" if order.as_json else "--removed" if order.removed else "--report"
    if order.as_json or order.removed or order.report:
        raise ConfigError(f"The result goes to standard output already; {asked} needs -o FILE.")
    if sys.stdout.isatty():
        raise ConfigError("A terminal cannot take sound; give -o FILE, or redirect with '>'.")


def dry_run(job: Job, order: Order) -> Any:
    """Print what would be done to a piece; return the plan as JSON values, for --plan."""
    from nitido import api

    with _reading(job) as path, progress(path.name, quiet=order.as_json) as on_progress:
        diagnosis = api.diagnose(path, on_progress=on_progress)
    plan = order.plan or api.plan(diagnosis, **order.choice)
    if not order.as_json:
        show_plan(str(job.source), plan)
        click.echo(f"Would write {job.output or 'to standard output'}.\n")
    return {"file": str(job.source), "plan": plan.to_dict()}


def run(job: Job, order: Order) -> Any:
    """Restore a piece, write the result, print a summary; return the sidecar's content."""
    from nitido import api

    job.check_output(overwrite=order.overwrite, removed=order.removed, report=order.report)
    began = perf_counter()
    with _reading(job) as path:
        with progress(path.name, quiet=order.as_json) as on_progress:
            restoration = api.restore(
                path, plan=order.plan, on_progress=on_progress, **order.choice
            )
        _write(restoration, job, order)
        content = restoration.sidecar()
    seconds = perf_counter() - began
    if not order.as_json:
        show_result(job, order, restoration, seconds)
    return {
        "file": str(job.source),
        "output": str(job.output),
        "removed": str(removed_path(job.output)) if order.removed and job.output else None,
        "report": str(report_path(job.output)) if order.report and job.output else None,
        "wall_seconds": round(seconds, 3),
        **content,
    }


@contextmanager
def _reading(job: Job) -> Iterator[Path]:
    """Yield the file to read; standard input is set down in a temporary one."""
    if not job.from_stdin:
        yield job.source
        return
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        path = Path(folder, "stdin")
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


def _write(restoration: Restoration, job: Job, order: Order) -> None:
    options: dict[str, Any] = {"format": order.format, "bit_depth": order.bit_depth}
    if job.output is None:
        with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
            path = Path(folder, "stdout").with_suffix(SUFFIXES[order.format or "wav"])
            restoration.write(path, sidecar=False, **options)
            with path.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
        return
    try:
        job.output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioWriteError(
            f"The folder {job.output.parent} cannot be made: {error.strerror}."
        ) from None
    restoration.write(job.output, overwrite=order.overwrite, removed=order.removed, **options)
    if order.report:
        restoration.report(report_path(job.output), overwrite=order.overwrite)


def show_plan(name: str, plan: Plan) -> None:
    """Print a plan as a table."""
    from rich.text import Text

    from nitido.report.words import settings

    rows = table("stage", "", "why", "settings")
    for step in plan.steps:
        style = "" if step.on else "dim"
        state = Text("on" if step.on else "off", "bold green" if step.on else "dim")
        shown = settings(step.settings) if step.on else ""
        rows.add_row(Text(step.stage, style), state, Text(step.reason, style), shown)
    click.secho(name, bold=True, nl=False)
    click.echo(f"  preset {plan.preset}, result at {plan.sample_rate} Hz")
    console().print(rows)


def show_result(job: Job, order: Order, restoration: Restoration, seconds: float) -> None:
    """Print what a restoration changed; on standard error if the sound goes to standard output."""
    from nitido.report.words import account

    to_stderr = job.output is None
    speed = restoration.diagnosis.duration_seconds / max(seconds, 1e-6)
    click.secho(f"{job.source} → {job.output or 'standard output'}", bold=True, err=to_stderr)
    for line in account(restoration):
        click.echo(f"  {line}", err=to_stderr)
    if order.removed and job.output:
        click.echo(f"  what was taken away: {removed_path(job.output)}")
    if order.report and job.output:
        click.echo(f"  to listen and look: {report_path(job.output)}")
    click.echo(f"  took {seconds:.1f} s, {speed:.0f}× real time", err=to_stderr)
