"""`nitido-lab listening`: what the listeners of a blind test heard."""

from __future__ import annotations

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.output import console, print_json, table

EXAMPLES = """\b
Examples:
  nitido compare song.wav song_restored.wav --abx test/   writes the page of the test
  nitido-lab listening listening-*.json                   what was heard
  nitido-lab listening one.json two.json --json
"""


@click.command(epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@as_json
@verbose
def listening(files: tuple[str, ...], as_json: bool) -> None:
    """Say what the listeners heard, from the files that the page of a blind test saved.

    Could the versions be told apart, and which is rated above which? With p, corrected for the
    number of pairs, and 95 % intervals.
    """
    from nitido_lab.listening import analyse_listening_results

    results = analyse_listening_results(files)
    if as_json:
        print_json(results.to_dict())
        return
    count = len(results.listeners)
    click.secho(f"{count} listener{'s' * (count != 1)}", bold=True)
    for sentence in results.sentences():
        click.echo(f"  {sentence}")
    if results.means:
        rows = table("version", "mean rating of 100>")
        for name, mean in results.means.items():
            rows.add_row(name, f"{mean:.1f}")
        console().print(rows)
