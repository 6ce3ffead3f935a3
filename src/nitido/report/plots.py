"""The picture of a restoration: what went in, what came out, what is different, what was done."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from nitido.chunks import take, windows
from nitido.report.words import amount, compared, verdict
from nitido.spectral import Frames, fft_size
from nitido.wav import Wav

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nitido.diagnosis.finding import Diagnosis
    from nitido.restoration.result import Restoration

Array = NDArray[np.float32]

SECONDS_MAX = 60.0  # of the piece that are shown
FRAME_SECONDS = 0.043  # 2048 samples at 48 kHz: shows both a hi-hat and a bass note
COLUMNS = 1400  # of a spectrogram, about as many as there are pixels
CURVE_POINTS = 700
RANGE_DB = 90.0  # shown below the loudest point
DIFFERENCE_DB = 24.0
PAPER, INK, FAINT, BEFORE, AFTER = "#fbfaf7", "#22242a", "#8b8d94", "#c7702e", "#2b6cb0"
SEVERITY = {"none": "#4c9a6a", "slight": "#e0b040", "clear": "#d9822b", "severe": "#c0392b"}
FONT: dict[str, Any] = {"family": "DejaVu Sans", "color": INK}


def overview(restoration: Restoration) -> Figure:
    """Return a figure of input and result on the same scale, 1600 × 1000 points at 100 dpi.

    On the left the spectrograms of both and the difference of their levels, on the right the
    average spectrum and what was found and done. The input is at the result's gain, so that
    nothing looks better for being louder. Of long pieces the first 60 s are shown.
    """
    rate = restoration.sample_rate
    samples = min(restoration.samples, round(SECONDS_MAX * rate))
    before = _View.of(restoration.input_blocks(), sample_rate=rate, samples=samples)
    after = _View.of(restoration.blocks(), sample_rate=rate, samples=samples)
    figure = Figure(figsize=(16, 10), dpi=100, facecolor=PAPER)
    grid = GridSpec(
        3, 2, figure=figure, width_ratios=(1.75, 1), left=0.045, right=0.975, top=0.905,
        bottom=0.06, hspace=0.3, wspace=0.13,
    )  # fmt: skip
    top_db = max(float(before.spec_db.max()), float(after.spec_db.max()))
    shown = [figure.add_subplot(grid[row, 0]) for row in range(3)]
    _spectrogram(shown[0], before, top_db, "before")
    _mark_ceiling(shown[0], restoration.diagnosis)
    _spectrogram(shown[1], after, top_db, "after")
    _difference(shown[2], before, after, top_db)
    shown[2].set_xlabel("seconds", **FONT)
    _spectra(figure.add_subplot(grid[0, 1]), before, after, restoration.diagnosis)
    _text(figure.add_subplot(grid[1:, 1]), restoration)
    _heading(figure, restoration)
    return figure


@dataclass(frozen=True)
class _View:
    """What is shown of one signal: level over time and frequency, `[N, F]`, dB."""

    spec_db: Array
    seconds: float
    nyquist_hz: float

    @classmethod
    def of(cls, blocks: Iterable[Wav], *, sample_rate: int, samples: int) -> _View:
        """Return the view of the first `samples` samples; the stream is not read further."""
        n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        hop = max(n_fft // 8, -(-samples // COLUMNS))
        rows = list(_power(blocks, Frames(n_fft, hop), samples))
        power = np.concatenate(rows) if rows else np.zeros((1, n_fft // 2 + 1), np.float32)
        full_scale = (n_fft / 4) ** 2
        spec_db = 10 * np.log10(power / full_scale + 1e-14)
        return cls(spec_db.astype(np.float32), samples / sample_rate, sample_rate / 2)

    def curve(self) -> tuple[Array, Array]:
        """Return frequencies in kHz and the average level at each, the highest bin of each step."""
        average = self.spec_db.mean(axis=0)
        points = min(CURVE_POINTS, len(average))
        edges = np.linspace(0, len(average), points + 1).astype(int)
        level = np.maximum.reduceat(average, edges[:-1])
        hz = (edges[:-1] + edges[1:] - 1) / 2 * self.nyquist_hz / (len(average) - 1)
        return (hz / 1000).astype(np.float32), level


def _power(blocks: Iterable[Wav], frames: Frames, samples: int) -> Iterator[Array]:
    """Yield the power of the frames, mean of the channels, `[N, F]`."""
    half = frames.n_fft // 2
    size = max(1, 2**17 // frames.hop_length) * frames.hop_length
    for window, start in windows(take(blocks, samples), size=size, context=half):
        spec = frames.analyse(window, first=start - half)[:, : size // frames.hop_length]
        yield (spec.real**2 + spec.imag**2).mean(axis=0)


def _heading(figure: Figure, restoration: Restoration) -> None:
    name = restoration.sidecar()["input"]["name"]
    figure.text(0.045, 0.957, name, fontsize=19, fontweight="bold", **FONT)
    found = f"Found: {verdict(restoration.diagnosis)}"
    figure.text(0.045, 0.931, textwrap.shorten(found, 150), fontsize=11, **FONT)
    sign = f"nitido · preset {restoration.plan.preset}"
    figure.text(0.975, 0.957, sign, fontsize=11, ha="right", **{**FONT, "color": FAINT})


def _frame(axes: Axes, title: str, note: str = "") -> None:
    axes.set_facecolor(PAPER)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=5, fontdict=FONT)
    if note:
        axes.set_title(note, loc="right", fontsize=9.5, pad=5, fontdict={**FONT, "color": FAINT})
    axes.tick_params(colors=INK, labelsize=9, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)


def _image(axes: Axes, spec_db: Array, view: _View, **style: Any) -> None:
    nyquist_khz = view.nyquist_hz / 1000
    axes.imshow(
        spec_db.T,
        origin="lower",
        aspect="auto",
        extent=(0.0, max(view.seconds, 1e-3), 0.0, nyquist_khz),
        interpolation="antialiased",
        **style,
    )
    axes.set_ylabel("kHz", **FONT)
    axes.set_yticks(np.arange(0, nyquist_khz + 0.1, 4 if nyquist_khz <= 30 else 16))


def _spectrogram(axes: Axes, view: _View, top_db: float, title: str) -> None:
    _image(axes, view.spec_db, view, cmap="magma", vmin=top_db - RANGE_DB, vmax=top_db)
    note = "at the result's loudness" if title == "before" else ""
    _frame(axes, title.capitalize(), note)


def _mark_ceiling(axes: Axes, diagnosis: Diagnosis) -> None:
    finding = diagnosis["bandwidth"]
    if finding.found and finding.value is not None:
        khz = finding.value / 1000
        axes.axhline(khz, color="white", linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.9)
        axes.annotate(
            f"nothing above {amount(finding)}", (1.0, khz), (-8, 5), fontsize=10, color="white",
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
        )  # fmt: skip


def _difference(axes: Axes, before: _View, after: _View, top_db: float) -> None:
    floor = top_db - RANGE_DB
    change = np.maximum(after.spec_db, floor) - np.maximum(before.spec_db, floor)
    _image(axes, change, after, cmap="RdBu_r", vmin=-DIFFERENCE_DB, vmax=DIFFERENCE_DB)
    _frame(axes, "Difference", f"red: added, blue: taken away, ±{DIFFERENCE_DB:.0f} dB")


def _spectra(axes: Axes, before: _View, after: _View, diagnosis: Diagnosis) -> None:
    khz, old = before.curve()
    _, new = after.curve()
    axes.plot(khz, old, color=BEFORE, linewidth=1.1, label="before")
    axes.plot(khz, new, color=AFTER, linewidth=1.1, label="after")
    top = max(float(old.max()), float(new.max()))
    low = max(min(float(old.min()), float(new.min())), top - RANGE_DB)
    axes.set_ylim(low - 3, top + 6)
    axes.set_xlim(0, after.nyquist_hz / 1000)
    lines_khz = np.array(diagnosis["comb"].details.get("lines_hz", [])) / 1000
    if len(lines_khz):
        ends = axes.get_ylim()
        axes.vlines(lines_khz, ends[0], ends[0] + 0.05 * (ends[1] - ends[0]), color=INK, lw=0.7)
    _frame(
        axes, "Average spectrum", "dB over kHz" + (", ticks: comb lines" if len(lines_khz) else "")
    )
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.legend(frameon=False, fontsize=10, loc="upper right", labelcolor=INK)


def _text(axes: Axes, restoration: Restoration) -> None:
    """Write the faults before and after, and below them the stages that were carried out."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    line = _Lines(axes)
    line.heading("Found", "before", "after")
    for old, new in compared(restoration.diagnosis, restoration.after):
        line.row(old.kind, (amount(old), old.severity), (amount(new), new.severity))
    line.gap()
    line.heading("Done")
    steps = [step for step in restoration.plan.steps if step.on]
    for step in steps:
        line.step(step.stage, step.reason)
    if not steps:
        line.step("nothing", "nothing was wrong")


