"""`nitido restore`: repair pieces and write the results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nitido.batch.job import BIT_DEPTHS, Job
from nitido.batch.names import STREAM, SUFFIXES
from nitido.cli.jobs import run_album, run_dry, run_many, run_one, run_stream
from nitido.cli.options import as_json, damaged, max_seconds, verbose
from nitido.errors import ConfigError
from nitido.restoration.restore_options import RestoreOptions

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
  nitido restore song.wav --reference hit.flac     the tone nearer to that of another piece
  nitido restore battle.wav --loop                 the end runs on into the start: no click
  nitido restore song.wav --dry-run --json > plan.json   edit it, then
  nitido restore song.wav --plan plan.json
  cat song.mp3 | nitido restore - > song_restored.wav
\b
Many files:
  nitido restore songs/ -o done/ --workers 8       eight at a time
  nitido restore songs/ -o done/ --resume          go on; make again only what changed
  nitido restore songs/ -o done/ --shard 3/16      this machine does a sixteenth of them
  nitido restore --manifest list.jsonl -o done/    each with its own output, preset, settings, plan
  nitido restore album/*.wav -o master/ --album    one gain for all, edges untouched
  nitido restore songs/ -o done/ --csv done.csv    and a table of what was wrong, and what is left
  nitido restore s3://in/ -o s3://out/ --resume --ray ADDRESS       on a cluster
\b
A line of a list: a.wav, or {"input": "a.wav", "output": "x/a.flac", "preset": "gentle"}, with
"settings" ({"bandwidth.amount": 0.5}) or "plan" (a file, or the plan itself) if need be.
\b
More: 'nitido presets' lists the presets, 'nitido stages' every stage and setting.
"""


