"""The picture of a comparison: two sounds on one scale, and what is different."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from nitido.metrics.alignment import loudness_match
from nitido.report.pictures import DIFFERENCE_DB, RANGE_DB, View
from nitido.report.plots import AFTER, BEFORE, FAINT, INK, PAPER
from nitido.report.tracks import Track

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SECONDS_MAX = 60.0  # of the sounds that are shown
FONT: dict[str, Any] = {"family": "DejaVu Sans", "color": INK}


def contrast_figure(before: Track, after: Track, *, said: Sequence[str] = ()) -> Figure:
    """Return a figure of two sounds that lie over each other, 1600 × 1000 points at 100 dpi.

    Spectrograms of both and of the difference of their levels, and both average spectra. The second
    is matched to the first in loudness, so that nothing looks better for being louder. Of long
    sounds the first 60 s are shown.

    Args:
        before: what the other is held against; a waveform, not a stream.
        after: at the same sample rate.
        said: sentences for the margin.
    """
    rate = before.sample_rate
    old, new = (
        np.asarray(track.sound)[:, : round(SECONDS_MAX * rate)].mean(axis=0, keepdims=True)
        for track in (before, after)
    )
    samples = min(old.shape[1], new.shape[1])
    old, new = old[:, :samples], new[:, :samples]
    new, gain_db = loudness_match(estimate=new, reference=old, sample_rate=rate)
    views = [View.of(wav, sample_rate=rate, high_hz=rate / 2) for wav in (old, new)]
    top_db = max(float(view.spec_db.max()) for view in views)
    figure = Figure(figsize=(16, 10), dpi=100, facecolor=PAPER)
    grid = figure.add_gridspec(
        3, 2, left=0.045, right=0.975, top=0.93, bottom=0.06, hspace=0.3, wspace=0.1,
        width_ratios=(1.5, 1),
    )  # fmt: skip
    extent = (0.0, max(samples / rate, 1e-3), 0.0, rate / 2000)
    levels = {"cmap": "magma", "vmin": top_db - RANGE_DB, "vmax": top_db}
    floors = [np.maximum(view.spec_db, top_db - RANGE_DB) for view in views]
    _image(figure.add_subplot(grid[0, 0]), views[0].spec_db, extent, before.name, "", levels)
    note = f"at the same loudness ({gain_db:+.1f} dB)".replace("-", "−")
    _image(figure.add_subplot(grid[1, 0]), views[1].spec_db, extent, after.name, note, levels)
    change = {"cmap": "RdBu_r", "vmin": -DIFFERENCE_DB, "vmax": DIFFERENCE_DB}
    note = f"red: more, blue: less, ±{DIFFERENCE_DB:.0f} dB"
    last = figure.add_subplot(grid[2, 0])
    _image(last, floors[1] - floors[0], extent, "Difference", note, change)
    last.set_xlabel("seconds", **FONT)
    _spectra(figure.add_subplot(grid[:2, 1]), views, (before.name, after.name), rate / 2000)
    _words(figure.add_subplot(grid[2, 1]), said)
    return figure


def _frame(axes: Axes, title: str, note: str = "") -> None:
    axes.set_facecolor(PAPER)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=5, fontdict=FONT)
    axes.set_title(note, loc="right", fontsize=9.5, pad=5, fontdict={**FONT, "color": FAINT})
    axes.tick_params(colors=INK, labelsize=9, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)


def _image(
    axes: Axes,
    spec_db: Any,
    extent: tuple[float, float, float, float],
    title: str,
    note: str,
    style: dict[str, Any],
) -> None:
    axes.imshow(
        spec_db, origin="lower", aspect="auto", extent=extent, interpolation="antialiased", **style
    )
    axes.set_ylabel("kHz", **FONT)
    axes.set_yticks(np.arange(0, extent[3] + 0.1, 4 if extent[3] <= 30 else 16))
    _frame(axes, title, note)


def _spectra(axes: Axes, views: Sequence[View], names: tuple[str, str], high_khz: float) -> None:
    top = max(float(view.curve_db.max()) for view in views)
    low = max(min(float(view.curve_db.min()) for view in views), top - RANGE_DB)
    for view, name, colour in zip(views, names, (BEFORE, AFTER), strict=True):
        khz = np.linspace(0, high_khz, len(view.curve_db))
        axes.plot(khz, view.curve_db, color=colour, linewidth=1.0, label=name)
    axes.set_ylim(low - 4, top + 4)
    axes.set_xlim(0, high_khz)
    _frame(axes, "Average spectrum")
    axes.set_xlabel("kHz", **FONT)
    axes.set_ylabel("dB", **FONT)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.legend(frameon=False, fontsize=11, loc="upper right", labelcolor=INK)


def _words(axes: Axes, said: Sequence[str]) -> None:
    axes.set_axis_off()
    text = "\n".join(said)
    axes.text(0, 1, text, va="top", fontsize=11, linespacing=1.7, wrap=True, **FONT)
