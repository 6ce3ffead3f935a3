"""Jobs at the terminal: one piece, many, a stream, a dry run; what became of each is said."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from nitido.batch.job import Job, Outcome, carry_out, carry_out_album, check_jobs
from nitido.batch.names import STREAM, is_remote
from nitido.cli.each import each, exit_failed, failure
from nitido.cli.printing import as_flags, console, print_json, print_json_list, table
from nitido.cli.progress import progress, progress_of_many
from nitido.cli.stop import stoppable
from nitido.errors import AudioWriteError, ConfigError, one_line
from nitido.result_files import INGREDIENT

if TYPE_CHECKING:
    from nitido.diagnosis.finding import Diagnosis
    from nitido.restoration.plan import Plan

WORST_SHOWN = 10
CSV_COLUMNS = (
    *("file", "output", "state", "seconds", "wall_seconds", "lufs_before", "lufs_after"),
    *("found_before", "left_after", "new_faults", "si_sdr_db", "error"),
)

# ── A single piece ───────────────────────────────────────────────────────────────────────────────


def run_one(job: Job, *, as_json: bool, strict: bool, to_stdout: bool = False) -> None:
    """Restore one piece, write the result, print a summary or the sidecar's content.

    Args:
        job: the piece.
        as_json: print JSON.
        strict: exit with 3 if the result has a fault that its input had not.
        to_stdout: the result goes to standard output afterwards.
    """
    check_jobs([job])
    with (
        stoppable(lambda: "stopped; nothing half-written is left."),
        progress(job.shown, quiet=as_json) as on_progress,
    ):
        outcome = carry_out(job, on_progress=on_progress, wait=job.resume)
    if outcome.state == "busy":
        raise AudioWriteError(f"Another run is at work on {job.output}; --resume waits for it.")
    if as_json:
        print_json(as_entry(job, outcome))
    else:
        _show(job, outcome, to_stdout=to_stdout)
    _check_strict([outcome], strict)


def run_stream(
    source: str, how: Job, output: str | None, *, dry: bool, as_json: bool, strict: bool
) -> None:
    """Restore a piece from or to a standard stream, which is set down in a temporary file."""
    from nitido.batch.inputs import make_jobs

    (job,) = make_jobs([source], how, output=output)
    to_stdout = job.output == STREAM
    if to_stdout and not dry:
        _check_stdout(job, as_json=as_json)
    with _set_down(job) as here:
        if dry:
            run_dry([here], as_json=as_json, to_stdout=to_stdout)
            return
        run_one(here, as_json=as_json, strict=strict, to_stdout=to_stdout)
        if to_stdout:
            if Path(here.output + INGREDIENT).exists():
                click.secho(
                    "Nothing lies beside standard output: the Content Credentials (C2PA) of the "
                    "input are lost; -o FILE keeps them.",
                    fg="yellow",
                    err=True,
                )
            with Path(here.output).open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)


def _check_stdout(job: Job, *, as_json: bool) -> None:
    """Refuse what cannot be done with standard output."""
    beside = {"json": as_json, "removed": job.removed, "report": job.report}
    asked = [
        f"--{name}" for name, wanted in {**beside, "stems": job.options.stems}.items() if wanted
    ]
    if asked:
        raise ConfigError(f"The result goes to standard output already; {asked[0]} needs -o FILE.")
    if sys.stdout.isatty():
        raise ConfigError("A terminal cannot take sound; give -o FILE, or redirect with '>'.")


@contextmanager
def _set_down(job: Job) -> Iterator[Job]:
    """Give the piece as files."""
    from nitido.audio import MAX_SECONDS, no_room, set_down

    try:
        place = tempfile.TemporaryDirectory(prefix="nitido-")
    except OSError as error:
        raise no_room(error) from error
    with place as folder:
        here = replace(job, name=job.source)
        if job.source == STREAM:
            here = replace(here, source=str(Path(folder, "stdin")))
            longest = job.options.max_seconds or MAX_SECONDS
            set_down(sys.stdin.buffer, Path(here.source), max_seconds=longest)
        if job.output == STREAM:
            here = replace(here, output=str(Path(folder, "stdout").with_suffix(job.suffix)))
        yield here


def _show(job: Job, outcome: Outcome, *, to_stdout: bool) -> None:
    """Print what became of a piece; on standard error if the sound goes to standard output."""
    if outcome.state == "unchanged":
        click.echo(f"{job.shown}: {job.output} is there already, from the same input and choices.")
        return
    output = "standard output" if to_stdout else job.output
    click.secho(f"{job.shown} → {output}", bold=True, err=to_stdout)
    for line in outcome.account:
        click.echo(f"  {line}", err=to_stdout)
    words = {"removed": "what was taken away", "stems": "stems", "report": "to listen and look"}
    for kind, said in words.items():
        if kind in job.files:
            click.echo(f"  {said}: {job.files[kind]}", err=to_stdout)
    took = f"  took {outcome.wall_seconds:.1f} s, {_speed(outcome.seconds, outcome.wall_seconds)}"
    click.echo(took, err=to_stdout)


# ── A dry run ────────────────────────────────────────────────────────────────────────────────────


def run_dry(jobs: Sequence[Job], *, as_json: bool, to_stdout: bool = False) -> None:
    """Print what would be done to each piece: to a single one in full, to several a line each."""
    plans: dict[str, Plan] = {}
    if jobs[0].options.album:
        diagnoses = [_diagnosis(job, as_json=as_json) for job in jobs]
        made = jobs[0].options.plans_for(diagnoses)
        plans = {job.output: plan for job, plan in zip(jobs, made, strict=True)}

    def work(job: Job) -> dict[str, Any]:
        plan = plans.get(job.output) or job.options.plan_for(_diagnosis(job, as_json=as_json))
        if not as_json and len(jobs) == 1:
            show_plan(job.shown, plan)
            click.echo(f"Would write {'to standard output' if to_stdout else job.output}.\n")
        elif not as_json:
            stages = ", ".join(step.stage for step in plan.steps if step.on)
            click.echo(one_line(f"{job.shown} → {job.output}  {stages or 'nothing'}"))
        return {"file": job.shown, "plan": plan.to_dict()}

    def end() -> None:
        click.echo(f"{len(jobs)} pieces; --dry-run with one of them says why, and all settings.")

    each(jobs, work, name=lambda job: job.shown, as_json=as_json, end=end)


def _diagnosis(job: Job, *, as_json: bool) -> Diagnosis:
    from nitido import api

    if is_remote(job.source):
        raise ConfigError(f"{job.source} is not on this machine; --dry-run looks at files here.")
    with progress(job.shown, quiet=as_json) as on_progress:
        about = {"as_loop": job.options.loop, **job.options.reading}
        return api.diagnose(job.source, on_progress=on_progress, **about)


def show_plan(name: str, plan: Plan) -> None:
    """Print a plan as a table."""
    from rich.text import Text

    from nitido.report.formatting import minus, settings

    rows = table("stage", "", "why", "settings")
    for step in plan.steps:
        style = "" if step.on else "dim"
        state = Text("on" if step.on else "off", "bold green" if step.on else "dim")
        shown = settings(step.settings) if step.on else ""
        rows.add_row(Text(step.stage, style), state, Text(minus(step.reason), style), shown)
    click.secho(name, bold=True, nl=False)
    loop = ", as a loop" if plan.loop else ""
    click.echo(f"  preset {plan.preset_told}, result at {plan.sample_rate} Hz{loop}")
    console().print(rows)


# ── Many pieces ──────────────────────────────────────────────────────────────────────────────────


def run_many(
    jobs: Sequence[Job],
    *,
    workers: int | None,
    ray: str | None,
    fail_fast: bool,
    csv_file: str | None,
    texts: Sequence[str],
    as_json: bool,
    strict: bool,
) -> None:
    """Restore pieces, say what became of each, and exit with 1 if any failed.

    Args:
        jobs: the pieces.
        workers: processes, or actors on a cluster; None if nobody said.
        ray: address of the cluster, ``local`` for one on this machine, None for none.
        fail_fast: stop at the first piece that fails.
        csv_file: file for a table with a row per piece, or None.
        texts: the list and the plan that were read, which the table must not replace.
        as_json: print JSON.
        strict: exit with 3 if a result has a fault that its input had not.
    """
    ended = _Ended()
    names = {job.output: job.shown for job in jobs}
    began = perf_counter()

    table_file = None if csv_file is None else _check_csv(csv_file, jobs, texts)

    def end() -> None:
        if table_file is not None:
            _write_csv(table_file, jobs, ended)
        if not as_json:
            _show_end(ended.values(), began)

    def told() -> str:
        end()
        return (
            f"stopped, {len(ended)} of {len(jobs)} came to an end; nothing half-written is left, "
            "--resume goes on."
        )

    with (
        stoppable(told),
        _ray_apart(ray, as_json),
        progress_of_many(quiet=as_json) as on_progress,
        closing(_outcomes(jobs, workers, ray, fail_fast, on_progress)) as outcomes,
    ):
        for outcome in outcomes:
            ended.add(outcome)
            _show_each(names[outcome.output], outcome, as_json)
    end()
    if as_json:
        print_json_list(as_entry(job, ended[job.output]) for job in jobs if job.output in ended)
    failed = [job.shown for job in jobs if job.output in ended and ended[job.output].error]
    if failed:
        exit_failed(failed, of=len(jobs), untried=len(jobs) - len(ended))
    _check_strict(ended.values(), strict)


class _Ended(Mapping[str, Outcome]):
    """What became of pieces, by output, which no two share; packed: a hundredth of the memory."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def add(self, outcome: Outcome) -> None:
        self._packed[outcome.output] = zlib.compress(outcome.to_json().encode(), 1)

    def __getitem__(self, output: str) -> Outcome:
        return Outcome.from_json(zlib.decompress(self._packed[output]).decode())

    def __contains__(self, output: object) -> bool:
        return output in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def run_album(jobs: Sequence[Job], *, as_json: bool, strict: bool) -> None:
    """Restore the pieces of an album together, and say what became of each.

    Args:
        jobs: the pieces.
        as_json: print JSON.
        strict: exit with 3 if a result has a fault that its input had not.
    """
    from nitido.restoration.plan import Plan

    began = perf_counter()
    with (
        stoppable(lambda: "stopped; nothing of the album was written."),
        progress(f"album of {len(jobs)}", quiet=as_json) as on_progress,
    ):
        outcomes = carry_out_album(jobs, on_progress=on_progress)
    if as_json:
        print_json([as_entry(job, one) for job, one in zip(jobs, outcomes, strict=True)])
    else:
        for job, outcome in zip(jobs, outcomes, strict=True):
            _show_each(job.shown, outcome, as_json)
        plans = [Plan.from_dict(one.content["plan"]) for one in outcomes]
        alike = {plan.preset_told for plan in plans}
        click.echo(f"preset {alike.pop() if len(alike) == 1 else plans[0].preset}.")
        steps = outcomes[0].content["plan"]["steps"]
        click.echo(next(step["reason"] for step in steps if step["stage"] == "loudness") + ".")
        _show_end(outcomes, began)
    _check_strict(outcomes, strict)


