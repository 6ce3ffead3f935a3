"""The figures of a page: spectrograms of all tracks on one scale, differences, average spectrum."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from nitido.diagnosis.finding import Diagnosis
from nitido.report.formatting import amount, minus
from nitido.report.pictures import (
    CHANGE,
    DIFFERENCE_DB,
    HEAT,
    RANGE_DB,
    View,
    difference_png,
    spectrogram_png,
)
from nitido.report.tracks import PAGE_RATE_HZ, Excerpt

HIGHEST_HZ = 24_000.0
_TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60)  # seconds between two labels
_TIME_LABELS = 7  # at most
_DB_STEP = 20.0


def figures(excerpts: Sequence[Excerpt], diagnosis: Diagnosis | None = None) -> dict[str, Any]:
    """Return the figures of what is heard, at the level at which it is heard, for the template.

    Args:
        excerpts: of the tracks; removed sound is not drawn, the difference shows where it was.
        diagnosis: of the first track, to mark its ceiling and its comb.
    """
    shown = [excerpt for excerpt in excerpts if excerpt.track.role != "removed"]
    if not shown:
        return {}
    high_hz = min(HIGHEST_HZ, max(excerpt.track.sample_rate for excerpt in shown) / 2)
    seconds = shown[0].wav.shape[1] / PAGE_RATE_HZ
    views = [View.of(e.wav, sample_rate=PAGE_RATE_HZ, high_hz=high_hz) for e in shown]
    top_db = max(float(view.spec_db.max()) for view in views)
    levels_db = {"low": f"−{RANGE_DB:.0f} dB", "high": "0 dB", "colours": HEAT, "name": "heat"}
    pictures = [
        {
            "title": excerpt.track.name,
            "tint": excerpt.tint,
            "legend": None if i else levels_db,
            "png": _base64(spectrogram_png(view, top_db=top_db)),
            "text": f"Spectrogram of {excerpt.track.name}, 0 to {seconds:.1f} s "
            f"and 0 to {high_hz / 1000:g} kHz.",
            "ceiling": None if i else _ceiling(diagnosis, high_hz),
        }
        for i, (excerpt, view) in enumerate(zip(shown, views, strict=True))
    ]
    results = [i for i, excerpt in enumerate(shown) if i and excerpt.track.role == "after"]
    change = {
        "low": "taken away",
        "high": f"added, ±{DIFFERENCE_DB:.0f} dB",
        "colours": CHANGE,
        "name": "change",
    }
    for i in results:
        title = "Difference" if len(results) == 1 else f"Difference: {shown[i].track.name}"
        pictures.append(
            {
                "title": title,
                "tint": "",
                "legend": change if i == results[0] else None,
                "png": _base64(difference_png(views[0], views[i], top_db=top_db)),
                "text": f"{title} to the first: orange where sound was added, "
                "blue where it was taken away.",
                "ceiling": None,
            }
        )
    high_db = 10 * np.ceil(max(float(view.curve_db.max()) for view in views) / 10)
    lowest = min(float(view.curve_db.min()) for view in views)
    low_db = min(max(10 * np.floor(lowest / 10), high_db - RANGE_DB), high_db - _DB_STEP)
    return {
        "pictures": pictures,
        "high_hz": high_hz,
        "times": _times(seconds),
        "frequencies": _frequencies(high_hz),
        "levels": [
            ((level - low_db) / (high_db - low_db), minus(f"{level:.0f}"))
            for level in np.arange(high_db, low_db - 1, -_DB_STEP)
        ],
        "comb": [hz / high_hz for hz in comb_lines_hz(diagnosis) if hz < high_hz],
        "curves": [
            {"name": e.track.name, "tint": e.tint, "points": _points(view, low_db, high_db)}
            for e, view in zip(shown, views, strict=True)
        ],
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _ceiling(diagnosis: Diagnosis | None, high_hz: float) -> dict[str, Any] | None:
    """Return where the frequency lies above which there is nothing."""
    finding = diagnosis["bandwidth"] if diagnosis else None
    if finding is None or not finding.found or not finding.value or finding.value > high_hz:
        return None
    return {"at": finding.value / high_hz, "text": f"nothing above {amount(finding)}"}


def _times(seconds: float) -> list[tuple[float, str]]:
    longest = max(seconds, _TIME_STEPS[0])
    step = next((s for s in _TIME_STEPS if longest / s <= _TIME_LABELS), _TIME_STEPS[-1])
    times = np.arange(0, longest + 1e-9, step)
    return [(time / longest, f"{time:g}" if time else "0 s") for time in times]


def _frequencies(high_hz: float) -> list[tuple[float, str]]:
    step = 4000 if high_hz > 8000 else 1000
    found = range(0, round(high_hz) + 1, step)
    return [(hz / high_hz, f"{hz / 1000:g}k" if hz else "0") for hz in found]


def _points(view: View, low_db: float, high_db: float) -> str:
    """Return the average spectrum as points in a square of 1000 × 1000."""
    across = np.linspace(0, 1000, len(view.curve_db))
    down = 1000 * (high_db - view.curve_db.clip(low_db, high_db)) / (high_db - low_db)
    return " ".join(f"{a:.0f},{d:.0f}" for a, d in zip(across, down, strict=True))


def comb_lines_hz(diagnosis: Diagnosis | None) -> list[float]:
    """Return the lines of the comb on its main grid, Hz; there are too many between to draw."""
    details = diagnosis["comb"].details if diagnosis else {}
    spacing_hz = details.get("spacing_hz") or 0.0
    if not spacing_hz:
        return []
    return [
        hz
        for hz in details.get("lines_hz", [])
        if abs(hz / spacing_hz - round(hz / spacing_hz)) < 1e-3
    ]
