"""`nitido-lab masters`: the range of tone that the stage `match` moves music into, measured."""

from __future__ import annotations

from pathlib import Path

import click

from nitido.cli.options import verbose

EXAMPLES = """\b
Examples:
  nitido-lab masters shared/audio/clean/train -o src/nitido/restoration/masters.json
"""


@click.command(epilog=EXAMPLES)
@click.argument("folders", nargs=-1, required=True, metavar="FOLDER...")
@click.option("-o", "--output", metavar="FILE", required=True, help="Where the range is written.")
@verbose
def masters(folders: tuple[str, ...], output: str) -> None:
    """Measure in which range the tone of the music in each FOLDER lies.

    Only pieces of 15 s and more that reach up to 15 kHz count; the range is that of eight in ten
    of them.
    """
    from nitido_lab.masters import measure_range

    files = sorted(path for folder in folders for path in Path(folder).rglob("*.*"))
    found = measure_range(files)
    Path(output).write_text(found.to_json(), "utf-8")
    click.echo(f"{len(found.pieces)} of {len(files)} pieces: {output}")