def _ray_apart(ray: str | None, as_json: bool) -> AbstractContextManager[Any]:
    """Keep what Ray prints apart from the JSON."""
    return redirect_stdout(sys.stderr) if ray and as_json else nullcontext()


def _outcomes(
    jobs: Sequence[Job], workers: int | None, ray: str | None, fail_fast: bool, on_progress: Any
) -> Generator[Outcome, None, None]:
    if ray is None:
        from nitido.batch.many import restore_many

        return restore_many(
            jobs, workers=workers or 1, fail_fast=fail_fast, on_progress=on_progress
        )
    from nitido.batch.cluster import restore_on_ray

    address = None if ray == "local" else ray
    return restore_on_ray(
        jobs, address=address, workers=workers, fail_fast=fail_fast, on_progress=on_progress
    )


def _show_each(name: str, outcome: Outcome, as_json: bool) -> None:
    if outcome.error is not None:
        click.echo(failure(name, outcome.error), err=True)
        if click.get_current_context().find_root().ensure_object(dict).get("verbose"):
            click.echo(outcome.trace, err=True)
    elif not as_json:
        done = f"{outcome.seconds:.0f} s, {_speed(outcome.seconds, outcome.wall_seconds)}"
        how = "unchanged" if outcome.state == "unchanged" else done
        click.echo(one_line(f"{name} → {outcome.output}  {how}"))


