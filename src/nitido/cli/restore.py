"""`nitido restore`: repair pieces and write the results."""

from __future__ import annotations

from typing import Any

import click

from nitido.cli.each import each
from nitido.cli.options import as_json, verbose
from nitido.cli.order import read_order
from nitido.cli.run import check_streams, dry_run, run
from nitido.jobs import SUFFIXES, Job, make_jobs

EXAMPLES = """\b
Examples:
  nitido restore song.wav                          song_restored.wav, beside it
  nitido restore song.wav -o master.flac           the suffix names the format
  nitido restore songs/ -o done/                   all audio in a folder
  nitido restore 'takes/*.wav' -o 'out/{stem}.flac'
  nitido restore song.wav --report                 and a page: listen, look, read
  nitido restore song.wav --dry-run                what would be done, and why
  nitido restore song.wav --preset gentle --without width
  nitido restore song.wav --set bandwidth.amount=0.5 --loudness -16
  nitido restore song.wav --dry-run --json > plan.json   edit it, then
  nitido restore song.wav --plan plan.json
  cat song.mp3 | nitido restore - > song_restored.wav
\b
More: 'nitido presets' lists the presets, 'nitido stages' every stage and setting.
"""


@click.command(epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("-o", "--output", metavar="OUT", help="File, folder, pattern with {stem}, or -.")
@click.option("--preset", default="musicgen", show_default=True, help="musicgen, gentle or master.")
@click.option("--stages", metavar="A,B", help="Only these stages may run.")
@click.option("--without", metavar="C,D", help="These stages do not run.")
@click.option(
    "--set",
    "changed",
    multiple=True,
    metavar="STAGE.SETTING=VALUE",
    help="One setting; repeatable.",
)
@click.option("--loudness", metavar="LUFS|off", help="Target; off keeps the level.  [default: -14]")
@click.option("--loop", is_flag=True, help="The piece is a loop: its ends are left alone.")
@click.option(
    "--sample-rate", type=int, default=48_000, show_default=True, help="Of the result, Hz."
)
@click.option("--plan", "plan_file", metavar="FILE", help="Carry out this plan, or a sidecar's.")
@click.option("--format", type=click.Choice(list(SUFFIXES)), help="Of results that -o leaves open.")
@click.option(
    "--bit-depth", type=click.Choice(["16", "24", "32"]), help="32 is float. [default: 24]"
)
@click.option("--removed", is_flag=True, help="Also write what was taken away, NAME.removed.wav.")
@click.option(
    "--report", is_flag=True, help="Also write a page to listen and look, NAME.report.html."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@click.option("--overwrite", is_flag=True, help="Replace results that exist already.")
@as_json
@verbose
@click.pass_context
def restore(ctx: click.Context, /, inputs: tuple[str, ...], **options: Any) -> None:
    """Repair each INPUT and write the result beside it.

    INPUT is a file, a folder (with everything below it; results of earlier runs are passed over), a
    quoted glob, or - for standard input. The result is NAME_restored.wav, with a sidecar
    NAME_restored.wav.nitido.json that says what was found and done. The input is never changed.
    With --json one piece gives an object, several give a list.
    """
    order = read_order(ctx, options)
    jobs = make_jobs(inputs, output=order.output, format=order.format)
    check_streams(jobs, order)
    work = dry_run if order.dry_run else run
    each(jobs, lambda job: work(job, order), name=_name, as_json=order.as_json)


def _name(job: Job) -> str:
    return str(job.source)
