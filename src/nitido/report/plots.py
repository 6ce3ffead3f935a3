"""The picture of a restoration: what went in, what came out, what is different, what was done."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from nitido.audio import check_target, part_file
from nitido.chunks import join, take
from nitido.errors import ConfigError
from nitido.report.formatting import amount
from nitido.report.text import describe_diagnosis, faults
from nitido.spectral import Frames, fft_size
from nitido.wav import Wav

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nitido.diagnosis.finding import Diagnosis
    from nitido.restoration.result import Restoration

Array = NDArray[np.float32]

SECONDS_MAX = 60.0  # of the piece that are shown
FRAME_SECONDS = 0.043  # 2048 samples at 48 kHz: shows both a hi-hat and a bass note
FINE_SECONDS = 0.512  # shows the single lines of a comb
COLUMNS = 1400  # of a spectrogram, about as many as there are pixels
CURVE_POINTS = 700
RANGE_DB = 90.0  # shown below the loudest point
DIFFERENCE_DB = 24.0
WRAP = 46  # letters of a reason in one line
PAPER, INK, FAINT, BEFORE, AFTER = "#fbfaf7", "#22242a", "#8b8d94", "#c7702e", "#2b6cb0"
SEVERITY = {"none": "#4c9a6a", "slight": "#e0b040", "clear": "#d9822b", "severe": "#c0392b"}
FONT: dict[str, Any] = {"family": "DejaVu Sans", "color": INK}


def overview(restoration: Restoration) -> Figure:
    """Return a figure of input and result on the same scale, 1600 × 1000 points at 100 dpi.

    On the left the spectrograms of both and the difference of their levels, on the right the
    average spectrum and what was found and done. The input is at the result's gain, so that
    nothing looks better for being louder. Of long pieces the first 60 s are shown.
    """
    rate, channels = restoration.sample_rate, restoration.channels
    samples = min(restoration.samples, round(SECONDS_MAX * rate))
    before, after = (
        _View.of(join(take(blocks, samples), channels=channels), sample_rate=rate)
        for blocks in (restoration.input_blocks(), restoration.blocks())
    )
    top_db = max(float(before.spec_db.max()), float(after.spec_db.max()))
    figure = Figure(figsize=(16, 10), dpi=100, facecolor=PAPER)
    left, right = _grids(figure)
    shown = [figure.add_subplot(left[row]) for row in range(3)]
    _spectrogram(shown[0], before, top_db, "Before", "at the result's loudness")
    _mark_ceiling(shown[0], restoration.diagnosis)
    _spectrogram(shown[1], after, top_db, "After")
    _difference(shown[2], before, after, top_db)
    shown[2].set_xlabel("seconds", **FONT)
    _spectra(figure.add_subplot(right[0]), before, after, restoration.diagnosis)
    _text(figure.add_subplot(right[1]), restoration)
    _heading(figure, restoration)
    return figure


def save(
    figure: Figure, path: Path, *, overwrite: bool = False, forbidden: Iterable[Path] = ()
) -> None:
    """Write a figure to a file, whole or not at all; the suffix names the format (PNG, SVG, PDF).

    Args:
        figure: to write.
        path: of the file.
        overwrite: replace an existing file.
        forbidden: files never to write to: the inputs.

    Raises:
        AudioWriteError: the file exists, is one of `forbidden`, or cannot be written.
        ConfigError: no such format.
    """
    known = figure.canvas.get_supported_filetypes()
    form = path.suffix.lower().lstrip(".")
    if form not in known:
        raise ConfigError(f"{path} names no format of a picture; it can end in .png, .svg or .pdf.")
    target = check_target(path, overwrite=overwrite, forbidden=forbidden)
    with part_file(target, overwrite=overwrite) as file:
        figure.savefig(file, format=form)


def _grids(figure: Figure) -> tuple[GridSpec, GridSpec]:
    edges = {"top": 0.875, "bottom": 0.06}
    left = GridSpec(3, 1, figure=figure, left=0.045, right=0.6, hspace=0.3, **edges)
    right = GridSpec(
        2, 1, figure=figure, left=0.65, right=0.975, hspace=0.17, height_ratios=(1, 1.45), **edges
    )
    return left, right


@dataclass(frozen=True)
class _View:
    """What is shown of one signal.

    Attributes:
        spec_db: level over time and frequency, `[N, F]`, dB re a full-scale sine.
        average_db: mean over time at a fine resolution, `[F]`, dB, which shows single lines.
        seconds: length.
        nyquist_hz: upper end of both.
    """

    spec_db: Array
    average_db: Array
    seconds: float
    nyquist_hz: float

    @classmethod
    def of(cls, wav: Wav, *, sample_rate: int) -> _View:
        """Return the view of `wav` `[C, T]`."""
        samples = wav.shape[1]
        n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        fine = fft_size(FINE_SECONDS, sample_rate=sample_rate)
        hop = max(n_fft // 8, -(-samples // COLUMNS))
        spec_db = np.concatenate(list(_levels(wav, Frames(n_fft, hop))))
        average = sum(
            (part.sum(axis=0) for part in _levels(wav, Frames(fine, fine // 2))), np.float32(0)
        )
        count = samples // (fine // 2) + 1
        return cls(spec_db, average / count, samples / sample_rate, sample_rate / 2)

    def curve(self) -> tuple[Array, Array]:
        """Return frequencies in kHz and the average level at each, the highest bin of each step."""
        edges = np.linspace(0, len(self.average_db), CURVE_POINTS + 1).astype(int)
        level = np.maximum.reduceat(self.average_db, edges[:-1])
        middle = (edges[:-1] + edges[1:] - 1) / 2 / (len(self.average_db) - 1)
        return (middle * self.nyquist_hz / 1000).astype(np.float32), level


def _levels(wav: Wav, frames: Frames) -> Iterator[Array]:
    """Yield the level of the frames, mean power of the channels, `[N, F]`, dB."""
    half = frames.n_fft // 2
    count = max(1, 2**17 // frames.hop_length)  # frames at once
    padded = np.pad(wav, ((0, 0), (half, half)))
    for start in range(0, wav.shape[1] + 1, count * frames.hop_length):
        part = padded[:, start : start + (count - 1) * frames.hop_length + frames.n_fft]
        spec = frames.analyse(part, first=start - half)
        power = (spec.real**2 + spec.imag**2).mean(axis=0) / np.float32(half / 2) ** 2
        yield 10 * np.log10(power + np.float32(1e-14))


def _heading(figure: Figure, restoration: Restoration) -> None:
    name = restoration.sidecar()["input"]["name"]
    figure.text(0.045, 0.95, name, fontsize=22, fontweight="bold", **FONT)
    found = textwrap.shorten(describe_diagnosis(restoration.diagnosis), 150)
    figure.text(0.045, 0.922, found, fontsize=12.5, **FONT)
    sign = f"nitido · preset {restoration.plan.preset}"
    figure.text(0.975, 0.95, sign, fontsize=12.5, ha="right", **{**FONT, "color": FAINT})


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


def _spectrogram(axes: Axes, view: _View, top_db: float, title: str, note: str = "") -> None:
    _image(axes, view.spec_db, view, cmap="magma", vmin=top_db - RANGE_DB, vmax=top_db)
    _frame(axes, title, note)


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
    axes.plot(khz, old, color=BEFORE, linewidth=1.0, label="before")
    axes.plot(khz, new, color=AFTER, linewidth=1.0, label="after")
    top = max(float(old.max()), float(new.max()))
    low = max(min(float(old.min()), float(new.min())), top - RANGE_DB)
    axes.set_ylim(low - 4, top + 4)
    axes.set_xlim(0, after.nyquist_hz / 1000)
    lines_khz = _main_lines_khz(diagnosis)
    if len(lines_khz):
        axes.vlines(lines_khz, low - 4, low - 4 + 0.05 * (top - low), color=INK, linewidth=0.8)
    _frame(axes, "Average spectrum", "ticks: lines of the comb" if len(lines_khz) else "")
    axes.set_xlabel("kHz", **FONT)
    axes.set_ylabel("dB", **FONT)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.legend(frameon=False, fontsize=11, loc="upper right", labelcolor=INK)


def _main_lines_khz(diagnosis: Diagnosis) -> NDArray[np.float64]:
    """Return the lines of the comb on its main grid; there are too many between."""
    details = diagnosis["comb"].details
    lines_hz = np.array(details.get("lines_hz", []), float)
    spacing_hz = details.get("spacing_hz", 0.0)
    if spacing_hz > 0:
        lines_hz = lines_hz[np.abs(lines_hz / spacing_hz - np.rint(lines_hz / spacing_hz)) < 1e-3]
    return lines_hz / 1000


def _text(axes: Axes, restoration: Restoration) -> None:
    """Write the faults before and after, and below them the stages that were carried out."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    line = _Lines(axes)
    line.heading("Found", "before", "after")
    for old, new in faults(restoration.diagnosis, restoration.after):
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

    HEIGHT = 0.05

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._y = 0.985

    def _write(self, x: float, text: str, **style: Any) -> None:
        if self._y > -0.03:
            self._axes.text(x, self._y, text, va="top", **{"fontsize": 12, **FONT, **style})

    def gap(self) -> None:
        """Leave half a line free."""
        self._y -= 0.6 * self.HEIGHT

    def heading(self, *texts: str) -> None:
        """Write a heading, with headings of the two columns beside it."""
        for x, text in zip((0.0, 0.27, 0.64), texts, strict=False):
            first = x == 0.0
            style = {"fontsize": 13.5, "fontweight": "bold"} if first else {"color": FAINT}
            self._write(x, text, **style)
        self._y -= 1.15 * self.HEIGHT

    def row(self, name: str, *cells: tuple[str, str]) -> None:
        """Write a finding: its name, and value and severity before and after."""
        self._write(0.0, name)
        for x, (text, severity) in zip((0.27, 0.64), cells, strict=True):
            self._write(x, "●", color=SEVERITY[severity], fontsize=10)
            self._write(x + 0.035, text)
        self._y -= self.HEIGHT

    def step(self, name: str, reason: str) -> None:
        """Write a stage and why it ran, in at most two lines."""
        self._write(0.0, name, fontweight="bold")
        wrapped = textwrap.wrap(reason, WRAP)
        if len(wrapped) > 2:
            wrapped = [wrapped[0], textwrap.shorten(" ".join(wrapped[1:]), WRAP, placeholder=" …")]
        for text in wrapped:
            self._write(0.27, text, fontsize=11)
            self._y -= 0.9 * self.HEIGHT
        self._y -= 0.25 * self.HEIGHT
