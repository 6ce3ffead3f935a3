"""Pictures of sound: spectrograms, differences and average spectra, computed once for every use.

A restoration and two versions of a piece become figures for a file, which matplotlib draws (extra
`plots`); the tracks of a page become pictures inside it, which need nothing. The founding table has
mel spectrograms and bars: librosa's with its default settings, as in the first version of this
project.
"""

from __future__ import annotations

import base64
import struct
import textwrap
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nitido.audio import check_target, part_file
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.alignment import loudness_match
from nitido.dsp.chunks import join, take
from nitido.dsp.spectral import Frames, fft_size
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.metrics.features import change_percent
from nitido.optional import load
from nitido.report.formatting import amount, minus
from nitido.report.text import describe_diagnosis, faults
from nitido.report.tracks import PAGE_RATE_HZ, Excerpt, Track

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nitido.restoration.restored_sound import RestoredSound

Array: TypeAlias = NDArray[np.float32]
Scores: TypeAlias = Mapping[str, float | None]

COLUMNS, ROWS = 1200, 288
FRAME_SECONDS = 0.043  # 2048 samples at 48 kHz: shows both a hi-hat and a bass note
FINE_SECONDS = 0.512  # shows the single lines of a comb
CURVE_POINTS = 600
RANGE_DB = 90.0  # shown below the loudest point
DB_STEP = 20.0  # between two lines of the average spectrum
DIFFERENCE_DB = 24.0
SILENCE = 1e-12  # frames without any power above, −120 dB, are left out of the average
SHADES = 97  # of a picture in a page; odd, so that there is one for "no difference"
HIGHEST_HZ = 24_000.0  # in a page
SECONDS_MAX = 60.0  # of the sounds in a figure
MEL_RANGE_DB = 80.0  # the default of librosa.power_to_db
MEL_TICKS_HZ = (256, 512, 1024, 2048, 4096, 8192, 16_384)
WRAP, SENTENCE_WRAP = 46, 64  # letters in one line: of a reason, of a sentence

PAPER, INK, FAINT, BEFORE, AFTER = "#fbfaf7", "#22242a", "#8b8d94", "#c7702e", "#2b6cb0"
NOTHING = "#d8d5cd"  # above what a sample rate can hold there is not even silence
BARS = (BEFORE, AFTER, "#6b5b95", "#2f7f5f")  # the first is what the others are held against
SEVERITY = {"ok": "#4c9a6a", "slight": "#e0b040", "moderate": "#d9822b", "severe": "#c0392b"}
FONT: dict[str, Any] = {"family": "DejaVu Sans", "color": INK}

