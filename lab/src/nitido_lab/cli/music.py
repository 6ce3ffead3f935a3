"""`nitido-lab music`: fetch what is trained on, and say whom it is by."""

from __future__ import annotations

from pathlib import Path

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import print_json

EXAMPLES = """\b
Examples:
  nitido-lab music nitido-training/music                          all of it
  nitido-lab music my-music --source 'MTG/*' --source librosa/data
  nitido-lab music my-music --mirror repositories/                without a network
  nitido-lab music --docs src/nitido/weights/bandwidth.md         the credits, into the card
"""


@click.command(epilog=EXAMPLES)
@click.argument("folder", required=False)
@click.option(
    "--source",
    "sources",
    multiple=True,
    default=("*",),
    metavar="PATTERN",
    help="Only of these repositories and packages; repeatable.",
)
@click.option(
    "--mirror",
    metavar="FOLDER",
    help="Holds git repositories, as owner/name or owner+name, and Debian packages.",
)
@click.option("--docs", metavar="FILE", help="Put the credits into this page.")
@as_json
@verbose
def music(
    folder: str | None,
    sources: tuple[str, ...],
    mirror: str | None,
    docs: str | None,
    as_json: bool,
) -> None:
    """Fetch the music that networks are trained on into FOLDER, by SHA-256.

    It comes from public git repositories and Debian packages, so git and apt-get have to be there.
    Run it again and it goes on where it was stopped.
    """
    from nitido_lab.training.music import fetch_all, write_credits

    if folder is None and docs is None:
        raise click.UsageError("Name the FOLDER to fill, or a page for the credits with --docs.")
    if docs is not None:
        write_credits(Path(docs), sources)
    if folder is None:
        return
    there = fetch_all(
        Path(folder),
        sources=sources,
        mirror=Path(mirror) if mirror else None,
        on_line=None if as_json else click.echo,
    )
    if as_json:
        print_json({"folder": folder, "files": there})
        return
    click.echo(f"{there} files in {folder}")
