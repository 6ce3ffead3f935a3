"""`nitido demo`: hear and see what nitido does, on a piece that it makes itself."""

from __future__ import annotations

from pathlib import Path

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import print_json
from nitido.cli.progress import progress

EXAMPLES = """\b
Examples:
  nitido demo
  nitido demo -o /tmp/listen
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "-o", "--output", default="nitido-demo", show_default=True, metavar="FOLDER", help="Where to."
)
@as_json
@verbose
def demo(output: str, as_json: bool) -> None:
    """Make a short piece, spoil it, and restore it.

    It is spoiled as a neural decoder does it: mono, nothing above 16 kHz, a metallic comb, quiet,
    and cut off in mid-note. Needs no network and no file. What an earlier demo wrote into the
    folder is replaced.
    """
    from nitido.demo import make_demo

    with progress("demo", quiet=as_json) as on_progress:
        made = make_demo(Path(output), on_progress=on_progress)
    if as_json:
        print_json(made.to_dict())
        return
    click.secho("Listen", bold=True)
    for name, path in made.files.items():
        click.echo(f"  {path}  {name}")
    click.secho("What changed", bold=True)
    for line in made.restoration.sentences():
        click.echo(f"  {line}")