_Colour = tuple[int, int, int]
# Dark to light, equal steps look equal. Source: "magma" of matplotlib (CC0), nine of its colours.
HEAT: tuple[_Colour, ...] = (
    (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
    (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
)  # fmt: skip
# Blue for less, black for equal, orange for more: told apart by all kinds of colour vision.
CHANGE: tuple[_Colour, ...] = (
    (190, 225, 255), (84, 160, 232), (30, 84, 150), (8, 10, 18),
    (140, 66, 20), (236, 140, 60), (255, 222, 170),
)  # fmt: skip


# ── Spectrogram and average spectrum ─────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Spectrogram:
    """What is shown of one sound: level over time and frequency, and its average.

    Attributes:
        spec_db: level over frequency (rows, low first) and time, `[ROWS, N]`, dB re a full-scale
            sine, N at most `COLUMNS`.
        curve_db: mean over time of the level at a fine resolution, silence left out, the highest
            of each of `CURVE_POINTS` steps of frequency, dB.
    """

    spec_db: Array
    curve_db: Array

    @classmethod
    def of(cls, wav: Wav, *, sample_rate: int, high_hz: float) -> Spectrogram:
        """Return the spectrogram of `wav` `[C, T]` from 0 to `high_hz`."""
        share = high_hz / (sample_rate / 2)
        n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        power = np.concatenate(list(_powers(wav, Frames(n_fft, n_fft // 2))))
        shown = power[:, : round(share * (n_fft // 2)) + 1]
        columns = min(COLUMNS, len(shown))
        spec = _steps(_steps(shown, columns, axis=0), ROWS, axis=1)
        fine = fft_size(FINE_SECONDS, sample_rate=sample_rate)
        total, count = np.zeros(fine // 2 + 1, np.float32), 0
        for part in _powers(wav, Frames(fine, fine // 2)):
            sounding = part[part.max(axis=1) > SILENCE]
            total += _decibel(sounding).sum(axis=0)
            count += len(sounding)
        average = (total / count if count else _decibel(total))[: round(share * (fine // 2)) + 1]
        starts = _starts(len(average), CURVE_POINTS)
        return cls(_decibel(spec).T, np.maximum.reduceat(average, starts))


def difference_db(before: Spectrogram, after: Spectrogram, *, top_db: float) -> Array:
    """Return how much more level `after` has, `[ROWS, N]`, dB.

    What lies further than `RANGE_DB` below `top_db` in both is no difference.
    """
    columns = min(before.spec_db.shape[1], after.spec_db.shape[1])
    old, new = (np.maximum(s.spec_db[:, :columns], top_db - RANGE_DB) for s in (before, after))
    return np.asarray(new - old, np.float32)


def _top_db(shown: Sequence[Spectrogram]) -> float:
    return max(float(spectrogram.spec_db.max()) for spectrogram in shown)


def _curve_range_db(shown: Sequence[Spectrogram]) -> tuple[float, float]:
    """Return the levels between which average spectra are drawn, in tens of dB."""
    high_db = 10 * np.ceil(max(float(spectrogram.curve_db.max()) for spectrogram in shown) / 10)
    lowest = 10 * np.floor(min(float(spectrogram.curve_db.min()) for spectrogram in shown) / 10)
    return min(max(lowest, high_db - RANGE_DB), high_db - DB_STEP), high_db


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


def _powers(wav: Wav, frames: Frames) -> Iterator[Array]:
    """Yield the power of the frames, mean of the channels, `[N, F]`, 1 for a full-scale sine."""
    half = frames.n_fft // 2
    count = max(1, 2**18 // frames.hop_length)  # frames at once
    padded = np.pad(wav, ((0, 0), (half, half)))
    for start in range(0, wav.shape[1] + 1, count * frames.hop_length):
        part = padded[:, start : start + (count - 1) * frames.hop_length + frames.n_fft]
        spec = frames.analyse(part, first=start - half)
        yield (spec.real**2 + spec.imag**2).mean(axis=0) / np.float32(half / 2) ** 2


def _starts(length: int, steps: int) -> NDArray[np.intp]:
    return (np.arange(min(steps, length)) * length / min(steps, length)).astype(np.intp)


def _steps(power: Array, steps: int, *, axis: int) -> Array:
    """Return the means over `steps` equal parts along an axis."""
    starts = _starts(power.shape[axis], steps)
    sizes = np.diff([*starts, power.shape[axis]]).astype(np.float32)
    shape = (-1, 1) if axis == 0 else (1, -1)
    return np.asarray(np.add.reduceat(power, starts, axis=axis) / sizes.reshape(shape), np.float32)


def _decibel(power: Array) -> Array:
    return np.asarray(10 * np.log10(power + np.float32(1e-14)), np.float32)


# ── In a page ────────────────────────────────────────────────────────────────────────────────────

_TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60)  # seconds between two labels
_TIME_LABELS = 7  # at most


def page_figures(excerpts: Sequence[Excerpt], diagnosis: Diagnosis | None = None) -> dict[str, Any]:
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
    views = [Spectrogram.of(e.wav, sample_rate=PAGE_RATE_HZ, high_hz=high_hz) for e in shown]
    top_db = _top_db(views)
    low_db, high_db = _curve_range_db(views)
    return {
        "seconds": seconds,
        "high_hz": high_hz,
        "range_db": RANGE_DB,
        "difference_db": DIFFERENCE_DB,
        "heat": HEAT,
        "change": CHANGE,
        "spectrograms": [
            (e.track.name, e.tint, _base64(spectrogram_png(view, top_db=top_db)))
            for e, view in zip(shown, views, strict=True)
        ],
        "differences": [
            (e.track.name, _base64(difference_png(views[0], view, top_db=top_db)))
            for e, view in zip(shown[1:], views[1:], strict=True)
            if e.track.role == "after"
        ],
        "ceiling": _ceiling(diagnosis, high_hz),
        "times": _times(seconds),
        "frequencies": _frequencies(high_hz),
        "levels": [
            ((level - low_db) / (high_db - low_db), minus(f"{level:.0f}"))
            for level in np.arange(high_db, low_db - 1, -DB_STEP)
        ],
        "comb": [hz / high_hz for hz in comb_lines_hz(diagnosis) if hz < high_hz],
        "curves": [
            (e.track.name, e.tint, _points(view, low_db, high_db))
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


def _points(view: Spectrogram, low_db: float, high_db: float) -> str:
    """Return the average spectrum as points in a square of 1000 × 1000."""
    across = np.linspace(0, 1000, len(view.curve_db))
    down = 1000 * (high_db - view.curve_db.clip(low_db, high_db)) / (high_db - low_db)
    return " ".join(f"{a:.0f},{d:.0f}" for a, d in zip(across, down, strict=True))


def spectrogram_png(shown: Spectrogram, *, top_db: float) -> bytes:
    """Return a spectrogram as a PNG file, `RANGE_DB` down from `top_db`."""
    return _png((shown.spec_db - top_db) / RANGE_DB + 1, HEAT)


def difference_png(before: Spectrogram, after: Spectrogram, *, top_db: float) -> bytes:
    """Return where `after` has more and where less level, as a PNG file, ±`DIFFERENCE_DB`."""
    return _png(difference_db(before, after, top_db=top_db) / (2 * DIFFERENCE_DB) + 0.5, CHANGE)


def _png(values: Array, colours: Sequence[_Colour]) -> bytes:
    """Return an array `[rows, columns]`, 0 to 1, row 0 at the bottom, as a PNG with a palette.

    Source: W3C, Portable Network Graphics (PNG) Specification, sections 5 and 11.2.
    """
    at = np.linspace(0, len(colours) - 1, SHADES)
    parts = np.array(colours, float).T
    palette = np.stack([np.interp(at, np.arange(len(colours)), part) for part in parts], axis=1)
    shades = np.rint(values[::-1].clip(0, 1) * (SHADES - 1)).astype(np.uint8)
    rows, columns = shades.shape
    lines = np.pad(shades, ((0, 0), (1, 0)))  # each begins with the number of its filter: none
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0),  # 8 bit, a palette
        b"PLTE": np.rint(palette).astype(np.uint8).tobytes(),
        b"IDAT": zlib.compress(lines.tobytes(), 9),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks.items()
    )


# ── In a file ────────────────────────────────────────────────────────────────────────────────────


def restoration_figure(restoration: RestoredSound) -> Figure:
    """Return a figure of input and result on the same scale, 1600 × 1000 points at 100 dpi.

    On the left the spectrograms of both and the difference of their levels, on the right the
    average spectrum and what was found and done. The input is at the result's gain, so that
    nothing looks better for being louder. Of long pieces the first 60 s are shown.
    """
    rate, channels = restoration.sample_rate, restoration.channels
    samples = min(restoration.samples, round(SECONDS_MAX * rate))
    wavs = [
        join(take(blocks, samples), channels=channels)
        for blocks in (restoration.input_blocks(), restoration.blocks())
    ]
    figure = _canvas(16, 10)
    notes = ("at the result's loudness", "")
    first, spectra, text = _draw_pair(figure, wavs, rate, ("Before", "After"), notes, top=0.875)
    _mark_ceiling(first, restoration.diagnosis)
    _mark_comb(spectra, restoration.diagnosis)
    _write_account(text, restoration)
    figure.text(0.045, 0.95, restoration.name, fontsize=22, fontweight="bold", **FONT)
    found = textwrap.shorten(describe_diagnosis(restoration.diagnosis), 150)
    figure.text(0.045, 0.922, found, fontsize=12.5, **FONT)
    sign = f"nitido · preset {restoration.plan.preset}"
    figure.text(0.975, 0.95, sign, fontsize=12.5, ha="right", **{**FONT, "color": FAINT})
    return figure


def comparison_figure(before: Track, after: Track, *, sentences: Sequence[str] = ()) -> Figure:
    """Return a figure of two sounds that lie over each other, 1600 × 1000 points at 100 dpi.

    Spectrograms of both and of the difference of their levels, and both average spectra. The second
    is matched to the first in loudness, so that nothing looks better for being louder. Of long
    sounds the first 60 s are shown.

    Args:
        before: what the other is held against; a waveform, not a stream.
        after: at the same sample rate.
        sentences: for the margin.
    """
    rate = before.sample_rate
    old, new = (
        np.asarray(track.sound)[:, : round(SECONDS_MAX * rate)].mean(axis=0, keepdims=True)
        for track in (before, after)
    )
    samples = min(old.shape[1], new.shape[1])
    old, new = old[:, :samples], new[:, :samples]
    new, gain_db = loudness_match(estimate=new, reference=old, sample_rate=rate)
    figure = _canvas(16, 10)
    notes = ("", f"at the same loudness ({minus(f'{gain_db:+.1f}')} dB)")
    names = (before.name, after.name)
    *_, text = _draw_pair(figure, [old, new], rate, names, notes, top=0.93)
    said = "\n".join(textwrap.fill(sentence, SENTENCE_WRAP) for sentence in sentences)
    text.text(0, 1, said, va="top", fontsize=11, linespacing=1.7, **FONT)
    return figure


def mel_figure(sounds: Sequence[tuple[str, Wav, int]]) -> Figure:
    """Return mel spectrograms one above the other, on one axis of time and one of frequency.

    Of long sounds the first 60 s are shown.

    Args:
        sounds: title, waveform `[C, T]`, sample rate in Hz.

    Raises:
        MissingExtraError: librosa is not installed.
    """
    mel_hz = load("librosa").hz_to_mel
    figure = _canvas(12, 0.6 + 3.1 * len(sounds))
    rows = figure.subplots(len(sounds), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    image = None
    for axes, (title, wav, sample_rate) in zip(rows, sounds, strict=True):
        shown = wav[:, : round(SECONDS_MAX * sample_rate)]
        top = float(mel_hz(sample_rate / 2))
        seconds = max(shown.shape[1] / sample_rate, 1e-3)
        scale = {"cmap": "magma", "vmin": -MEL_RANGE_DB, "vmax": 0.0}
        image = _image(axes, mel_db(shown, sample_rate), seconds, top, **scale)
        axes.set_ylabel("Hz", **FONT)
        _frame(axes, title)
        axes.set_facecolor(NOTHING)
    highest = max(sample_rate for _, _, sample_rate in sounds) / 2
    ticks = [hz for hz in MEL_TICKS_HZ if hz < highest]
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
    figure = _canvas(9, 5)
    axes = figure.subplots()
    first_name, first = next(iter(scores.items()))
    width = 0.8 / len(scores)
    places = np.arange(len(titles))
    highest = 100.0
    for index, (name, found) in enumerate(scores.items()):
        at = places + (index - (len(scores) - 1) / 2) * width
        changes = [change_percent(before=first[key], after=found[key]) for key in titles]
        shown = [0.0 if change is None else 100 + change for change in changes]
        bars = axes.bar(at, shown, 0.92 * width, label=name, color=BARS[index % len(BARS)])
        highest = max(highest, *shown)
        texts = [
            "–" if change is None else f"{height:.1f} %"
            for change, height in zip(changes, shown, strict=True)
        ]
        patch = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}  # over the line at 100 %
        axes.bar_label(bars, texts, padding=4, fontsize=10, color=INK, bbox=patch)
    axes.axhline(100, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xticks(places, list(titles.values()))
    axes.set_ylabel(f"% of {first_name}", **FONT)
    axes.set_ylim(0, 1.18 * highest)
    _frame(axes, "The founding table")
    axes.tick_params(labelsize=11, length=0)
    axes.legend(frameon=False, fontsize=10, labelcolor=INK, ncols=len(scores), loc="upper right")
    figure.tight_layout()
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


def check_drawing() -> None:
    """Say before any work if figures cannot be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    load("matplotlib", need="A picture", remedy="pip install 'nitido[plots]'")


def _canvas(width: float, height: float) -> Figure:
    """Return an empty figure, in hundreds of points; it needs no screen."""
    check_drawing()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, facecolor=PAPER)


def _draw_pair(
    figure: Figure,
    wavs: Sequence[Wav],
    sample_rate: int,
    names: tuple[str, str],
    notes: tuple[str, str],
    *,
    top: float,
) -> tuple[Axes, Axes, Axes]:
    """Draw two sounds, `[C, T]` each, on one scale, their difference and their average spectra.

    Returns:
        The axes of the first spectrogram, those of the average spectra, and empty ones for text.
    """
    high_khz = sample_rate / 2000
    pair = [Spectrogram.of(w, sample_rate=sample_rate, high_hz=sample_rate / 2) for w in wavs]
    seconds, top_db = max(wavs[1].shape[1] / sample_rate, 1e-3), _top_db(pair)
    edges = {"top": top, "bottom": 0.06}
    rows = figure.add_gridspec(3, 1, left=0.045, right=0.6, hspace=0.3, **edges)
    right = figure.add_gridspec(
        2, 1, left=0.65, right=0.975, hspace=0.17, height_ratios=(1, 1.45), **edges
    )
    levels = {"cmap": "magma", "vmin": top_db - RANGE_DB, "vmax": top_db}
    change = {"cmap": "RdBu_r", "vmin": -DIFFERENCE_DB, "vmax": DIFFERENCE_DB}
    added = f"red: added, blue: taken away, ±{DIFFERENCE_DB:.0f} dB"
    images = (
        (pair[0].spec_db, names[0], notes[0], levels),
        (pair[1].spec_db, names[1], notes[1], levels),
        (difference_db(*pair, top_db=top_db), "Difference", added, change),
    )
    shown = []
    for row, (spec_db, title, note, scale) in enumerate(images):
        axes = figure.add_subplot(rows[row])
        _image(axes, spec_db, seconds, high_khz, **scale)
        axes.set_ylabel("kHz", **FONT)
        axes.set_yticks(np.arange(0, high_khz + 0.1, 4 if high_khz <= 30 else 16))
        _frame(axes, title, note)
        shown.append(axes)
    shown[-1].set_xlabel("seconds", **FONT)
    spectra, text = (figure.add_subplot(right[row]) for row in range(2))
    _draw_spectra(spectra, pair, names, high_khz)
    text.set_axis_off()
    return shown[0], spectra, text


def _image(axes: Axes, spec_db: Array, seconds: float, high: float, **scale: Any) -> Any:
    extent = (0.0, seconds, 0.0, high)
    style = {"origin": "lower", "aspect": "auto", "interpolation": "antialiased", **scale}
    return axes.imshow(spec_db, extent=extent, **style)


def _frame(axes: Axes, title: str, note: str = "") -> None:
    axes.set_facecolor(PAPER)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=5, fontdict=FONT)
    if note:
        axes.set_title(note, loc="right", fontsize=9.5, pad=5, fontdict={**FONT, "color": FAINT})
    axes.tick_params(colors=INK, labelsize=9, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)


def _draw_spectra(
    axes: Axes, pair: Sequence[Spectrogram], names: tuple[str, str], high_khz: float
) -> None:
    for shown, name, colour in zip(pair, names, (BEFORE, AFTER), strict=True):
        khz = np.linspace(0, high_khz, len(shown.curve_db))
        axes.plot(khz, shown.curve_db, color=colour, linewidth=1.0, label=name)
    low_db, high_db = _curve_range_db(pair)
    axes.set_ylim(low_db, high_db)
    axes.set_yticks(np.arange(high_db, low_db - 1, -DB_STEP))
    axes.set_xlim(0, high_khz)
    _frame(axes, "Average spectrum")
    axes.set_xlabel("kHz", **FONT)
    axes.set_ylabel("dB", **FONT)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.legend(frameon=False, fontsize=11, loc="upper right", labelcolor=INK)


def _mark_ceiling(axes: Axes, diagnosis: Diagnosis) -> None:
    finding = diagnosis["bandwidth"]
    if finding.found and finding.value is not None:
        khz = finding.value / 1000
        axes.axhline(khz, color="white", linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.9)
        axes.annotate(
            f"nothing above {amount(finding)}", (1.0, khz), (-8, 5), fontsize=10, color="white",
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
        )  # fmt: skip


def _mark_comb(axes: Axes, diagnosis: Diagnosis) -> None:
    lines_khz = [hz / 1000 for hz in comb_lines_hz(diagnosis)]
    if lines_khz:
        low, high = axes.get_ylim()
        axes.vlines(lines_khz, low, low + 0.05 * (high - low), color=INK, linewidth=0.8)
        _frame(axes, "Average spectrum", "ticks: lines of the comb")


def _write_account(axes: Axes, restoration: RestoredSound) -> None:
    """Write the faults before and after, and below them the stages that were carried out."""
    y, line, columns = 0.985, 0.05, (0.27, 0.64)
    axes.set_ylim(0, 1)

    def write(x: float, text: str, **style: Any) -> None:
        if y > -0.03:  # what does not fit is left out
            axes.text(x, y, text, va="top", **{"fontsize": 12, **FONT, **style})

    heading = {"fontsize": 13.5, "fontweight": "bold"}
    write(0.0, "Found", **heading)
    for x, text in zip(columns, ("before", "after"), strict=True):
        write(x, text, color=FAINT)
    y -= 1.15 * line
    for pair in faults(restoration.diagnosis, restoration.after):
        write(0.0, pair[0].kind)
        for x, finding in zip(columns, pair, strict=True):
            write(x, "●", color=SEVERITY[finding.severity], fontsize=10)
            write(x + 0.035, amount(finding))
        y -= line
    y -= 0.6 * line
    write(0.0, "Done", **heading)
    y -= 1.15 * line
    done = [(step.stage, minus(step.reason)) for step in restoration.plan.steps if step.on]
    for stage, reason in done or [("nothing", "nothing was wrong")]:
        write(0.0, stage, fontweight="bold")
        for text in textwrap.wrap(reason, WRAP, max_lines=2, placeholder=" …"):
            write(columns[0], text, fontsize=11)
            y -= 0.9 * line
        y -= 0.25 * line
