"""Options that several commands share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def _be_verbose(ctx: click.Context, _: click.Parameter, verbose: bool) -> None:
    if verbose:
        ctx.find_root().ensure_object(dict)["verbose"] = True
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")


def verbose(command: Command) -> Command:
    """Add ``-v``: what the library logs, and a traceback if it fails."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_be_verbose,
        help="Say more; show the traceback of an error.",
    )(command)


def max_seconds(command: Command) -> Command:
    """Add ``--max-seconds``; None: six hours."""
    return click.option(
        "--max-seconds",
        type=click.FloatRange(0, min_open=True),
        metavar="S",
        help="Refuse longer pieces.  [default: 21600: six hours]",
    )(command)


def damaged(command: Command) -> Command:
    """Add ``--damaged``."""
    return click.option(
        "--damaged",
        type=click.Choice(["refuse", "take"]),
        default="refuse",
        show_default=True,
        help="Take what is there of a file that is cut short or damaged.",
    )(command)


def as_json(command: Command) -> Command:
    """Add ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON for programs, and nothing else."
    )(command)
