"""A restoration told in sentences: what is better, what stayed, what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nitido.diagnosis.finding import Finding
from nitido.report.words import amount, clock

if TYPE_CHECKING:
    from nitido.restoration.result import Restoration
    from nitido.restoration.verify import Change

UNTOUCHED_DB = 119.0  # the SI-SDR of an unchanged signal reads 120
BASS_HZ, BODY_HZ = 60.0, 8000.0  # bands in which the music lives
LOUDER_LU = 0.1  # less is not worth a sentence

# What to say when a fault is gone. The loudness has a sentence of its own.
GONE = {
    "clipping": "The peaks that were cut off are rebuilt.",
    "dc": "The waveform is centred again.",
    "end": "The end no longer breaks off, it fades out.",
    "rumble": "The rumble below 20 Hz is gone.",
    "start": "The start no longer clicks.",
    "tone": "The tone is balanced again.",
}
# Only the stage that mends a fault may claim it: another sample rate alone moves a reading.
REMEDIES = {
    "bandwidth": "bandwidth",
    "clipping": "declip",
    "comb": "decomb",
    "dc": "dc",
    "end": "ending",
    "rumble": "dc",
    "start": "ending",
    "tone": "tone",
    "width": "width",
}
NAMES = {
    "bandwidth": "the ceiling",
    "clipping": "cut-off peaks",
    "comb": "the comb",
    "dc": "the offset",
    "end": "the end",
    "gaps": "dropouts",
    "nonfinite": "samples that are no numbers",
    "rumble": "rumble",
    "start": "the start",
    "tone": "the tone",
    "width": "the width",
}


def story(restoration: Restoration, pairs: Sequence[tuple[Finding, Finding]]) -> list[str]:
    """Return what a restoration did, in sentences for a musician, the most audible first.

    Args:
        restoration: that is told of.
        pairs: its faults before and after, from `nitido.report.words.compared`.
    """
    pairs = [pair for pair in pairs if pair[0].kind != "loudness"]
    ran = {step.stage for step in restoration.plan.steps if step.on}
    said = [
        text
        for old, new in pairs
        if old.found and REMEDIES.get(old.kind) in ran and (text := _mended(old, new))
    ]
    if not any(old.found for old, _ in pairs):
        said = ["Nothing wrong was found."]
    if ran:
        kept = [_kept(change) for change in restoration.changes if change.stage == "whole"]
        told = [*said, *_left(pairs), *kept, *_loudness(restoration)]
    else:
        told = [*said, "Nothing was changed.", *_left(pairs)]
    return [*told, *_refused(restoration)]


def _mended(before: Finding, after: Finding) -> str:
    """Return what became of a fault; empty if that is nothing to speak of."""
    if before.kind == "comb":
        return _comb(before, after)
    if before.kind == "bandwidth" and (after.value or 0) > (before.value or 0):
        return f"The treble reaches {amount(after)}; before, it ended at {amount(before)}."
    if before.kind == "width" and before.details.get("mono") and not after.details.get("mono"):
        return "It was mono and is stereo now; left and right together are still the mono piece."
    return GONE.get(before.kind, "") if not after.found else ""


def _comb(before: Finding, after: Finding) -> str:
    """Return how much lower the comb is, and the line in it that is heard first."""
    lower = (before.value or 0.0) - (after.value or 0.0)
    if lower < 0.1:
        return ""
    grid = f"The comb every {before.details['spacing_hz']:g} Hz"
    said = (
        f"{grid} is {lower:.1f} dB lower, {after.value or 0:.1f} dB are left."
        if after.found
        else f"{grid} is gone: it stood {before.value:.1f} dB out of the music."
    )
    old_db, new_db = (
        finding.details.get("by_spacing_db", {}).get("8000") for finding in (before, after)
    )
    if old_db is None or new_db is None or old_db - max(new_db, 0.0) < 1:
        return said
    return f"{said} The whine at 8 kHz is {old_db - max(new_db, 0.0):.1f} dB lower."


def _left(pairs: Sequence[tuple[Finding, Finding]]) -> list[str]:
    names = [NAMES.get(new.kind, new.kind) for _, new in pairs if new.found]
    return [f"Still there: {', '.join(names)}."] if names else []


def _kept(whole: Change) -> str:
    """Return how much of the music is as it was."""
    body = [
        abs(row["level_db"])
        for row in whole.bands
        if row["low_hz"] >= BASS_HZ and row["high_hz"] <= BODY_HZ
    ]
    most = max(body, default=0.0)
    level = (
        "no band changed its level"
        if most < 0.05
        else f"no band changed its level by more than {most:.1f} dB"
    )
    if whole.si_sdr_db >= UNTOUCHED_DB:
        return f"Between 60 Hz and 8 kHz {level}; up to 7 kHz the music is untouched."
    return (
        f"Between 60 Hz and 8 kHz {level}; up to 7 kHz, all that changed lies "
        f"{whole.si_sdr_db:.0f} dB under the music."
    )


def _loudness(restoration: Restoration) -> list[str]:
    old, new = restoration.diagnosis["loudness"], restoration.after["loudness"]
    if old.value is None or new.value is None:
        return []
    if abs(new.value - old.value) < LOUDER_LU:
        return [f"It is as loud as it was, {amount(new)}."]
    peak = new.details.get("true_peak_dbtp")
    peaks = "" if peak is None else f" with peaks at {peak:.1f} dBTP".replace("-", "−")
    return [f"It plays at {amount(new)}{peaks}; it came at {amount(old)}."]


def _refused(restoration: Restoration) -> list[str]:
    """Return what was turned down or left out, as it would have changed too much."""
    said = []
    for verdict, words in (("turned down", "Turned down"), ("bypassed", "Left out")):
        stages = [change.stage for change in restoration.changes if change.verdict == verdict]
        if stages:
            said.append(f"{words}, as it changed too much of the music: {', '.join(stages)}.")
    return said


def cost(change: Change) -> str:
    """Return how much of the music a stage changed, against what it may."""
    if change.si_sdr_db >= UNTOUCHED_DB:
        return "60 Hz to 7 kHz untouched."
    return (
        f"What it changed from 60 Hz to 7 kHz lies {change.si_sdr_db:.1f} dB under the music; "
        f"{change.budget_db:.0f} dB or more are asked."
    )


def facts(restoration: Restoration) -> str:
    """Return what the piece is in one line: length, channels, rates, preset."""
    before, after = restoration.diagnosis, restoration
    return " · ".join(
        [
            clock(before.duration_seconds),
            f"{_channels(before.channels)} {before.sample_rate / 1000:g} kHz → "
            f"{_channels(after.channels)} {after.sample_rate / 1000:g} kHz",
            f"preset {after.plan.preset}",
        ]
    )


def _channels(count: int) -> str:
    return {1: "mono", 2: "stereo"}.get(count, f"{count} channels")
