"""The figures of a page: spectrograms of all tracks on one scale, differences, average spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from nitido.diagnosis.finding import Diagnosis
from nitido.report import markup
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
from nitido.report.words import amount

HIGHEST_HZ = 24_000.0
_TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60)  # seconds between two labels
_TIME_LABELS = 7  # at most
_DB_STEP = 20.0


@dataclass(frozen=True)
class _Scale:
    """What all pictures of a page share: length, highest frequency, loudest point."""

    seconds: float
    high_hz: float
    top_db: float


def figures(excerpts: Sequence[Excerpt], diagnosis: Diagnosis | None = None) -> str:
    """Return the figures of what is heard, at the level at which it is heard.

    Args:
        excerpts: of the tracks; removed sound is not drawn, the difference shows where it was.
        diagnosis: of the first track, to mark its ceiling and its comb.
    """
    shown = [excerpt for excerpt in excerpts if excerpt.track.role != "removed"]
    if not shown:
        return ""
    high_hz = min(HIGHEST_HZ, max(excerpt.track.sample_rate for excerpt in shown) / 2)
    views = [View.of(e.wav, sample_rate=PAGE_RATE_HZ, high_hz=high_hz) for e in shown]
    top_db = max(float(view.spec_db.max()) for view in views)
    scale = _Scale(shown[0].wav.shape[1] / PAGE_RATE_HZ, high_hz, top_db)
    drawn = [
        _spectrogram(excerpt, view, scale, None if i else diagnosis, first=not i)
        for i, (excerpt, view) in enumerate(zip(shown, views, strict=True))
    ]
    results = [i for i, excerpt in enumerate(shown) if i and excerpt.track.role == "after"]
    for i in results:
        title = "Difference" if len(results) == 1 else f"Difference: {shown[i].track.name}"
        first = i == results[0]
        drawn.append(_difference(title, views[0], views[i], scale, first=first))
    return "".join([*drawn, _spectra(shown, views, scale, diagnosis)])


def _spectrogram(
    excerpt: Excerpt, view: View, scale: _Scale, diagnosis: Diagnosis | None, *, first: bool
) -> str:
    track = excerpt.track
    text = (
        f"Spectrogram of {track.name}, 0 to {scale.seconds:.1f} s "
        f"and 0 to {scale.high_hz / 1000:g} kHz."
    )
    key = markup.legend(HEAT, f"−{RANGE_DB:.0f} dB", "0 dB", name="heat") if first else ""
    picture = markup.image(spectrogram_png(view, top_db=scale.top_db), text=text)
    return _figure(track.name, key, picture + _ceiling(diagnosis, scale), scale, tint=excerpt.tint)


def _ceiling(diagnosis: Diagnosis | None, scale: _Scale) -> str:
    """Return a line at the frequency above which there is nothing."""
    finding = diagnosis["bandwidth"] if diagnosis else None
    if finding is None or not finding.found or not finding.value or finding.value > scale.high_hz:
        return ""
    at = f"{100 * (1 - finding.value / scale.high_hz):.2f}%"
    return (
        f'<svg class="over" aria-hidden="true"><line x1="0" x2="100%" y1="{at}" y2="{at}"/>'
        f'<text x="99%" y="{at}" dy="-0.5em">nothing above {escape(amount(finding))}</text></svg>'
    )


def _difference(title: str, before: View, after: View, scale: _Scale, *, first: bool) -> str:
    text = f"{title} to the first: orange where sound was added, blue where it was taken away."
    picture = markup.image(difference_png(before, after, top_db=scale.top_db), text=text)
    high = f"added, ±{DIFFERENCE_DB:.0f} dB"
    key = markup.legend(CHANGE, "taken away", high, name="change") if first else ""
    return _figure(title, key, picture, scale)


def _figure(title: str, key: str, picture: str, scale: _Scale, *, tint: str = "") -> str:
    longest = max(scale.seconds, _TIME_STEPS[0])
    step = next((s for s in _TIME_STEPS if longest / s <= _TIME_LABELS), _TIME_STEPS[-1])
    times = np.arange(0, longest + 1e-9, step)
    labels = ["0 s", *(f"{time:g}" for time in times[1:])]
    return (
        f'<figure><figcaption><b class="{tint}">{escape(title)}</b>{key}</figcaption>'
        f'<div class="plot seek">{picture}<i class="cursor"></i>{_frequencies(scale, "left")}'
        f"{markup.marks(times / longest, labels, side='bottom')}</div></figure>"
    )


def _steps_hz(scale: _Scale) -> list[float]:
    step = 4000 if scale.high_hz > 8000 else 1000
    return [float(hz) for hz in range(0, round(scale.high_hz) + 1, step)]


def _frequencies(scale: _Scale, side: str) -> str:
    hz = _steps_hz(scale)
    labels = [f"{f / 1000:g}k" if f else "0" for f in hz]
    return markup.marks([f / scale.high_hz for f in hz], labels, side=side)


def _spectra(
    shown: Sequence[Excerpt], views: Sequence[View], scale: _Scale, diagnosis: Diagnosis | None
) -> str:
    """Return the average spectra over each other, with the lines of the comb marked."""
    high_db = 10 * np.ceil(max(float(view.curve_db.max()) for view in views) / 10)
    lowest = min(float(view.curve_db.min()) for view in views)
    low_db = min(max(10 * np.floor(lowest / 10), high_db - RANGE_DB), high_db - _DB_STEP)
    levels = np.arange(high_db, low_db - 1, -_DB_STEP)
    heights = (levels - low_db) / (high_db - low_db)
    texts = [f"{level:.0f}".replace("-", "−") for level in levels]
    across = [hz / scale.high_hz for hz in _steps_hz(scale)]
    curves = "".join(
        markup.curve(view.curve_db, low_db=low_db, high_db=high_db, tint=excerpt.tint)
        for excerpt, view in zip(shown, views, strict=True)
    )
    lines = [hz for hz in comb_lines_hz(diagnosis) if hz < scale.high_hz]
    ticks = "".join(f'<path d="M{1000 * hz / scale.high_hz:.1f} 1000V960"/>' for hz in lines)
    names = "".join(f'<span class="line {e.tint}">{escape(e.track.name)}</span>' for e in shown)
    note = '<span class="line comb">lines of the comb</span>' if ticks else ""
    return (
        '<figure class="spectra"><figcaption><b>Average spectrum, dB over Hz</b>'
        f'<span class="legend">{names}{note}</span></figcaption><div class="plot">'
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" '
        f'aria-label="Average spectrum, level in dB from 0 to {scale.high_hz / 1000:g} kHz.">'
        f'{markup.grid(across=across, up=heights)}<g class="comb">{ticks}</g>{curves}</svg>'
        f"{markup.marks(heights, texts, side='left')}{_frequencies(scale, 'bottom')}</div></figure>"
    )


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
