"""`nitido-lab train`: rebuild the network, from music to the file that ships."""

from __future__ import annotations

from pathlib import Path

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import print_json

EXAMPLES = """\b
Examples:
  nitido-lab train lab/configs/quick.toml                       a small one, in ten minutes
  nitido-lab train lab/configs/bandwidth.toml --minutes 240     longer than the one that ships
  nitido-lab train lab/configs/quick.toml --audio my-music/     on music of your own
"""


@click.command(epilog=EXAMPLES)
@click.argument("config", metavar="CONFIG.toml")
@click.option("--minutes", type=click.FloatRange(0.0), help="Train at most so long, all runs.")
@click.option(
    "--audio",
    multiple=True,
    metavar="FOLDER",
    help="Music of your own instead of CONFIG's, whatever its licence; repeatable.",
)
@click.option("--out", metavar="FOLDER", help="Where cache, checkpoints and network go.")
@as_json
@verbose
def train(
    config: str, minutes: float | None, audio: tuple[str, ...], out: str | None, as_json: bool
) -> None:
    """Train a network as CONFIG.toml says, and export it.

    What it needs of the lab's list of music is fetched first. Run it again and it goes on where it
    was, also after a kill. The figures say how unlike the
    music it sounds above each ceiling, 0 for alike; in brackets what the rule reaches on the same
    pieces.
    """
    from nitido_lab.training.config import read_config, require

    own = {"audio": audio, "licences": (), "music": ()} if audio else {}
    read = read_config(Path(config), minutes=minutes, out=out, **own)
    require(read)
    from nitido_lab.training.build import build

    built = build(read, on_line=None if as_json else click.echo)
    if as_json:
        print_json(built.to_dict())
        return
    click.echo(f"{built.path}  {built.sha256}")
