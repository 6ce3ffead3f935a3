"""`nitido-lab listening-test`: a blind test; `nitido-lab listening`: what was heard in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import console, print_json, table

EXAMPLES = """\b
Examples:
  nitido compare song.wav song_restored.wav --abx test/   writes the page of a test
  nitido-lab listening-test songs/ -o test/               or one of many songs
  nitido-lab listening listening-*.json                   what was heard
  nitido-lab listening one.json two.json --json
"""


@click.command(
    "listening-test",
    epilog="\b\nExamples:\n  nitido-lab listening-test songs/ -o test/\n"
    "  nitido-lab listening-test songs/*.mp3 -o test/ --pairs 6 --without width\n",
)
@click.argument("inputs", nargs=-1, required=True, metavar="SONG|FOLDER...")
@click.option("-o", "--output", metavar="FOLDER", required=True, help="Where the page goes.")
@click.option("--pairs", type=click.IntRange(1), default=12, show_default=True, help="Of pieces.")
@click.option("--preset", default="auto", show_default=True, help="To restore with.")
@click.option("--without", metavar="A,B", default="", help="These stages do not run.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order.")
@click.option(
    "--trials", type=click.IntRange(1), default=24, show_default=True, help="Of ABX, in all."
)
@click.option("--overwrite", is_flag=True, help="Replace a page that exists already.")
@as_json
@verbose
def listening_test(
    inputs: tuple[str, ...], output: str, without: str, as_json: bool, **options: Any
) -> None:
    """Write a blind test to send to people: passages of your songs, before and after nitido.

    One page that opens from disk: ABX, then a rating, of a passage of each piece. Songs in which
    nothing is repaired are left out. What listeners save, 'nitido-lab listening' reads.
    """
    from nitido_lab.benchmark.clips import audio_below
    from nitido_lab.listening import write_pairs_test

    given = [Path(name) for name in inputs]
    paths = [path for one in given for path in (audio_below(one) if one.is_dir() else [one])]
    stages = [name for name in without.split(",") if name]
    made = write_pairs_test(output, paths, without=stages, **options)
    if as_json:
        print_json({"page": str(made.path), "pieces": made.pieces, "unchanged": made.unchanged})
        return
    click.echo(f"Written: {made.path}, {len(made.pieces)} pairs")
    if made.unchanged:
        click.echo(f"  Nothing to repair in: {', '.join(made.unchanged)}")


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
