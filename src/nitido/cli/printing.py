"""What the commands print with: tables through rich, loaded when used, and JSON."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable
from textwrap import indent
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FLAGS = {  # where it is not --the-argument
    "batch_size": "--batch",
    "output": "-o",
    "output_sample_rate": "--sample-rate",
    "settings": "--set (--reference, --loudness, --loop, --demucs-model)",
}
PIPED_WIDTH = 120  # columns of a table that goes into a file or a pipe
STYLES = {"ok": "dim", "slight": "yellow", "moderate": "bold yellow", "severe": "bold red"}


def console() -> Console:
    """Return the console of standard output, as wide as the terminal."""
    from rich.console import Console

    width = shutil.get_terminal_size((PIPED_WIDTH, 24)).columns
    return Console(width=width, highlight=False, emoji=False, markup=False, file=sys.stdout)


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table; a column name that ends in ``>`` is set to the right."""
    from rich import box
    from rich.table import Table

    result = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for column in columns:
        right = column.endswith(">")
        result.add_column(column.rstrip(">"), justify="right" if right else "left")
    return result


def print_table(
    columns: Iterable[str], rows: Iterable[Iterable[str]], *, title: str | None = None
) -> None:
    """Print a table of which all cells are text; columns and title as of `table`."""
    shown = table(*columns, title=title)
    for row in rows:
        shown.add_row(*row)
    console().print(shown)


def as_flags(message: str) -> str:
    """Return an error of the library with its arguments as this command line calls them.

    >>> as_flags("`overwrite=True` replaces it, `batch_size=1` and `output=` take less.")
    '--overwrite replaces it, --batch 1 and -o take less.'
    >>> as_flags('`damaged="take"` takes what is there.')
    '--damaged take takes what is there.'
    """

    def flag(argument: re.Match[str]) -> str:
        name, value = argument[1], argument[2].strip('"')
        option = FLAGS.get(name, f"--{name.replace('_', '-')}")
        return option if value in ("", "True") else f"{option} {value}"

    return re.sub(r"`(\w+)=([^`]*)`", flag, message)


def print_json(content: Any) -> None:
    """Print JSON on standard output."""
    click.echo(_json(content))


def print_json_list(entries: Iterable[Any]) -> None:
    """Print a list as `print_json` does, one entry after the other: none but one is in memory."""
    between = "[\n"
    for entry in entries:
        click.echo(between + indent(_json(entry), "  "), nl=False)
        between = ",\n"
    click.echo("\n]" if between.startswith(",") else "[]")


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
