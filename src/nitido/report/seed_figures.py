"""The pictures of the founding table: mel spectrograms one above the other, and bars against 100 %.

Mel spectrograms are librosa's with its default settings, as in the first version of this project,
each in dB below its own loudest point; but all over one axis, so that a missing octave is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.figure import Figure

from nitido.optional import load
from nitido.report.plots import AFTER, BEFORE, FAINT, INK, PAPER
from nitido.wav import Wav

SECONDS_MAX = 60.0  # of the sounds that are shown
RANGE_DB = 80.0  # the default of librosa.power_to_db
TICKS_HZ = (256, 512, 1024, 2048, 4096, 8192, 16_384)
Scores: TypeAlias = Mapping[str, float | None]
FONT: dict[str, Any] = {"family": "DejaVu Sans", "color": INK}
NOTHING = "#d8d5cd"  # above what a sample rate can hold there is not even silence
BARS = (BEFORE, AFTER, "#6b5b95", "#2f7f5f")  # the first is what the others are held against


def mel_figure(sounds: Sequence[tuple[str, Wav, int]]) -> Figure:
    """Return mel spectrograms one above the other, on one axis of time and one of frequency.

    Of long sounds the first 60 s are shown.

    Args:
        sounds: title, waveform `[C, T]`, sample rate in Hz.

    Raises:
        MissingExtraError: librosa is not installed.
    """
    mel_hz = load("librosa").hz_to_mel
    figure = Figure(figsize=(12, 0.6 + 3.1 * len(sounds)), dpi=100, facecolor=PAPER)
    rows = figure.subplots(len(sounds), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    image = None
    for axes, (title, wav, sample_rate) in zip(rows, sounds, strict=True):
        shown = wav[:, : round(SECONDS_MAX * sample_rate)]
        top = float(mel_hz(sample_rate / 2))
        image = axes.imshow(
            mel_db(shown, sample_rate),
            origin="lower",
            aspect="auto",
            extent=(0.0, max(shown.shape[1] / sample_rate, 1e-3), 0.0, top),
            interpolation="antialiased",
            cmap="magma",
            vmin=-RANGE_DB,
            vmax=0.0,
        )
        axes.set_facecolor(NOTHING)
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=5, fontdict=FONT)
        axes.set_ylabel("Hz", **FONT)
        axes.tick_params(colors=INK, labelsize=9, length=3)
    highest = max(sample_rate for _, _, sample_rate in sounds) / 2
    ticks = [hz for hz in TICKS_HZ if hz < highest]
    rows[0].set_ylim(0.0, float(mel_hz(highest)))
    rows[0].set_yticks([float(mel_hz(hz)) for hz in ticks], [str(hz) for hz in ticks])
    rows[0].set_xlim(0.0, max(axes.images[0].get_extent()[1] for axes in rows))
    rows[-1].set_xlabel("seconds", **FONT)
    figure.subplots_adjust(left=0.07, right=0.92, top=0.95, bottom=0.06, hspace=0.22)
    if image is not None:
        bar = figure.colorbar(image, ax=list(rows), pad=0.015, fraction=0.03, format="%+.0f dB")
        bar.ax.tick_params(colors=INK, labelsize=9, length=3)
    return figure


def mel_db(wav: Wav, sample_rate: int) -> Any:
    """Return the mel spectrogram of the mean of the channels, `[128, N]`, dB below its maximum."""
    librosa = load("librosa")
    power = librosa.feature.melspectrogram(y=wav.mean(axis=0), sr=sample_rate)
    return librosa.power_to_db(power, ref=np.max)


def bar_figure(scores: Mapping[str, Scores], titles: Mapping[str, str]) -> Figure:
    """Return the measures of each piece as bars, the first piece being 100 %.

    Args:
        scores: by name of the piece, then by measure; others are held against the first.
        titles: of the measures, by name; these are shown, in this order.
    """
    figure = Figure(figsize=(9, 5), dpi=100, facecolor=PAPER)
    axes = figure.subplots()
    first_name, first = next(iter(scores.items()))
    width = 0.8 / len(scores)
    places = np.arange(len(titles))
    highest = 100.0
    for index, (name, found) in enumerate(scores.items()):
        at = places + (index - (len(scores) - 1) / 2) * width
        heights = [percent(first[measure], found[measure]) for measure in titles]
        shown = [height or 0.0 for height in heights]
        bars = axes.bar(at, shown, 0.92 * width, label=name, color=BARS[index % len(BARS)])
        highest = max(highest, *shown)
        texts = ["–" if height is None else f"{height:.1f} %" for height in heights]
        patch = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}  # over the line at 100 %
        axes.bar_label(bars, texts, padding=4, fontsize=10, color=INK, bbox=patch)
    axes.axhline(100, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xticks(places, list(titles.values()))
    axes.set_facecolor(PAPER)
    axes.tick_params(colors=INK, labelsize=11, length=0)
    axes.set_ylabel(f"% of {first_name}", **FONT)
    axes.set_ylim(0, 1.18 * highest)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)
    axes.set_title(
        "The founding table", loc="left", fontsize=12, fontweight="bold", pad=8, fontdict=FONT
    )
    axes.legend(frameon=False, fontsize=10, labelcolor=INK, ncols=len(scores), loc="upper right")
    figure.tight_layout()
    return figure


def percent(before: float | None, after: float | None) -> float | None:
    """Return one value in per cent of another; None where that has no meaning."""
    if before is None or after is None or not before:
        return None
    return 100 * after / before
