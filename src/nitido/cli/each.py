"""Go through several files: one that fails does not stop the others."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import click

from nitido.cli.printing import as_flags, print_json
from nitido.errors import ConfigError, explain, one_line

Item = TypeVar("Item")
FAILED_SHOWN = 20


def each(
    items: Sequence[Item],
    work: Callable[[Item], Any],
    *,
    name: Callable[[Item], str] = str,
    as_json: bool = False,
    end: Callable[[], None] | None = None,
) -> None:
    """Do `work` with every item, say what failed, and exit with status 1 if anything did.

    A single item's error is raised as it is. A wrong setting stops everything: it would be wrong
    for the next file too.

    Args:
        items: at least one.
        work: to be done with each; returns JSON values.
        name: of an item, for the messages.
        as_json: print what `work` returned: an object for one item, else a list.
        end: says something about several, after the last; not called with `as_json`.
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
            click.echo(failure(name(item), explain(error)), err=True)
    if as_json:
        print_json(contents)
    elif end is not None:
        end()
    if failed:
        exit_failed(failed, of=len(items))


def failure(name: str, error: str) -> str:
    """Return the line that says why a piece failed."""
    error = as_flags(error)
    return f"Error: {error if name in error else one_line(f'{name}: {error}')}"


def exit_failed(names: Sequence[str], *, of: int, untried: int = 0) -> NoReturn:
    """Say last which pieces failed, their reasons having been said, and exit with status 1."""
    shown = ", ".join(map(one_line, names[:FAILED_SHOWN]))
    more = f" and {len(names) - FAILED_SHOWN} more" if len(names) > FAILED_SHOWN else ""
    left = f"; {untried} not tried (--fail-fast)" if untried else ""
    click.echo(f"{len(names)} of {of} failed: {shown}{more}{left}.", err=True)
    raise click.exceptions.Exit(1)
