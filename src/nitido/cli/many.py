"""Many pieces of `nitido restore`: a line for each as it ends; last, what failed and why."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, redirect_stdout
from time import perf_counter
from typing import Any

import click

from nitido.batch.task import Outcome, Task, one_line
from nitido.cli.order import Order
from nitido.cli.output import as_flags, print_json
from nitido.cli.progress import progress_of_many
from nitido.cli.run import as_entry, check_strict
from nitido.cli.stop import stoppable

Outcomes = Generator[Outcome, None, None]


def run_many(tasks: Sequence[Task], order: Order) -> None:
    """Restore pieces, say what became of each, and exit with 1 if any failed."""
    ended: dict[str, Outcome] = {}  # by output, which no two pieces share
    names = {task.output: task.shown for task in tasks}
    began = perf_counter()

    def told() -> str:
        _show_end(ended, began, order)
        return (
            f"stopped, {len(ended)} of {len(tasks)} came to an end; nothing half-written is left, "
            "--resume goes on."
        )

    with (
        stoppable(told),
        _only_json(order),
        progress_of_many(quiet=order.as_json) as on_progress,
        closing(_outcomes(tasks, order, on_progress)) as outcomes,
    ):
        for outcome in outcomes:
            ended[outcome.output] = outcome
            _show_one(names[outcome.output], outcome, order)
    _finish(tasks, ended, began, order)


def _only_json(order: Order) -> AbstractContextManager[Any]:
    """Keep what Ray prints apart from the JSON."""
    return redirect_stdout(sys.stderr) if order.ray and order.as_json else nullcontext()


def _outcomes(tasks: Sequence[Task], order: Order, on_progress: Any) -> Outcomes:
    options: dict[str, Any] = {"fail_fast": order.fail_fast, "on_progress": on_progress}
    if order.ray is None:
        from nitido.batch.run import restore_many

        return restore_many(tasks, workers=order.workers or 1, **options)
    from nitido.batch.cluster import restore_on_ray

    address = None if order.ray == "local" else order.ray
    return restore_on_ray(tasks, address=address, workers=order.workers, **options)


def _show_one(name: str, outcome: Outcome, order: Order) -> None:
    if outcome.error is not None:
        click.echo(f"Error: {_reason(name, outcome)}", err=True)
        if click.get_current_context().find_root().ensure_object(dict).get("verbose"):
            click.echo(outcome.trace, err=True)
    elif not order.as_json:
        speed = outcome.seconds / max(outcome.wall_seconds, 1e-6)
        done = f"{outcome.seconds:.0f} s, {speed:.0f}× real time"
        how = "unchanged" if outcome.state == "unchanged" else done
        click.echo(one_line(f"{name} → {outcome.output}  {how}"))


def _reason(name: str, outcome: Outcome) -> str:
    error = as_flags(outcome.error or "")
    return error if name in error else one_line(f"{name}: {error}")


def _finish(tasks: Sequence[Task], ended: dict[str, Outcome], began: float, order: Order) -> None:
    """Print the summary or the JSON, and what failed."""
    _show_end(ended, began, order)
    if order.as_json:
        print_json([as_entry(task, ended[task.output]) for task in tasks if task.output in ended])
    failed = [task for task in tasks if task.output in ended and ended[task.output].error]
    if not failed:
        check_strict(ended.values(), order)
        return
    left = len(tasks) - len(ended)
    untried = f", {left} not tried (--fail-fast)" if left else ""
    click.echo(f"{len(failed)} of {len(tasks)} failed{untried}:", err=True)
    width = max(len(one_line(task.shown)) for task in failed)
    for task in failed:
        name = one_line(task.shown)
        click.echo(f"  {name:<{width}}  {as_flags(ended[task.output].error or '')}", err=True)
    raise click.exceptions.Exit(1)


def _show_end(ended: dict[str, Outcome], began: float, order: Order) -> None:
    """Print how much was done, and how fast."""
    if order.as_json:
        return
    states = [outcome.state for outcome in ended.values()]
    seconds = sum(outcome.seconds for outcome in ended.values())
    took = perf_counter() - began
    counts = ", ".join(
        f"{states.count(state)} {state}"
        for state in ("done", "unchanged", "failed")
        if state in states
    )
    speed = f"{seconds:.0f} s of audio in {took:.1f} s, {seconds / max(took, 1e-6):.0f}× real time"
    click.echo(f"{counts or 'nothing done'}; {speed}.")
