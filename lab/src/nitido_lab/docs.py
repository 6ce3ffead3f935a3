"""Tables that a command measures and writes into a page of `docs/`, among what stands there."""

from __future__ import annotations

from pathlib import Path

from nitido.audio import write_text
from nitido.audio.validation import read_text
from nitido_lab.benchmark.tables import Table

END = "<!-- end -->"


def begin(command: str) -> str:
    """Return the mark that the table of a command of `nitido-lab` begins with."""
    return f"<!-- Written by `nitido-lab {command}`; do not edit. -->"


def put_table(path: Path, table: Table, *, command: str, intro: str, head: str) -> Path:
    """Put a table into a page, in place of the one that is there, or at its end; return the path.

    Args:
        path: of the page; a new one is made.
        table: its rows are Markdown.
        command: of `nitido-lab`, which wrote it.
        intro: a paragraph before the table.
        head: what a new page, or one without the table, gets before it.
    """
    lines = ["| " + " | ".join(row) + " |" for row in (table.columns, *table.rows)]
    lines.insert(1, "|" + " --- |" * len(table.columns))
    block = "\n".join((begin(command), "", intro, "", *lines, "", END))
    text = read_text(path) if path.is_file() else ""
    before, found, rest = text.partition(begin(command))
    if found:
        new = before + block + rest.partition(END)[2]
    else:
        new = f"{text.rstrip()}\n\n{head}\n\n{block}\n".lstrip()
    return write_text(path, new, overwrite=True)
