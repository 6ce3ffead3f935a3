"""`nitido-lab formats`: what comes through a restoration from each format into each."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import print_json, print_table

EXAMPLES = """\b
Examples:
  nitido-lab formats
  nitido-lab formats --docs docs/formats.md      the table in the page, measured anew
  nitido-lab formats --json
"""


@click.command(epilog=EXAMPLES)
@click.option("--docs", metavar="FILE", help="Put the table into this page.")
@as_json
@verbose
def formats(docs: str | None, as_json: bool) -> None:
    """Measure what comes through a restoration, from each of eight formats into each.

    Length, channel order, tags, cover, loop points and the mark of a generator: each is read back
    from the result, or looked for in the warnings. Needs the ffmpeg program.
    """
    from nitido_lab.formats import as_table, measure, write_docs

    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        passages = measure(Path(folder))
    found = as_table(passages)
    if docs:
        write_docs(Path(docs), found)
    if as_json:
        print_json([asdict(passage) for passage in passages])
        return
    print_table(found.columns, found.rows)
