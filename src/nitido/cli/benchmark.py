"""`nitido benchmark`: measured figures of this computer."""

from __future__ import annotations

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.output import console, print_json, table

EXAMPLES = """\b
Examples:
  nitido benchmark speed
  nitido benchmark speed --seconds 20 --json
"""


@click.group(epilog=EXAMPLES)
def benchmark() -> None:
    """Measure nitido on this computer."""


@benchmark.command(epilog=EXAMPLES)
@click.option(
    "--seconds",
    type=click.FloatRange(1.0, 3600.0),
    default=60.0,
    show_default=True,
    help="Length of the piece.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="Runs of each, in turn; the medians are shown.",
)
@as_json
@verbose
def speed(seconds: float, runs: int, as_json: bool) -> None:
    """Time the default preset on faulty 48 kHz stereo, and measure its memory.

    Beside it, in the same run, the floor: one resampling and one short-time Fourier transform there
    and back of the same piece.
    """
    from nitido.benchmark.speed import measure

    result = measure(seconds=seconds, runs=runs)
    if as_json:
        print_json(result.to_dict())
        return
    rows = table("what", "measured>")
    for name, text in result.rows():
        rows.add_row(name, text)
    console().print(rows)