def _show_end(ended: Iterable[Outcome], began: float) -> None:
    """Print how much was done, how fast, and in which results most is left to mend."""
    states: Counter[str] = Counter()
    seconds, left = 0.0, []
    for outcome in ended:
        states[outcome.state] += 1
        seconds += outcome.seconds
        if outcome.content and (faults := _faults(outcome, "after")):
            left.append((faults, outcome.output))
    took = perf_counter() - began
    counts = ", ".join(
        f"{states[state]} {state}" for state in ("done", "unchanged", "failed") if states[state]
    )
    speed = f"{seconds:.0f} s of audio in {took:.1f} s, {_speed(seconds, took)}"
    click.echo(f"{counts or 'nothing done'}; {speed}.")
    left.sort(key=lambda one: _weight(one[0]), reverse=True)
    if left:
        click.echo("Most is left to mend in:" if len(left) > 1 else "Something is left to mend in:")
    for faults, output in left[:WORST_SHOWN]:
        click.echo(one_line(f"  {output}  {_listed(faults)}"))
    if len(left) > WORST_SHOWN:
        click.echo(f"  and {len(left) - WORST_SHOWN} more; --csv FILE lists all")


def _faults(outcome: Outcome, when: str) -> dict[str, str]:
    """Return the severity of what was found ``before``, or is left ``after``, the worst first."""
    from nitido.diagnosis.finding import Diagnosis
    from nitido.generation.candidates import faults

    found = faults(Diagnosis.from_dict(outcome.content[when]))
    asked = outcome.content.get("no_faults", ()) if when == "after" else ()
    return {kind: severity for kind, severity in found.items() if kind not in asked}


