"""`nitido-lab site`: the documentation as a site."""

from __future__ import annotations

from pathlib import Path

import click

from nitido.cli.options import verbose
from nitido.optional import load

EXAMPLES = """\b
Examples:
  nitido-lab site                    site/index.html, from the repository around
  nitido-lab site -o /srv/nitido
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "-o", "--output", default="site", show_default=True, metavar="FOLDER", help="Where to."
)
@click.option("--root", default=".", metavar="FOLDER", help="The repository, if not here.")
@verbose
def site(output: str, root: str) -> None:
    """Build the site: all pages, and one of each stage and finding with clips to listen to.

    The clips are made here: a piece of nitido demo, spoilt, examined and restored. Needs mkdocs;
    a link that leads nowhere is an error.
    """
    load("material", need="The site", remedy="pip install -e 'lab[site]'")
    from nitido_lab.site import build

    click.echo(f"Written: {build(Path(root), Path(output))}")
