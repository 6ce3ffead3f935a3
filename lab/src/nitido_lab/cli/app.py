"""The command `nitido-lab`: its sub-commands. Errors and exit status are those of `nitido`."""

from __future__ import annotations

import click

from nitido.cli.app import App
from nitido.version import __version__
from nitido_lab.cli.benchmark import benchmark
from nitido_lab.cli.conformance import conformance
from nitido_lab.cli.formats import formats
from nitido_lab.cli.listening import listening, listening_test
from nitido_lab.cli.masters import masters
from nitido_lab.cli.music import music
from nitido_lab.cli.site import site
from nitido_lab.cli.train import train

EXAMPLES = """\b
Examples:
  nitido-lab train lab/configs/quick.toml         a small network, in ten minutes
  nitido-lab music nitido-training/music          what is trained on, fetched
  nitido-lab benchmark speed                      nitido beside its systems, on this computer
  nitido-lab conformance                          each meter against its standard
  nitido-lab formats                              what comes through, from format to format
  nitido-lab listening-test songs/ -o test/       a blind test to send to people
  nitido-lab listening listening-*.json           what the listeners heard
  nitido-lab site                                 the documentation, with clips to listen to
  nitido-lab COMMAND --help                       more of each
"""


@click.group(cls=App, epilog=EXAMPLES, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="nitido-lab")
def main() -> None:
    """Train and measure nitido."""


for command in (
    *(benchmark, conformance, formats, listening, listening_test, masters, music, site, train),
):
    main.add_command(command)
