"""Thumbnails of findings: small SVG figures that point at each fault as a musician would.

A figure may be stretched; its caption says what lies left, middle and right. It has no colour and
no type of its own: classes name what a line is, and the page that shows it gives it both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nitido.audio import SanitizedBlocks, open_source
from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.diagnosis.shimmer import BAND_HZ as SHIMMER_HZ
from nitido.dsp.chunks import join, take
from nitido.dsp.wav import Wav
from nitido.report.figures import CURVE_POINTS, RANGE_DB, Spectrogram
from nitido.report.formatting import amount, minus
from nitido.report.templating import environment

Array: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = tuple[str, dict[str, str | float]]  # an SVG element and its attributes

WIDTH, HEIGHT = 320, 96
TOP, BOTTOM = 6, 90  # of the drawing
HEARD_SECONDS = 30.0  # of the piece that spectra are taken from
CLOSE_SECONDS = {
    "clicks": 0.02,
    "clipping": 0.006,
    "dc": 0.05,
    "gaps": 0.3,
    "nonfinite": 0.3,
    "start": 0.03,
    "sibilance": 0.4,
}
END_SECONDS = 1.0
DOTS = 500  # of the picture of the width
LOUDEST_LUFS, SOFTEST_LUFS, TARGET_LUFS = 0.0, -36.0, -14.0
TONE_RANGE_DB, RUMBLE_RANGE_DB = 50.0, 60.0


@dataclass(frozen=True)
class Passages:
    """The passages of a piece that are drawn.

    Attributes:
        sample_rate: Hz.
        start: the first seconds, `[C, T]`.
        end: the last second, `[C, T]`.
        close: by kind, the waveform around the first place, mono, `[T]`.
    """

    sample_rate: int
    start: Wav
    end: Wav
    close: dict[str, Array]

    @cached_property
    def curve_db(self) -> Array:
        """The average spectrum of the start, 0 Hz to half the sample rate."""
        rate = self.sample_rate
        shown = Spectrogram.of(self.start, sample_rate=rate, high_hz=rate / 2)
        return np.asarray(shown.curve_db, np.float64)

    @classmethod
    def of(cls, audio: Path, diagnosis: Diagnosis) -> Passages:
        """Read the piece once more, and keep the places that matter."""
        source = open_source(audio)
        rate = source.sample_rate
        spans = {}
        for kind, seconds in CLOSE_SECONDS.items():
            where = diagnosis[kind].where
            middle = sum(where[0]) / 2 if where and kind != "start" else seconds / 2
            first = max(0, round((middle - seconds / 2) * rate))
            spans[kind] = (first, first + max(2, round(seconds * rate)))
        ending = max(0, source.samples - round(END_SECONDS * rate))
        spans["end"] = (ending, source.samples)
        kept: dict[str, list[Wav]] = {kind: [] for kind in spans}
        head: list[Wav] = []
        position = 0
        for block in SanitizedBlocks(source.blocks()):
            if position < HEARD_SECONDS * rate:
                head.append(block)
            for kind, (first, last) in spans.items():
                low, high = max(first - position, 0), min(last - position, block.shape[1])
                if low < high:
                    kept[kind].append(block[:, low:high])
            position += block.shape[1]
        whole = {kind: join(parts, channels=source.channels) for kind, parts in kept.items()}
        start = join(take(head, min(position, round(HEARD_SECONDS * rate))), channels=1)
        end = whole.pop("end")
        # Of several channels the one where the fault shows: the loudest.
        close = {kind: np.asarray(_loudest(wav), np.float64) for kind, wav in whole.items()}
        return cls(rate, start, end, close)


@dataclass(frozen=True)
class _Thumbnail:
    """What is drawn, what stands under it, and whether its shape means something."""

    shapes: list[Shape]
    caption: tuple[str, str, str]
    keeps_ratio: bool = False


def thumbnails(audio: Path, diagnosis: Diagnosis) -> dict[str, str]:
    """Return a picture as HTML for each finding that is a fault, by kind.

    Args:
        audio: file that was diagnosed.
        diagnosis: of that file.
    """
    found = [finding for finding in diagnosis.findings if finding.found]
    if not found:
        return {}
    passages = Passages.of(audio, diagnosis)
    template = environment().get_template("thumbnail.html")
    drawn = {f.kind: (f, _DRAWN[f.kind](f, passages)) for f in found if f.kind in _DRAWN}
    return {
        kind: template.render(finding=finding, width=WIDTH, height=HEIGHT, **vars(thumbnail))
        for kind, (finding, thumbnail) in drawn.items()
    }


def _comb(finding: Finding, passages: Passages) -> _Thumbnail:
    """Each line as high as it stands over the sound beside it; what is beside the grid, dashed."""
    details, high_hz = finding.details, passages.sample_rate / 2
    top = max(8.0, float(np.quantile(details["lines_db"], 0.95)))

    def down(level_db: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * min(level_db, top) / top

    lines = "".join(
        f"M{WIDTH * hz / high_hz:.1f} {BOTTOM}V{down(level):.1f}"
        for hz, level in zip(details["lines_hz"], details["lines_db"], strict=True)
    )
    shapes = [
        _across("zero", BOTTOM),
        _path("lines", lines),
        _across("mark", down(details["control_db"])),
    ]
    return _Thumbnail(shapes, ("0", f"a line every {details['spacing_hz']:g} Hz", _khz(high_hz)))


def _bandwidth(finding: Finding, passages: Passages) -> _Thumbnail:
    nyquist_hz = passages.sample_rate / 2
    high_hz = max(24_000.0, nyquist_hz)
    at = WIDTH * (finding.value or 0.0) / high_hz
    top = float(passages.curve_db.max())
    width = WIDTH * nyquist_hz / high_hz
    shapes = [
        _box("fault", at, WIDTH - at),
        _upright("mark", at),
        *_curve(passages.curve_db, low=top - RANGE_DB, high=top, width=width),
    ]
    return _Thumbnail(shapes, ("0", f"ends at {amount(finding)}", _khz(high_hz)))


def _shimmer(_: Finding, passages: Passages) -> _Thumbnail:
    high_hz = passages.sample_rate / 2
    low, high = (WIDTH * min(1.0, hz / high_hz) for hz in SHIMMER_HZ)
    top = float(passages.curve_db.max())
    shapes = [
        _box("fault", low, high - low),
        *_curve(passages.curve_db, low=top - RANGE_DB, high=top),
    ]
    return _Thumbnail(shapes, ("0", "flickers from 5 to 14 kHz", _khz(high_hz)))


def _tone(finding: Finding, _: Passages) -> _Thumbnail:
    hz, levels = finding.details["bands_hz"], finding.details["bands_db"]
    step, top = WIDTH / max(len(hz), 1), max(levels)
    bars = []
    for i, (centre, level) in enumerate(zip(hz, levels, strict=True)):
        tall = max(1.0, (BOTTOM - TOP) * (1 + (level - top) / TONE_RANGE_DB))
        name = "fault-line" if 1000 <= centre <= 8000 else "bar"
        bars.append(_box(name, i * step + 1, step - 2, BOTTOM - tall, tall))
    return _Thumbnail(bars, (_khz(hz[0]), "1 to 8 kHz", _khz(hz[-1])))


def _bands(finding: Finding, _: Passages) -> _Thumbnail:
    """Each band as high as it stands out."""
    hz, levels = finding.details["bands_hz"], finding.details["bands_db"]
    step, top = WIDTH / len(hz), max(8.0, *levels)
    bars = []
    for i, level in enumerate(levels):
        tall = max(1.0, (BOTTOM - TOP) * level / top)
        bars.append(_box("fault-line", i * step + 1, step - 2, BOTTOM - tall, tall))
    return _Thumbnail(bars, (_khz(hz[0]), "stands out", _khz(hz[-1])))


def _rumble(_: Finding, passages: Passages) -> _Thumbnail:
    mono = passages.start.mean(axis=0)
    power = np.abs(np.fft.rfft(mono * np.hanning(len(mono)))) ** 2
    hz = np.fft.rfftfreq(len(mono), 1 / passages.sample_rate)
    starts = np.minimum(np.searchsorted(hz, np.linspace(0, 200, 81)), len(power) - 1)
    level = 10 * np.log10(np.add.reduceat(power, starts)[:-1] + 1e-12)
    top = float(level.max())
    shapes = [_box("fault", 0, WIDTH / 10), *_curve(level, low=top - RUMBLE_RANGE_DB, high=top)]
    return _Thumbnail(shapes, ("0", "below 20 Hz", "200 Hz"))


def _clipping(finding: Finding, passages: Passages) -> _Thumbnail:
    wave = passages.close["clipping"]
    given = [*finding.details["positive_level"], *finding.details["negative_level"]]
    levels = [float(level) for level in given if level is not None]
    high = 1.25 * max([float(np.abs(wave).max()), *map(abs, levels), 1e-3])
    marks = [_across("mark", _down(level, high)) for level in dict.fromkeys(levels)]
    return _Thumbnail([*marks, _wave(wave, high)], _around(finding))


def _dc(finding: Finding, passages: Passages) -> _Thumbnail:
    offset = max(finding.details["offset"], key=abs)
    high = 4 * abs(offset)
    shapes = [
        _across("zero", _down(0.0, high)),
        _wave(passages.close["dc"].clip(-high, high), high),
        _across("mark", _down(offset, high)),
    ]
    return _Thumbnail(shapes, ("", f"off by {amount(finding)}", ""))


def _start(finding: Finding, passages: Passages) -> _Thumbnail:
    wave = passages.close["start"]
    high = _room(wave)
    shapes = [_wave(wave, high)]
    if finding.details["click"]:
        tall = f"M1 {_down(0.0, high):.1f}V{_down(float(wave[0]), high):.1f}"
        shapes.append(_path("fault-line thick", tall))
    return _Thumbnail(shapes, ("0", "", f"{1000 * CLOSE_SECONDS['start']:g} ms"))


def _end(_: Finding, passages: Passages) -> _Thumbnail:
    wave = np.asarray(_loudest(passages.end), np.float64)
    at, high = 0.94 * WIDTH, _room(wave)  # then there is nothing
    shapes = [
        _path("zero", f"M{at:.1f} {_down(0.0, high):.1f}H{WIDTH}"),
        _envelope(wave, high, width=at),
        _upright("mark", at),
    ]
    return _Thumbnail(shapes, ("the last second", "", "the end"))


def _place(finding: Finding, passages: Passages) -> _Thumbnail:
    """The waveform around the first place, with the place marked."""
    seconds, wave = CLOSE_SECONDS[finding.kind], passages.close[finding.kind]
    first, last = finding.where[0] if finding.where else (0.0, 0.0)
    wide = max(2.0, WIDTH * min((last - first) / seconds, 1.0))
    shapes = [_box("fault", (WIDTH - wide) / 2, wide), _envelope(wave, _room(wave))]
    return _Thumbnail(shapes, _around(finding))


def _width(_: Finding, passages: Passages) -> _Thumbnail:
    """Left against right, turned so that mono is a line straight up."""
    step = max(1, passages.start.shape[1] // DOTS)
    wav = passages.start[:, ::step].astype(np.float64)
    left, right = wav[0], wav[min(1, len(wav) - 1)]
    middle, side = (left + right) / 2, (left - right) / 2
    high = max(float(np.abs(middle).max(initial=0.0)), float(np.abs(side).max(initial=0.0)), 1e-3)
    tall = (BOTTOM - TOP) / 2
    dots = "".join(
        f"M{WIDTH / 2 + tall * s / high:.1f} {TOP + tall - tall * m / high:.1f}h.01"
        for m, s in zip(middle, side, strict=True)
    )
    frame = f"M{WIDTH / 2 - tall} {TOP + tall}h{2 * tall}"
    shapes = [_path("zero", frame), _path("dots", dots)]
    return _Thumbnail(shapes, ("left", "", "right"), keeps_ratio=True)


def _loudness(finding: Finding, _: Passages) -> _Thumbnail:
    lufs, peak = finding.details["integrated_lufs"], finding.details["true_peak_dbtp"]
    highest = LOUDEST_LUFS + 4

    def at(level: float) -> float:
        return float(np.clip(WIDTH * (level - SOFTEST_LUFS) / (highest - SOFTEST_LUFS), 0, WIDTH))

    middle = (TOP + BOTTOM) / 2
    shapes = [_box("fault", at(LOUDEST_LUFS), WIDTH - at(LOUDEST_LUFS))]
    if lufs is not None:
        shapes.append(_box("bar", 0, at(lufs), middle - 10, 20))
    if peak is not None:
        name = "fault-line thick" if peak > 0 else "curve"
        shapes.append(_path(name, f"M{at(peak):.1f} {middle - 18}v36"))
    shapes.append(_upright("mark", at(TARGET_LUFS)))
    low, target, high = (minus(f"{db:.0f}") for db in (SOFTEST_LUFS, TARGET_LUFS, highest))
    return _Thumbnail(shapes, (low, f"dashed: {target} LUFS", high))


_DRAWN: dict[str, Callable[[Finding, Passages], _Thumbnail]] = {
    "bandwidth": _bandwidth,
    "clicks": _place,
    "clipping": _clipping,
    "comb": _comb,
    "dc": _dc,
    "end": _end,
    "gaps": _place,
    "harshness": _bands,
    "loudness": _loudness,
    "mud": _bands,
    "nonfinite": _place,
    "phase": _width,
    "rumble": _rumble,
    "shimmer": _shimmer,
    "sibilance": _place,
    "start": _start,
    "tone": _tone,
    "width": _width,
}


def _path(name: str, d: str) -> Shape:
    return "path", {"class": name, "d": d}


def _across(name: str, y: float) -> Shape:
    return _path(name, f"M0 {y:.1f}H{WIDTH}")


def _upright(name: str, x: float) -> Shape:
    return _path(name, f"M{x:.1f} {TOP}V{BOTTOM}")


def _box(name: str, x: float, width: float, y: float = TOP, height: float = BOTTOM - TOP) -> Shape:
    place = {"x": x, "y": y, "width": width, "height": height}
    return "rect", {"class": name, **{key: f"{value:.1f}" for key, value in place.items()}}


def _curve(levels: Array, *, low: float, high: float, width: float = WIDTH) -> list[Shape]:
    """Return levels as an area under a line."""
    parts = np.array_split(levels, min(len(levels), CURVE_POINTS // 2))
    shown = np.array([part.max() for part in parts]).clip(low, high)
    down = BOTTOM - (BOTTOM - TOP) * (shown - low) / (high - low)
    line = _points(np.linspace(0, width, len(shown)), down)
    area = f"0,{BOTTOM} {line} {width:.1f},{BOTTOM}"
    return [
        ("polygon", {"class": "area", "points": area}),
        ("polyline", {"class": "curve", "points": line}),
    ]


def _wave(wave: Array, high: float) -> Shape:
    """Return a few samples as a line."""
    shown = wave[:: max(1, len(wave) // 600)]
    line = _points(np.linspace(0, WIDTH, len(shown)), _down(shown, high))
    return "polyline", {"class": "curve", "points": line}


def _envelope(wave: Array, high: float, *, width: float = WIDTH) -> Shape:
    """Return many samples as bars from lowest to highest."""
    parts = np.array_split(wave, max(1, min(len(wave), 160)))
    step = width / len(parts)
    bars = "".join(
        f"M{(i + 0.5) * step:.1f} {_down(float(part.max(initial=0.0)), high) - 0.5:.1f}"
        f"V{_down(float(part.min(initial=0.0)), high) + 0.5:.1f}"
        for i, part in enumerate(parts)
    )
    return _path("bars", bars)


def _down(level: Any, high: float) -> Any:
    """Return how far down a level, or an array of them, from −high to high is drawn."""
    return TOP + (BOTTOM - TOP) * (high - level) / (2 * high)


def _room(wave: Array) -> float:
    """Return the level up to which a wave is drawn."""
    return 1.1 * max(float(np.abs(wave).max(initial=0.0)), 1e-3)


def _points(across: Iterable[float], down: Iterable[float]) -> str:
    return " ".join(f"{a:.1f},{d:.1f}" for a, d in zip(across, down, strict=True))


def _loudest(wav: Wav) -> Wav:
    """Return the channel with the highest peak, `[T]`."""
    return np.asarray(wav[int(np.abs(wav).max(axis=1, initial=0.0).argmax())])


def _khz(hz: float) -> str:
    return f"{hz / 1000:.3g} kHz" if hz >= 1000 else f"{hz:.0f} Hz"


def _around(finding: Finding) -> tuple[str, str, str]:
    first = finding.where[0][0] if finding.where else 0.0
    seconds = CLOSE_SECONDS[finding.kind]
    shown = f"{1000 * seconds:g} ms" if seconds < 0.1 else f"{seconds:g} s"
    return "", f"{shown} around {first:.2f} s", ""
