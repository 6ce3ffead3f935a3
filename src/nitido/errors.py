"""Every exception that nitido raises on purpose.

    NitidoError
    ├── ConfigError (ValueError)         a setting, preset or plan is wrong
    ├── AudioReadError (OSError)         a file cannot be read as audio, or ends too early
    ├── AudioWriteError (OSError)        a result cannot be written; nothing half-written is left
    ├── AudioShapeError (ValueError)     an array is not a waveform [C, T]
    │   └── AudioTooShortError           the waveform is too short for what was asked
    ├── SampleRateError (ValueError)     a sample rate outside 8 kHz to 192 kHz
    ├── MissingExtraError (ImportError)  an optional part is not installed
    ├── WeightsError (RuntimeError)      a network's weights are missing, damaged or not to be used
    ├── DeviceMemoryError (MemoryError)  a device has too little memory for what was asked of it
    └── CancelledError                      the caller asked to stop

Each class is also a standard exception, so ``except ValueError`` works as well as
``except NitidoError``. A message is one sentence: what, the value, the rule, the remedy.
"""

from __future__ import annotations

from typing import Any


class NitidoError(Exception):
    """Base of all errors raised by nitido; catch it to catch them all."""

    def __str__(self) -> str:
        """Return the sentence, on one line and without commands to a terminal.

        A name that stands in it, of a file or in a list of files, may hold either.
        """
        return "".join(
            c if c.isprintable() else c.encode("unicode_escape", "replace").decode()
            for c in super().__str__()
        )


class ConfigError(NitidoError, ValueError):
    """A setting, preset or plan names something that does not exist or is out of range."""


class AudioReadError(NitidoError, OSError):
    """A file cannot be read as audio: missing, empty, another format, or it ends too early."""


class AudioWriteError(NitidoError, OSError):
    """A result cannot be written: read-only folder, full disk, or it is the input itself."""


class AudioShapeError(NitidoError, ValueError):
    """An array cannot be understood as a waveform `[C, T]`."""


class AudioTooShortError(AudioShapeError):
    """The waveform is too short for what was asked of it."""


class SampleRateError(NitidoError, ValueError):
    """A sample rate outside the 8 kHz to 192 kHz that nitido accepts."""


class MissingExtraError(NitidoError, ImportError):
    """An optional part is not installed; the message names the pip command that adds it."""


class WeightsError(NitidoError, RuntimeError):
    """The weights of a network cannot be had, are damaged, or name what they must not."""


class DeviceMemoryError(NitidoError, MemoryError):
    """A device has too little memory; the message says which knob to turn."""


class CancelledError(NitidoError):
    """The caller's progress callback, or a signal, asked the work to stop; nothing was written."""


def shown(value: object) -> str:
    """Return how a value stands in an error sentence: one that is long, cut.

    >>> shown("off"), shown([0] * 1000)
    ("'off'", '[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,…')
    """
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:39]}…"


def check_kind(name: str, value: object, kind: Any, what: str) -> None:
    """Check the kind of an argument.

    Raises:
        ConfigError: it is another.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"{name} is {shown(value)}; it is {what}.")


def explain(error: BaseException) -> str:
    """Return an error in one line; one that nitido did not foresee says what it is."""
    message = one_line(" ".join(str(error).split()))
    if isinstance(error, NitidoError):
        return message
    return f"unexpected {type(error).__name__}: {message}"


def one_line(text: str) -> str:
    r"""Return a text without line breaks and without commands to the terminal.

    >>> one_line("a\nb")
    'a\\nb'
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text
    )
