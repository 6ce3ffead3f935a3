"""`nitido check`: is a piece fit for where it goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nitido.cli.each import each
from nitido.cli.options import as_json, max_seconds, verbose
from nitido.cli.printing import STYLES, console, table
from nitido.cli.progress import progress
from nitido.errors import one_line

if TYPE_CHECKING:
    from nitido.delivery_check import Verdict

EXAMPLES = """\b
Examples:
  nitido check song.wav                    for streaming services in general
  nitido check song.wav --for spotify
  nitido check album/ --for apple --strict   a line for each piece in a folder
  nitido check trailer.wav --for broadcast --json
\b
Targets: streaming, spotify, apple, youtube, amazon, tidal, deezer, podcast, broadcast (EBU R 128),
broadcast-us (ATSC A/85), game (ASWG-R001).
"""
NOT_FIT = 3  # as `nitido restore --strict`: it was done, and the sound is not as it should be


@click.command(epilog=EXAMPLES, short_help="Say whether each FILE is fit for where it goes.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--for",
    "target",
    default="streaming",
    show_default=True,
    metavar="TARGET",
    help="Where it goes: spotify, apple, youtube, broadcast, game …",
)
@click.option("--strict", is_flag=True, help="Exit with 3 for what is only to be minded, too.")
@max_seconds
@as_json
@verbose
def check(
    files: tuple[str, ...], target: str, strict: bool, max_seconds: float | None, as_json: bool
) -> None:
    """Say whether each FILE is fit for where it goes, and why; nothing is changed.

    Loudness, and what the place does about it; true peak, as it is and after the codecs that the
    place plays with; cut-off peaks, dropouts, silence, constant offset, a dead channel; what is
    lost on one loudspeaker; the format. Exits with 3 if a piece is not fit, with 1 if one could not
    be read. FILE may also be a folder (with everything below it) or a quoted glob: several pieces
    get a line each. With --json one file gives an object, several give a list.
    """
    from nitido.batch.inputs import find_audio

    pieces = find_audio(files)
    verdicts: list[Verdict] = []

    def work(file: str) -> dict[str, Any]:
        from nitido.audio import MAX_SECONDS
        from nitido.delivery_check import check as judge

        with progress(Path(file).name, quiet=as_json) as on_progress:
            verdict = judge(
                file, target=target, max_seconds=max_seconds or MAX_SECONDS, on_progress=on_progress
            )
        verdicts.append(verdict)
        if len(pieces) == 1 and not as_json:
            show(file, verdict)
        elif not as_json:
            click.echo(one_line(f"{file}  {verdict.sentence}"))
        return {"file": file, **verdict.to_dict()}

    each(pieces, work, as_json=as_json)
    if not all(verdict.clean if strict else verdict.passed for verdict in verdicts):
        raise click.exceptions.Exit(NOT_FIT)


def show(name: str, verdict: Verdict) -> None:
    """Print a verdict as a table, and in words."""
    from rich.text import Text

    from nitido.delivery_check import FAILS, NAMES
    from nitido.report.formatting import amount, minus

    rows = table("what", "how much>", "", "in words")
    for reason in verdict.reasons:
        said = "fails" if reason.severity in FAILS else "mind" if reason.found else "ok"
        rows.add_row(
            NAMES.get(reason.kind, reason.kind),
            amount(reason),
            Text(said, STYLES[reason.severity]),
            Text(minus(reason.summary), "" if reason.found else "dim"),
        )
    click.secho(name, bold=True)
    console().print(rows)
    click.echo(verdict.sentence)
    for line in filter(None, (verdict.target.remark, *verdict.target.sources)):
        click.secho(f"  {line}", dim=True)
    click.echo()
