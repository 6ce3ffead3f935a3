"""Go through several files: one that fails does not stop the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from nitido.cli.output import as_flags, print_json
from nitido.errors import ConfigError, explain, one_line

Item = TypeVar("Item")


def each(
    items: Sequence[Item],
    work: Callable[[Item], Any],
    *,
    name: Callable[[Item], str] = str,
    as_json: bool = False,
) -> None:
    """Do `work` with every item, say what failed, and exit with status 1 if anything did.

    A single item's error is raised as it is. A wrong setting stops everything: it would be wrong
    for the next file too.

    Args:
        items: at least one.
        work: to be done with each; returns JSON values.
        name: of an item, for the messages.
        as_json: print what `work` returned: an object for one item, else a list.
    """
    if len(items) == 1:
        content = work(items[0])
        if as_json:
            print_json(content)
        return
    contents, failed = [], []
    for item in items:
        try:
            contents.append(work(item))
        except (ConfigError, BrokenPipeError):
            raise
        except Exception as error:
            failed.append(name(item))
            contents.append({"file": name(item), "error": as_flags(explain(error))})
            if click.get_current_context().find_root().ensure_object(dict).get("verbose"):
                traceback.print_exc()
            click.echo(f"Error: {_line(name(item), error)}", err=True)
    if as_json:
        print_json(contents)
    if failed:
        click.echo(f"{len(failed)} of {len(items)} failed: {', '.join(failed)}", err=True)
        raise click.exceptions.Exit(1)


def _line(name: str, error: Exception) -> str:
    message = as_flags(explain(error))
    return message if name in message else one_line(f"{name}: {message}")
