"""`nitido diagnose`: what is wrong with a piece."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nitido.cli.each import each
from nitido.cli.options import as_json, damaged, verbose
from nitido.cli.output import STYLES, console, table
from nitido.cli.progress import progress
from nitido.errors import one_line

if TYPE_CHECKING:
    from nitido.diagnosis.finding import Diagnosis

EXAMPLES = """\b
Examples:
  nitido diagnose song.wav
  nitido diagnose takes/                       a line for each piece in a folder
  nitido diagnose 'takes/**/*.flac'
  nitido diagnose song.wav --json > song.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--max-seconds",
    type=click.FloatRange(0, min_open=True),
    default=21_600.0,
    show_default="21600: six hours",
    metavar="S",
    help="Refuse longer pieces.",
)
@damaged
@as_json
@verbose
def diagnose(files: tuple[str, ...], max_seconds: float, damaged: Any, as_json: bool) -> None:
    """Say what is wrong with each FILE; nothing is changed.

    FILE may also be a folder (with everything below it) or a quoted glob. A single file gets one
    row per property of the sound: what was measured, how bad it is, and where; several get a line
    each. With --json one file gives an object, several give a list.
    """
    from nitido.batch.inputs import find_audio

    pieces = find_audio(files)
    counts: Counter[str] = Counter()

    def work(file: str) -> dict[str, Any]:
        from nitido import api
        from nitido.report.text import describe_diagnosis

        with progress(Path(file).name, quiet=as_json) as on_progress:
            diagnosis = api.diagnose(
                file, max_seconds=max_seconds, damaged=damaged, on_progress=on_progress
            )
        counts.update(finding.kind for finding in diagnosis.findings if finding.found)
        if len(pieces) == 1 and not as_json:
            show(file, diagnosis)
        elif not as_json:
            click.echo(one_line(f"{file}  {describe_diagnosis(diagnosis)}"))
            for warning in diagnosis.warnings:
                click.echo(one_line(f"  {warning}"))
        return {"file": file, **diagnosis.to_dict()}

    def end() -> None:
        found = ", ".join(f"{kind} in {count}" for kind, count in counts.most_common())
        click.echo(f"{len(pieces)} pieces; found: {found or 'nothing'}.")

    each(pieces, work, as_json=as_json, end=end)


def show(name: str, diagnosis: Diagnosis) -> None:
    """Print a diagnosis as a table."""
    from rich.text import Text

    from nitido.report.formatting import amount, channels, clock, minus, places
    from nitido.report.text import describe_diagnosis

    rows = table("what", "how much>", "severity", "where", "in words")
    for finding in diagnosis.findings:
        style = STYLES[finding.severity]
        rows.add_row(
            finding.kind,
            amount(finding),
            Text(finding.severity, style),
            places(finding),
            Text(minus(finding.summary), "" if finding.found else "dim"),
        )
    click.secho(name, bold=True, nl=False)
    length, form = clock(diagnosis.duration_seconds), channels(diagnosis.channels)
    loop = f", {diagnosis.loop_told}" if diagnosis.loop else ""
    click.echo(f"  {length}, {diagnosis.sample_rate} Hz, {form}{loop}")
    for warning in diagnosis.warnings:
        click.echo(f"  {warning}")
    console().print(rows)
    click.echo(describe_diagnosis(diagnosis) + "\n")
