"""`nitido doctor`: what is installed, what is wrong, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from nitido.cli.options import as_json, verbose
from nitido.cli.printing import console, print_json, table

if TYPE_CHECKING:
    from nitido.doctor import Check

EXAMPLES = """\b
Examples:
  nitido doctor
  nitido doctor --json
"""
STYLES = {"ok": "green", "absent": "dim", "warning": "bold yellow", "broken": "bold red"}


@click.command(epilog=EXAMPLES)
@as_json
@verbose
def doctor(as_json: bool) -> None:
    """Say what is installed and usable, and how to mend what is not.

    Exit status 0 if restoring works, 1 if something that it needs is broken.
    """
    from dataclasses import asdict

    from nitido.doctor import checks

    found = checks()
    if as_json:
        print_json([asdict(check) for check in found])
    else:
        try:
            _print_table(found)
        except ImportError:  # what draws the table may be what is broken
            for check in found:
                told = filter(None, (f"{check.state}, {check.found}", check.remedy))
                click.echo(f"{check.name}: {'; '.join(told)}")
        broken = [check.name for check in found if check.state == "broken"]
        click.echo(f"Broken: {', '.join(broken)}." if broken else "Restoring works.")
    if any(check.state == "broken" for check in found):
        raise click.exceptions.Exit(1)


def _print_table(found: Iterable[Check]) -> None:
    from rich.text import Text

    rows = table("what", "state", "found", "remedy")
    for check in found:
        rows.add_row(check.name, Text(check.state, STYLES[check.state]), check.found, check.remedy)
    console().print(rows)
