"""`nitido generate`: music from words, and what becomes of it, in a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import print_json
from nitido.cli.progress import progress
from nitido.errors import ConfigError
from nitido.generation.settings import GenerateOptions, Request, read_requests
from nitido.restoration.restore_options import RestoreOptions

EXAMPLES = """\b
Examples:
  nitido generate "An 80s pop song with heavy synth and punchy drums" --restore -o run/
  nitido generate "slow jazz, brushes and double bass" --seconds 60 --seed 7
  nitido generate "lo-fi beat" --candidates 4 --restore --report
  nitido generate --prompts prompts.txt --model facebook/musicgen-stereo-small -o album/
  nitido generate "the same on a harpsichord" --melody tune.wav --model facebook/musicgen-melody
  nitido generate "and then the drums come in" --continue sketch.wav
  nitido generate "techno" --device cuda --dtype float16 --json
\b
A line of prompts.txt is a prompt, or JSON: {"prompt": "slow jazz", "seed": 7, "seconds": 20}
"""
_GENERATING = (
    "model", "revision", "guidance", "temperature", "top_k", "device", "dtype", "melody",
    "continue_from", "batch_size",
)  # fmt: skip
_RUNNING = ("candidates", "keep_all", "stems", "report", "overwrite")


@click.command(epilog=EXAMPLES, short_help="Make music from each PROMPT with MusicGen.")
@click.argument("prompts", nargs=-1, metavar="[PROMPT]...")
@click.option("--prompts", "prompt_file", metavar="FILE", help="More prompts, one a line.")
@click.option(
    "-o", "--output", default="run", show_default=True, metavar="FOLDER", help="Where to."
)
@click.option(
    "--model",
    default=GenerateOptions.model,
    show_default=True,
    help="Checkpoint on huggingface.co, or a local folder.",
)
@click.option("--revision", help="Of the checkpoint.  [default: the newest]")
@click.option(
    "--seconds", type=float, default=Request.seconds, show_default=True, help="How much to make."
)
@click.option(
    "--seed", type=int, default=Request.seed, show_default=True, help="Of the random numbers."
)
@click.option(
    "--guidance",
    type=float,
    default=GenerateOptions.guidance,
    show_default=True,
    help="How hard the prompt pulls; 1: not.",
)
@click.option(
    "--temperature",
    type=float,
    default=GenerateOptions.temperature,
    show_default=True,
    help="Above 1 bolder, below safer.",
)
@click.option(
    "--top-k",
    type=int,
    default=GenerateOptions.top_k,
    show_default=True,
    help="Draw among the likeliest; 0: all.",
)
@click.option("--melody", metavar="FILE", help="Follow this tune; needs a melody checkpoint.")
@click.option("--continue", "continue_from", metavar="FILE", help="Go on from this recording.")
@click.option(
    "--candidates",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Make N, keep the one with the fewest artefacts.",
)
@click.option("--keep-all", is_flag=True, help="Keep the other candidates, too.")
@click.option("--restore", is_flag=True, help="Restore what is kept.")
@click.option(
    "--preset", metavar="NAME", help=f"To restore with.  [default: {RestoreOptions.preset}]"
)
@click.option("--stems", is_flag=True, help="Also write the stems of the restored piece.")
@click.option("--demucs-model", metavar="NAME", help="That separates stems.  [default: htdemucs]")
@click.option("--demucs-repo", metavar="FOLDER", help="Of Demucs models, in the hub's layout.")
@click.option("--report", is_flag=True, help="Also write a page to listen and look.")
@click.option(
    "--device",
    default=GenerateOptions.device,
    show_default=True,
    metavar="NAME",
    help="auto, cuda, cuda:N, mps, cpu.",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "float16", "bfloat16"]),
    default=GenerateOptions.dtype,
    show_default=True,
    help="auto: float16 on cuda.",
)
@click.option(
    "--batch",
    "batch_size",
    type=int,
    default=GenerateOptions.batch_size,
    show_default=True,
    metavar="N",
    help="Most pieces at once on the device.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier run.")
@as_json
@verbose
def generate(prompts: tuple[str, ...], **options: Any) -> None:
    """Make music from each PROMPT with MusicGen, and restore it if asked to.

    One prompt fills the folder itself, several get a numbered folder each: raw/ (as generated),
    processed/ (48 kHz), restored/, stems/, report/ and run.json, which says how it was made. Beyond
    30 s a piece goes on in windows. The checkpoint is fetched once; its weights have a licence of
    their own. With --json one prompt gives an object, several give a list.
    """
    from nitido import api
    from nitido.generation.run_folder import Run, carry_out

    quiet = bool(options["as_json"])
    seed, seconds = options["seed"], options["seconds"]
    requests = [Request(prompt, seed, seconds) for prompt in prompts]
    if options["prompt_file"] is not None:
        requests += read_requests(options["prompt_file"], Request("any", seed, seconds))
    run = Run(
        requests,
        GenerateOptions(**{name: options[name] for name in _GENERATING}),
        Path(options["output"]),
        diagnose=api.diagnose,
        restore=_restore(options),
        **{name: options[name] for name in _RUNNING},
    )
    records = []
    for record in carry_out(run, watch=lambda name: progress(name, quiet=quiet)):
        records.append(record)
        if not quiet:
            show(record)
    if quiet:
        print_json(records[0] if len(records) == 1 else records)


def _restore(options: Mapping[str, Any]) -> Callable[..., Any] | None:
    """Return `nitido.restore` with what was chosen for it, None if it was not asked for."""
    from nitido import api

    if not options["restore"]:
        for name in ("preset", "demucs_model", "demucs_repo"):
            if options[name] is not None:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} belongs to a restoration; it needs --restore.")
        return None
    model = options["demucs_model"]
    chosen: dict[str, Any] = {
        "preset": options["preset"] or RestoreOptions.preset,
        "settings": None if model is None else {"stems.model": model},
        "demucs_repo": options["demucs_repo"],
        "device": options["device"],
    }
    RestoreOptions(**chosen)  # what is wrong is said before anything is generated
    return partial(api.restore, **chosen)


def show(record: dict[str, Any]) -> None:
    """Print what was made from one prompt."""
    click.secho(record["folder"], bold=True, nl=False)
    click.echo(f"  {record['prompt']}")
    for piece in record["pieces"]:
        mark = "" if piece["kept"] else "  (not chosen)"
        sound = f"{piece['seconds']:.1f} s, seed {piece['seed']}, {piece['model']}"
        click.echo(f"  {piece['name']}: {sound}{mark}")
        for path in piece["files"].values():
            click.echo(f"    {path}")
    if "choice" in record:
        click.echo(f"  {record['choice']['reason']}")
