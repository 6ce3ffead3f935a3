"""`nitido restore`: repair pieces and write the results."""

from __future__ import annotations

from typing import Any

import click

from nitido.cli.many import run_many
from nitido.cli.options import as_json, damaged, verbose
from nitido.cli.order import read_order
from nitido.cli.run import find_tasks, is_stream, run_dry, run_one, run_stream
from nitido.jobs import SUFFIXES

EXAMPLES = """\b
Examples:
  nitido restore song.wav                          song_restored.wav, beside it
  nitido restore song.wav -o master.flac           the suffix names the format
  nitido restore songs/ -o done/                   all audio in a folder
  nitido restore 'takes/*.wav' -o 'out/{stem}.flac'
  nitido restore song.wav --report                 and a page: listen, look, read
  nitido restore song.wav --stems                  and drums, bass, other, vocals, residual
  nitido restore song.wav --dry-run                what would be done, and why
  nitido restore song.wav --preset gentle --without width
  nitido restore song.wav --set bandwidth.amount=0.5 --loudness -16
  nitido restore song.wav --dry-run --json > plan.json   edit it, then
  nitido restore song.wav --plan plan.json
  cat song.mp3 | nitido restore - > song_restored.wav
\b
Many files:
  nitido restore songs/ -o done/ --workers 8       eight at a time
  nitido restore songs/ -o done/ --resume          go on; make again only what changed
  nitido restore songs/ -o done/ --shard 3/16      this machine does a sixteenth of them
  nitido restore --manifest list.jsonl -o done/    each with its own output, preset, settings, plan
  nitido restore s3://in/ -o s3://out/ --resume --ray ADDRESS       on a cluster
\b
A line of a list: {"input": "a.wav", "output": "x/a.flac", "preset": "gentle"}. "settings"
({"bandwidth.amount": 0.5}) or "plan" (a file, or the plan itself) may stand there as well.
\b
More: 'nitido presets' lists the presets, 'nitido stages' every stage and setting.
"""


@click.command(epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("-o", "--output", metavar="OUT", help="File, folder, pattern with {stem}, or -.")
@click.option("--preset", default="musicgen", show_default=True, help="See 'nitido presets'.")
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
    "--bit-depth",
    type=click.Choice(["16", "24", "32"]),
    help="32 is float.  [default: 24; 32 where peaks exceed full scale]",
)
@click.option("--removed", is_flag=True, help="Also write what was taken away, NAME.removed.wav.")
@click.option(
    "--report", is_flag=True, help="Also write a page to listen and look, NAME.report.html."
)
@click.option("--stems", is_flag=True, help="Also write the stems, NAME.stems/drums.wav and so on.")
@click.option("--demucs-model", metavar="NAME", help="That separates stems.  [default: htdemucs]")
@click.option(
    "--demucs-repo", metavar="FOLDER", help="Of Demucs models: NAME.yaml and SIG.safetensors."
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="Refuse longer pieces.  [default: 21600: six hours]",
)
@damaged
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@click.option("--overwrite", is_flag=True, help="Replace results that exist already.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes.  [default: 1]")
@click.option(
    "--resume",
    is_flag=True,
    help="Keep results of the same input, choices and version; make the others again.",
)
@click.option(
    "--strict", is_flag=True, help="Exit with 3 if a result has a fault that its input had not."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first piece that fails.")
@click.option("--shard", metavar="K/N", help="Only part K of N, told apart by their names.")
@click.option("--manifest", metavar="FILE", help="Pieces listed in JSON Lines, instead of INPUT.")
@click.option(
    "--ray",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Work on a Ray cluster; without ADDRESS, on one that is started here.",
)
@as_json
@verbose
@click.pass_context
def restore(ctx: click.Context, /, inputs: tuple[str, ...], **options: Any) -> None:
    """Repair each INPUT and write the result beside it.

    INPUT is a file, a folder (with everything below it), a quoted glob, or - for standard input.
    Results of earlier runs, told by their sidecar, are passed over unless one is named alone. The
    result is NAME_restored.wav, with a sidecar NAME_restored.wav.nitido.json that says what was
    found and done. The input is never changed. With --json one piece gives an object, several give
    a list with an object for each.

    A run of many goes on after a failure, lists at the end what failed and why, and exits with 1.
    It can be stopped or killed at any time: --resume goes on from there. Several runs with --resume
    over the same files share the work.
    """
    order = read_order(ctx, options)
    if is_stream(inputs, order):
        run_stream(inputs, order)
        return
    tasks = find_tasks(ctx, inputs, order)
    if order.dry_run:
        run_dry(tasks, order)
    elif len(tasks) == 1 and order.ray is None:
        run_one(tasks[0], order)
    else:
        run_many(tasks, order)
