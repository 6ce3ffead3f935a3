"""`nitido-lab conformance`: how each meter reads the cases of its own standard."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import print_json, print_table

EXAMPLES = """\b
Examples:
  nitido-lab conformance
  nitido-lab conformance --docs docs/conformance.md   the table in the page, measured anew
  nitido-lab conformance --json
"""


@click.command(epilog=EXAMPLES)
@click.option("--docs", metavar="FILE", help="Put the table into this page.")
@as_json
@verbose
def conformance(docs: str | None, as_json: bool) -> None:
    """Hold each meter against the cases of its own standard, with the tolerance.

    LUFS and true peak against EBU Tech 3341, loudness range against Tech 3342; SI-SDR and comb
    against signals of known answer. Exits with 1 if a case fails.
    """
    from nitido_lab.conformance import as_table, measure, write_docs

    cases = measure()
    found = as_table(cases)
    if docs:
        write_docs(Path(docs), found)
    if as_json:
        print_json([{**asdict(case), "passes": case.passes} for case in cases])
    else:
        print_table(found.columns, found.rows)
    failed = [case for case in cases if not case.passes]
    if failed:
        names = ", ".join(f"{case.number} ({case.meter})" for case in failed)
        click.echo(f"{len(failed)} of {len(cases)} cases fail: {names}.", err=True)
        raise click.exceptions.Exit(1)
