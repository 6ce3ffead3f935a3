"""What is let through: how long a piece may be, and what is done with a damaged one.

A small file can hold days of silence.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from nitido.errors import AudioReadError, ConfigError, shown

MAX_SECONDS = 6 * 3600.0
Damaged: TypeAlias = Literal["refuse", "take"]


def check_max_seconds(max_seconds: float) -> float:
    """Return `max_seconds`.

    Raises:
        ConfigError: not a positive number; infinity is one.
    """
    if not isinstance(max_seconds, int | float) or not max_seconds > 0 or max_seconds is True:
        raise ConfigError(
            f"max_seconds is {shown(max_seconds)}; it is a positive number of seconds."
        )
    return max_seconds


def too_long(name: str, seconds: float, max_seconds: float) -> AudioReadError:
    """Return the error for a piece of at least `seconds`."""
    unit, size = ("h", 3600) if max_seconds >= 3600 else ("s", 1)
    return AudioReadError(
        f"{name} is at least {seconds / size:.2f} {unit} long; {max_seconds / size:g} {unit} are "
        "accepted, `max_seconds=` allows more."
    )


def check_damaged(damaged: str) -> bool:
    """Return whether what is there of a damaged file is taken.

    Raises:
        ConfigError: neither ``refuse`` nor ``take``.
    """
    if damaged not in ("refuse", "take"):
        raise ConfigError(f"damaged is {shown(damaged)}; it is 'refuse' or 'take'.")
    return damaged == "take"


def cut_short(name: str, why: str) -> AudioReadError:
    """Return the error for a file of which a part is missing; `why` follows a colon."""
    return AudioReadError(
        f"{name} is cut short or damaged: {why}; get the file again from where it came from, or "
        'restore what is there of it with `damaged="take"`.'
    )