@click.command(epilog=EXAMPLES)
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("-o", "--output", metavar="OUT", help="File, folder, pattern with {stem}, or -.")
@click.option(
    "--preset", default=RestoreOptions.preset, show_default=True, help="See 'nitido presets'."
)
@click.option("--stages", metavar="A,B", help="Only these stages may run.")
@click.option(
    "--without",
    metavar="C,D",
    help="These stages do not run; 'ending': both ends stay, as of album tracks and stems.",
)
@click.option(
    "--set",
    "changed",
    multiple=True,
    metavar="STAGE.SETTING=VALUE",
    help="One setting; repeatable.",
)
@click.option("--reference", metavar="FILE", help="Bring the tone nearer to that of this piece.")
@click.option("--loudness", metavar="LUFS|off", help="Target; off keeps the level.  [default: -14]")
@click.option(
    "--loop/--no-loop",
    default=None,
    help="After the end comes the start again.  [default: as the file says]",
)
@click.option(
    "--album", is_flag=True, help="The pieces belong together: one gain, no fades at their edges."
)
@click.option(
    "--sample-rate",
    type=int,
    default=RestoreOptions.output_sample_rate,
    show_default=True,
    help="Of the result, Hz.",
)
@click.option("--plan", "plan_file", metavar="FILE", help="Carry out this plan, or a sidecar's.")
@click.option("--format", type=click.Choice(list(SUFFIXES)), help="Of results that -o leaves open.")
@click.option(
    "--bit-depth",
    type=click.Choice([str(depth) for depth in BIT_DEPTHS]),
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
@max_seconds
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
@click.option("--manifest", metavar="FILE", help="A list of pieces, instead of INPUT.")
@click.option(
    "--ray",
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Work on a Ray cluster; without ADDRESS, on one that is started here.",
)
@click.option("--csv", metavar="FILE", help="Also write a table with a row per piece.")
@as_json
@verbose
@click.pass_context
def restore(ctx: click.Context, /, inputs: tuple[str, ...], **options: Any) -> None:
    """Repair each INPUT and write the result beside it.

    INPUT is a file, a folder (with everything below it), a quoted glob, or - for standard input.
    Results of earlier runs, told by their sidecar, are passed over unless one is named alone. The
    result is NAME_restored.wav, with a sidecar NAME_restored.wav.nitido.json that says what was
    found and done; song.wav and song.flac in one run become song_wav_restored.wav and
    song_flac_restored.wav. The input is never changed. With --json one piece gives an object,
    several give a list with an object for each.

    A run of many goes on after a failure, which is said when it happens, and exits with 1. It ends
    with counts, and with the results in which most is left to mend; --csv lists all. It can be
    stopped or killed at any time: --resume goes on from there. Several runs with --resume over the
    same files share the work.
    """
    if options["album"]:
        _check_album(inputs, options)
    how = _how(options)
    output, as_json, strict = options["output"], options["as_json"], options["strict"]
    stream = list(inputs) == [STREAM] or (len(inputs) == 1 and output == STREAM)
    if options["csv"] is not None and (stream or options["dry_run"]):
        raise ConfigError("--csv is a table of results in files; leave it out here.")
    if stream:
        _spare(options["reference"], [replace(how, source=inputs[0], output=output or STREAM)])
        run_stream(inputs[0], how, output, dry=options["dry_run"], as_json=as_json, strict=strict)
        return
    jobs = _jobs(ctx, inputs, how, options)
    _spare(options["reference"], jobs)
    if options["dry_run"]:
        run_dry(jobs, as_json=as_json)
    elif options["album"]:
        run_album(jobs, as_json=as_json, strict=strict)
    elif len(jobs) == 1 and options["ray"] is None and options["csv"] is None:
        run_one(jobs[0], as_json=as_json, strict=strict)
    else:
        run_many(
            jobs,
            workers=options["workers"],
            ray=options["ray"],
            fail_fast=options["fail_fast"],
            csv_file=options["csv"],
            texts=[options[key] for key in ("manifest", "plan_file") if options[key]],
            as_json=as_json,
            strict=strict,
        )


def _check_album(inputs: Sequence[str], options: Mapping[str, Any]) -> None:
    """Refuse what an album, which is measured as a whole, cannot be combined with.

    Raises:
        ConfigError: a stream, or an option that shares the pieces out.
    """
    apart = next((n for n in ("resume", "shard", "ray", "csv") if options[n]), None)
    apart = "workers" if (options["workers"] or 1) > 1 else apart
    if apart is not None:
        raise ConfigError(f"An album is measured as a whole, in one run; leave out --{apart}.")
    if STREAM in (*inputs, options["output"]):
        raise ConfigError(
            "An album is made of files; '-' is a stream: name files, or leave out --album."
        )


def _how(options: Mapping[str, Any]) -> Job:
    """Return what holds for all pieces; a plan is read here.

    Raises:
        ConfigError: options that contradict each other, or a setting that is not one.
    """
    from nitido.audio import read_text
    from nitido.restoration.plan import Plan

    plan, depth = options["plan_file"], options["bit_depth"]
    return Job(
        options=RestoreOptions(
            options["preset"],
            None if options["stages"] is None else names(options["stages"]),
            names(options["without"] or ""),
            _settings(options),
            options["sample_rate"],
            plan=None if plan is None else Plan.from_json(read_text(plan)),
            stems=options["stems"],
            demucs_repo=options["demucs_repo"],
            max_seconds=options["max_seconds"],
            damaged=options["damaged"],
            album=options["album"],
        ),
        bit_depth=None if depth is None else int(depth),
        **{name: options[name] for name in ("format", "removed", "report", "overwrite", "resume")},
    )


def _jobs(
    ctx: click.Context, inputs: Sequence[str], how: Job, options: Mapping[str, Any]
) -> list[Job]:
    """Return the pieces that the command line names.

    Raises:
        ConfigError: options that contradict each other, or nothing to do.
    """
    from nitido.batch.inputs import make_jobs, read_shard, shard
    from nitido.batch.manifest import read_manifest

    ray, manifest, output = options["ray"], options["manifest"], options["output"]
    part = None if options["shard"] is None else read_shard(options["shard"])
    if ray is not None and Path(ray).exists():
        raise ConfigError(f"--ray took {ray!r} for the address of a cluster; put it last.")
    if manifest is not None:
        if inputs:
            raise ConfigError(f"--manifest lists the pieces; leave out {inputs[0]!r}.")
        jobs = read_manifest(manifest, how, output=output)
    elif not inputs:
        (argument,) = (one for one in ctx.command.params if one.name == "inputs")
        raise click.MissingParameter(ctx=ctx, param=argument)
    else:
        jobs = make_jobs(inputs, how, output=output)
    if part is None:
        return jobs
    chosen = shard(jobs, *part)
    if not chosen:
        click.echo(f"None of {len(jobs)} pieces is in shard {options['shard']}.", err=True)
    return chosen


def _spare(reference: str | None, jobs: Sequence[Job]) -> None:
    """Refuse results that would replace the reference, which is read as the inputs are.

    Raises:
        AudioWriteError: one would.
    """
    from nitido.result_files import check_outputs

    if reference is not None:
        pieces = [(job.source, job.files) for job in jobs if job.output != STREAM]
        check_outputs(pieces, inputs=[reference])


def names(text: str) -> list[str]:
    """Return the names in a list with commas.

    >>> names("decomb, width")
    ['decomb', 'width']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def read_settings(changed: Sequence[str]) -> dict[str, Any]:
    """Return ``stage.setting=value`` texts as a table; values are JSON, or ``off`` for none.

    >>> read_settings(["bandwidth.amount=0.5", "loudness.target_lufs=off"])
    {'bandwidth.amount': 0.5, 'loudness.target_lufs': None}
    """
    table: dict[str, Any] = {}
    for text in changed:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or "." not in key:
            raise ConfigError(
                f"--set {text!r} is no setting; write STAGE.SETTING=VALUE, such as "
                "bandwidth.amount=0.5 ('nitido stages' lists them)."
            )
        table[key] = _value(value, is_mode=key.endswith(".mode"))
    return table


def _value(text: str, *, is_mode: bool) -> Any:
    if is_mode:
        return text
    words = {"off": None, "none": None, "yes": True, "no": False, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    settings = read_settings(options["changed"])
    if options["reference"] is not None:
        from nitido.api import towards
        from nitido.audio import MAX_SECONDS

        longest = options["max_seconds"] or MAX_SECONDS
        tone = towards(options["reference"], max_seconds=longest, damaged=options["damaged"])
        settings = {**tone, **settings}
    if options["loudness"] is not None:
        settings |= read_settings([f"loudness.target_lufs={options['loudness']}"])
    if options["demucs_model"] is not None:
        settings["stems.model"] = options["demucs_model"]
    if options["loop"] is not None:
        settings["ending.loop"] = options["loop"]
    return settings
