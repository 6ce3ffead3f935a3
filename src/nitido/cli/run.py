"""One piece of `nitido restore`: read, restore, write, tell. Which pieces there are."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nitido.batch.shards import shard
from nitido.batch.task import Outcome, Task, check_tasks, is_remote, make_tasks
from nitido.cli.each import each
from nitido.cli.order import Order
from nitido.cli.output import as_flags, console, print_json, table
from nitido.cli.progress import progress
from nitido.cli.stop import stoppable
from nitido.errors import AudioWriteError, ConfigError
from nitido.jobs import STDIN, SUFFIXES, Job, make_jobs

if TYPE_CHECKING:
    from nitido.restoration.plan import Plan


def find_tasks(ctx: click.Context, inputs: Sequence[str], order: Order) -> list[Task]:
    """Return the pieces that the command line names.

    Raises:
        ConfigError: options that contradict each other, or nothing to do.
    """
    from nitido.batch.manifest import read_manifest

    if order.ray is not None and Path(order.ray).exists():
        raise ConfigError(f"--ray took {order.ray!r} for the address of a cluster; put it last.")
    if order.manifest is not None:
        if inputs:
            raise ConfigError(f"--manifest lists the pieces; leave out {inputs[0]!r}.")
        tasks = read_manifest(order.manifest, order.request, output=order.output)
    elif not inputs:
        (argument,) = (one for one in ctx.command.params if one.name == "inputs")
        raise click.MissingParameter(ctx=ctx, param=argument)
    else:
        tasks = make_tasks(inputs, order.request, output=order.output)
    if order.shard is None:
        return tasks
    number, count = order.shard
    chosen = shard(tasks, number, count)
    if not chosen:
        click.echo(f"None of {len(tasks)} pieces is in shard {number}/{count}.", err=True)
    return chosen


def is_stream(inputs: Sequence[str], order: Order) -> bool:
    """Return whether a single piece comes from standard input or goes to standard output."""
    return list(inputs) == [STDIN] or (len(inputs) == 1 and order.output == STDIN)


def run_stream(inputs: Sequence[str], order: Order) -> None:
    """Restore a piece from or to a standard stream."""
    (job,) = make_jobs(inputs, output=order.output, format=order.request.format)
    if not order.dry_run:
        _check_stream(job, order)
    with _set_down(job, order) as task:
        if order.dry_run:
            run_dry([task], order)
            return
        run_one(task, order, output=None if job.output is None else task.output)
        if job.output is None:
            with Path(task.output).open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)


def _check_stream(job: Job, order: Order) -> None:
    """Refuse what cannot be done with standard output."""
    if job.output is not None:
        return
    request = order.request
    beside = {"json": order.as_json, "removed": request.removed, "report": request.report}
    asked = [f"--{name}" for name, wanted in {**beside, "stems": request.stems}.items() if wanted]
    if asked:
        raise ConfigError(f"The result goes to standard output already; {asked[0]} needs -o FILE.")
    if sys.stdout.isatty():
        raise ConfigError("A terminal cannot take sound; give -o FILE, or redirect with '>'.")


@contextmanager
def _set_down(job: Job, order: Order) -> Iterator[Task]:
    """Give the piece as files: streams are set down in temporary ones."""
    from nitido.audio import MAX_SECONDS, no_room, set_down

    try:
        place = tempfile.TemporaryDirectory(prefix="nitido-")
    except OSError as error:
        raise no_room(error) from error
    with place as folder:
        source, output = job.source, job.output
        if job.from_stdin:
            source = Path(folder, "stdin")
            longest = order.request.reading.get("max_seconds", MAX_SECONDS)
            set_down(sys.stdin.buffer, source, max_seconds=longest)
        if output is None:
            output = Path(folder, "stdout").with_suffix(SUFFIXES[order.request.format or "wav"])
        yield Task(str(source), str(output), order.request, name=str(job.source))


def run_dry(tasks: Sequence[Task], order: Order) -> None:
    """Print what would be done to each piece."""
    each(tasks, lambda task: _dry_run(task, order), name=_shown, as_json=order.as_json)


def _dry_run(task: Task, order: Order) -> Any:
    from nitido import api

    if is_remote(task.source):
        raise ConfigError(f"{task.source} is not on this machine; --dry-run looks at files here.")
    with progress(task.shown, quiet=order.as_json) as on_progress:
        diagnosis = api.diagnose(task.source, on_progress=on_progress, **task.request.reading)
    plan = task.request.plan or api.plan(diagnosis, **task.request.choice)
    if not order.as_json:
        show_plan(task.shown, plan)
        where = "to standard output" if _goes_to_stdout(task, order) else task.output
        click.echo(f"Would write {where}.\n")
    return {"file": task.shown, "plan": plan.to_dict()}


def _goes_to_stdout(task: Task, order: Order) -> bool:
    return order.output == STDIN or (order.output is None and task.shown == STDIN)


def _shown(task: Task) -> str:
    return task.shown


def run_one(task: Task, order: Order, *, output: str | None = "") -> None:
    """Restore one piece, write the result, print a summary or the sidecar's content.

    Args:
        task: the piece.
        order: the options.
        output: name of the result for the summary; None is standard output.
    """
    from nitido.batch.work import carry_out

    check_tasks([task])
    with (
        stoppable(lambda: "stopped; nothing half-written is left."),
        progress(task.shown, quiet=order.as_json) as on_progress,
    ):
        outcome = carry_out(task, on_progress=on_progress, wait=task.request.resume)
    if outcome.state == "busy":
        raise AudioWriteError(f"Another run is at work on {task.output}; --resume waits for it.")
    if order.as_json:
        print_json(as_entry(task, outcome))
    else:
        _show(task, outcome, task.output if output == "" else output)
    check_strict([outcome], order)


def check_strict(outcomes: Iterable[Outcome], order: Order) -> None:
    """Exit with 3 under --strict, where a result has a fault that its input had not."""
    if order.strict and any(outcome.content.get("new_faults") for outcome in outcomes):
        raise click.exceptions.Exit(3)


def as_entry(task: Task, outcome: Outcome) -> dict[str, Any]:
    """Return what became of a piece as it is printed with --json."""
    if outcome.error is not None:
        return {"file": task.shown, "output": task.output, "error": as_flags(outcome.error)}
    return {
        "file": task.shown,
        "output": task.output,
        **{kind: task.files.get(kind) for kind in ("removed", "report", "stems")},
        "unchanged": outcome.state == "unchanged",
        "wall_seconds": round(outcome.wall_seconds, 3),
        **outcome.content,
    }


def _show(task: Task, outcome: Outcome, output: str | None) -> None:
    """Print what became of a piece; on standard error if the sound goes to standard output."""
    to_stderr = output is None
    if outcome.state == "unchanged":
        click.echo(f"{task.shown}: {output} is there already, from the same input and choices.")
        return
    speed = outcome.seconds / max(outcome.wall_seconds, 1e-6)
    click.secho(f"{task.shown} → {output or 'standard output'}", bold=True, err=to_stderr)
    for line in outcome.account:
        click.echo(f"  {line}", err=to_stderr)
    words = {"removed": "what was taken away", "stems": "stems", "report": "to listen and look"}
    for kind, said in words.items():
        if output is not None and kind in task.files:
            click.echo(f"  {said}: {task.files[kind]}")
    click.echo(f"  took {outcome.wall_seconds:.1f} s, {speed:.0f}× real time", err=to_stderr)


def show_plan(name: str, plan: Plan) -> None:
    """Print a plan as a table."""
    from rich.text import Text

    from nitido.report.formatting import settings

    rows = table("stage", "", "why", "settings")
    for step in plan.steps:
        style = "" if step.on else "dim"
        state = Text("on" if step.on else "off", "bold green" if step.on else "dim")
        shown = settings(step.settings) if step.on else ""
        rows.add_row(Text(step.stage, style), state, Text(step.reason, style), shown)
    click.secho(name, bold=True, nl=False)
    click.echo(f"  preset {plan.preset}, result at {plan.sample_rate} Hz")
    console().print(rows)