def _weight(faults: Mapping[str, str]) -> int:
    from nitido.generation.candidates import POINTS

    return sum(POINTS[severity] for severity in faults.values())


def _listed(faults: Mapping[str, str]) -> str:
    return ", ".join(f"{kind} {severity}" for kind, severity in faults.items())


def _check_csv(name: str, jobs: Sequence[Job], texts: Sequence[str]) -> Path:
    """Return where the table goes; an earlier table may be replaced, and nothing else.

    Raises:
        AudioWriteError: something else lies there, or the folder is missing.
        ConfigError: a result is to lie there.
    """
    from nitido.audio import check_target

    path = Path(name)
    earlier = path.read_bytes()[:400].decode("utf-8-sig", "replace") if path.is_file() else ""
    ours = earlier.startswith(",".join(CSV_COLUMNS))
    overwrite = ours or any(job.overwrite for job in jobs)
    read = [*(job.source for job in jobs), *texts]
    check_target(path, overwrite=overwrite, forbidden=[Path(name) for name in read])
    if any(path.absolute() == Path(job.output).absolute() for job in jobs):
        raise ConfigError(f"{name} is to be a result of this run; give the table another name.")
    return path


def _write_csv(path: Path, jobs: Sequence[Job], ended: Mapping[str, Outcome]) -> None:
    """Write a row per piece, for a spreadsheet."""
    from nitido.audio import write_text

    text = io.StringIO()
    rows = csv.DictWriter(text, CSV_COLUMNS)
    rows.writeheader()
    for job in jobs:
        outcome = ended.get(job.output)
        row: dict[str, object] = {"file": job.shown, "output": job.output, "state": "not tried"}
        if outcome is not None:
            row |= {"state": outcome.state, "error": as_flags(outcome.error or "")}
            row["wall_seconds"] = round(outcome.wall_seconds, 3)
        if outcome is not None and outcome.content:
            content = outcome.content
            before, after = (_faults(outcome, when) for when in ("before", "after"))
            row |= {
                "seconds": content["before"]["samples"] / content["before"]["sample_rate"],
                "found_before": _listed(before),
                "left_after": _listed(after),
                "new_faults": ", ".join(content["new_faults"]),
                "si_sdr_db": content["changes"][-1]["si_sdr_db"] if content["changes"] else "",
            }
            for when in ("before", "after"):
                findings = {one["kind"]: one["value"] for one in content[when]["findings"]}
                row[f"lufs_{when}"] = findings["loudness"] and round(findings["loudness"], 2)
        rows.writerow(row)
    write_text(path, "\ufeff" + text.getvalue(), overwrite=True)  # Excel wants the mark


def _check_strict(outcomes: Iterable[Outcome], strict: bool) -> None:
    """Exit with 3 under --strict, where a result has a fault that its input had not."""
    if strict and any(outcome.content.get("new_faults") for outcome in outcomes):
        raise click.exceptions.Exit(3)


def as_entry(job: Job, outcome: Outcome) -> dict[str, Any]:
    """Return what became of a piece as it is printed with --json."""
    entry = outcome.entry(job)
    return {**entry, "error": as_flags(entry["error"])} if "error" in entry else entry


def _speed(seconds: float, wall_seconds: float) -> str:
    return f"{seconds / max(wall_seconds, 1e-6):.0f}× real time"
