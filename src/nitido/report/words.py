"""Findings and plans in words: numbers with their units, places as times, what changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nitido.diagnosis.finding import SEVERITIES, Diagnosis, Finding

if TYPE_CHECKING:
    from nitido.restoration.result import Restoration

PLACES_SHOWN = 3
COUNTED = ("samples", "gaps", "")  # units of whole numbers
_MINUS = re.compile(r"(?<![\w-])-(?=\d)")


def amount(finding: Finding) -> str:
    """Return the value of a finding with its unit.

    >>> amount(Finding("bandwidth", 15984.0, "Hz", "clear", ""))
    '16.0 kHz'
    """
    value, unit = finding.value, finding.unit
    if value is None:
        return "–"
    if unit == "Hz" and abs(value) >= 1000:
        value, unit = value / 1000, "kHz"
    if not unit:
        text, unit = f"{value:.2f}", "correlation" if finding.kind == "width" else ""
    else:
        text = f"{value:.0f}" if unit in COUNTED else f"{value:.1f}"
    return f"{text} {unit}".strip().replace("-", "−")


def number(value: Any) -> str:
    """Return a cell's value as text.

    >>> number(-3.14159), number(None), number(True), number(16000.0), number("a")
    ('−3.14', '–', 'yes', '16000', 'a')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        value = f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"
        value = "0.00" if value == "-0.00" else value
    return minus(str(value))


def minus(text: str) -> str:
    """Return a text with a true minus before each negative number.

    >>> minus("-23 dB, 2-4 kHz, take-5")
    '−23 dB, 2-4 kHz, take-5'
    """
    return _MINUS.sub("−", text)


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds.

    >>> clock(83.25)
    '1:23.2'
    """
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


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


def verdict(diagnosis: Diagnosis) -> str:
    """Return the faults of a piece in one sentence, the worst first."""
    groups = []
    for severity in reversed(SEVERITIES[1:]):
        kinds = [finding.kind for finding in diagnosis.findings if finding.severity == severity]
        if kinds:
            groups.append(f"{severity}: {', '.join(kinds)}")
    return f"{'; '.join(groups).capitalize()}." if groups else "Nothing wrong was found."


def compared(before: Diagnosis, after: Diagnosis) -> list[tuple[Finding, Finding]]:
    """Return the faults of a piece, each with the same finding in the result."""
    later = {finding.kind: finding for finding in after.findings}
    return [
        (finding, later[finding.kind])
        for finding in before.findings
        if finding.kind in later and (finding.found or later[finding.kind].found)
    ]


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


def differences(restoration: Restoration) -> list[str]:
    """Return each fault before and after, a line each, and the loudness."""
    before, after = restoration.diagnosis, restoration.after
    lines = [
        f"{old.kind}: {amount(old)} ({_state(old)}) → {amount(new)} ({_state(new)})"
        for old, new in compared(before, after)
        if old.kind != "loudness"
    ]
    peak = after["loudness"].details["true_peak_dbtp"]
    true_peak = "" if peak is None else f", true peak {peak:.1f} dBTP"
    loudness = f"loudness: {amount(before['loudness'])} → {amount(after['loudness'])}"
    return [*lines, loudness + true_peak.replace("-", "−")]


def account(restoration: Restoration) -> list[str]:
    """Return what a restoration found and did, a line each."""
    plan = restoration.plan
    done = [step.stage for step in plan.steps if step.on]
    corrected = [
        f"{change.verdict}: {change.stage}, {plan[change.stage].reason}"
        for change in restoration.changes
        if change.verdict != "kept" and change.stage != "whole"
    ]
    stages = f"stages: {', '.join(done) if done else 'none was needed'}"
    return [*differences(restoration), stages, *corrected]


def _state(finding: Finding) -> str:
    return finding.severity if finding.found else "ok"
