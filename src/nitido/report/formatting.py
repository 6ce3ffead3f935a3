"""How a value is written wherever it is shown: numbers with units, times, places, settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nitido.diagnosis.finding import Finding

PLACES_SHOWN = 3
COUNTED = ("samples", "gaps", "clicks", "channels")  # units of whole numbers
_MINUS = re.compile(r"(?<![\w-])-(?=\d)")


def minus(text: str) -> str:
    """Return a text with a true minus before each negative number.

    >>> minus("-23 dB, 2-4 kHz, take-5")
    '−23 dB, 2-4 kHz, take-5'
    """
    return _MINUS.sub("−", text)


def quantity(value: float, unit: str, *, digits: int = 1) -> str:
    """Return a value with its unit; from 1000 Hz on it is told in kHz.

    >>> quantity(15984.0, "Hz"), quantity(-14.04, "LUFS"), quantity(-0.01, "dB")
    ('16.0 kHz', '−14.0 LUFS', '0.0 dB')
    """
    if unit == "Hz" and abs(value) >= 1000:
        value, unit = value / 1000, "kHz"
    text = f"{value:.{digits}f}"
    text = text.lstrip("-") if float(text) == 0 else minus(text)
    return f"{text} {unit}".strip()


def amount(finding: Finding) -> str:
    """Return the value of a finding with its unit.

    >>> amount(Finding("bandwidth", 15984.0, "Hz", "moderate", ""))
    '16.0 kHz'
    """
    if finding.value is None:
        return "–"
    if not finding.unit:
        unit = "correlation" if finding.kind == "width" else ""
        return quantity(finding.value, unit, digits=2)
    return quantity(finding.value, finding.unit, digits=0 if finding.unit in COUNTED else 1)


def number(value: Any) -> str:
    """Return a cell's value as text.

    >>> number(-3.14159), number(None), number(True), number(16000.0), number("a")
    ('−3.14', '–', 'yes', '16000', 'a')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return setting(value)
    if isinstance(value, float):
        return quantity(value, "", digits=2 if abs(value) < 1000 else 0)
    return minus(str(value))


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds.

    >>> clock(83.25)
    '1:23.2'
    """
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def channels(count: int) -> str:
    """Return a number of channels in words.

    >>> channels(1), channels(2), channels(6)
    ('mono', 'stereo', '6 channels')
    """
    return {1: "mono", 2: "stereo"}.get(count, f"{count} channels")


def places(finding: Finding) -> str:
    """Return where in the piece a finding lies; empty if nothing was found."""
    if not finding.found:
        return ""
    if not finding.where:
        return "whole piece"
    shown = [
        clock(start) if end - start < 0.1 else f"{clock(start)}–{clock(end)}"
        for start, end in finding.where[:PLACES_SHOWN]
    ]
    more = len(finding.where) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def setting(value: Any) -> str:
    """Return a setting's value, short.

    >>> setting(None), setting(True), setting(200.0), setting([1.0, 2.0])
    ('none', 'yes', '200', '2 values')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return f"{len(value)} values"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def settings(values: Mapping[str, Any]) -> str:
    """Return settings in one line; lists that the findings filled in are left out."""
    plain = {key: value for key, value in values.items() if not isinstance(value, list | tuple)}
    return ", ".join(f"{key} {setting(value)}" for key, value in plain.items())