class _Lines:
    """Writes lines of text from the top of an axes downwards; stops at the bottom."""

    HEIGHT = 0.038

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._y = 0.985

    def _write(self, x: float, text: str, **style: Any) -> None:
        if self._y > -0.03:
            self._axes.text(x, self._y, text, va="top", **{"fontsize": 10.5, **FONT, **style})

    def gap(self) -> None:
        """Leave half a line free."""
        self._y -= 0.6 * self.HEIGHT

    def heading(self, *texts: str) -> None:
        """Write a heading, with headings of the two columns beside it."""
        for x, text in zip((0.0, 0.30, 0.66), texts, strict=False):
            first = x == 0.0
            style = {"fontsize": 12.0, "fontweight": "bold"} if first else {"color": FAINT}
            self._write(x, text, **style)
        self._y -= 1.15 * self.HEIGHT

    def row(self, name: str, *cells: tuple[str, str]) -> None:
        """Write a finding: its name, and value and severity before and after."""
        self._write(0.0, name)
        for x, (text, severity) in zip((0.30, 0.66), cells, strict=True):
            self._write(x, "●", color=SEVERITY[severity], fontsize=9)
            self._write(x + 0.035, text)
        self._y -= self.HEIGHT

    def step(self, name: str, reason: str) -> None:
        """Write a stage and why it ran, in at most two lines."""
        self._write(0.0, name, fontweight="bold")
        wrapped = textwrap.wrap(reason, 58)
        if len(wrapped) > 2:
            wrapped = [wrapped[0], textwrap.shorten(" ".join(wrapped[1:]), 58, placeholder=" …")]
        for text in wrapped:
            self._write(0.2, text, fontsize=9.5)
            self._y -= 0.9 * self.HEIGHT
        self._y -= 0.25 * self.HEIGHT
