"""How long a piece may be: a small file can hold days of silence."""

from __future__ import annotations

from nitido.errors import AudioReadError, ConfigError, shown

MAX_SECONDS = 6 * 3600.0


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
        "accepted, --max-seconds (max_seconds=) allows more."
    )
