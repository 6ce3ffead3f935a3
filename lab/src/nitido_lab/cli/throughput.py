"""`nitido-lab benchmark throughput`: what several workers get through, beside one."""

from __future__ import annotations

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import print_json, print_table

EXAMPLES = """\b
Examples:
  nitido-lab benchmark throughput --workers 8
  nitido-lab benchmark throughput --workers 2 --pieces 4 --seconds 10 --json
"""


@click.command(epilog=EXAMPLES)
@click.option("--workers", type=click.IntRange(2), default=2, show_default=True, help="Processes.")
@click.option("--pieces", type=click.IntRange(1), default=16, show_default=True, help="For each.")
@click.option(
    "--seconds",
    type=click.FloatRange(1.0, 3600.0),
    default=30.0,
    show_default=True,
    help="Length of a piece.",
)
@as_json
@verbose
def throughput(workers: int, pieces: int, seconds: float, as_json: bool) -> None:
    """Time the same pieces, restored by one worker on one core and by several on all.

    Several on as many cores should come to nine tenths of as many times one, or more. The computer
    has to be idle for that.
    """
    from nitido_lab.benchmark.throughput import measure

    result = measure(workers=workers, pieces=pieces, seconds=seconds)
    if as_json:
        print_json(result.to_dict())
        return
    shown = result.table()
    print_table(shown.heads, shown.rows, title=shown.title)
