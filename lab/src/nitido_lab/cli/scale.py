"""`nitido-lab benchmark scale`: what a piece costs when there are many."""

from __future__ import annotations

from pathlib import Path

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import print_json, print_table

EXAMPLES = """\b
Examples:
  nitido-lab benchmark scale
  nitido-lab benchmark scale --sizes 10,100,1000,10000 --workers 1,2 --plot scale.png
"""


def numbers(text: str) -> tuple[int, ...]:
    """Return whole numbers from 1 on, which are written with commas between.

    >>> numbers("10,100")
    (10, 100)
    """
    found = tuple(int(one) for one in text.split(","))
    if min(found) < 1:
        raise ValueError(text)
    return found


@click.command(epilog=EXAMPLES)
@click.option("--sizes", type=numbers, default="10,100", show_default=True, help="Of folders.")
@click.option("--workers", type=numbers, default="1,2", show_default=True, help="Processes.")
@click.option(
    "--seconds",
    type=click.FloatRange(1.0, 3600.0),
    default=10.0,
    show_default=True,
    help="Length of a piece.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Also draw it.")
@as_json
@verbose
def scale(
    sizes: tuple[int, ...],
    workers: tuple[int, ...],
    seconds: float,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Time the command on folders of so many pieces, with so many workers each.

    Ten thousand pieces of ten seconds need two hours and a half with one and two workers, and 21 GB
    for the results while they are made. The computer has to be idle for that.
    """
    from nitido_lab.benchmark.scale import measure

    result = measure(sizes=sizes, workers=workers, piece_seconds=seconds)
    if plot is not None:
        result.plot(plot)
    if as_json:
        print_json(result.to_dict())
        return
    shown = result.table()
    print_table(shown.heads, shown.rows, title=shown.title)
