"""A small picture for each fault that was found: where it is, as a musician would point at it.

Each is a figure: an SVG that may be stretched, and a caption that says what lies left, middle and
right. It has no colour and no type of its own: classes name what a line is, and the page that shows
it gives it both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nitido.audio import FiniteBlocks, open_source
from nitido.chunks import join, take
from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.report.pictures import CURVE_POINTS, RANGE_DB, View
from nitido.report.words import amount
from nitido.wav import Wav

Array = NDArray[np.float64]

WIDTH, HEIGHT = 320, 96
TOP, BOTTOM = 6, 90  # of the drawing
HEARD_SECONDS = 30.0  # of the piece that spectra are taken from
CLOSE_SECONDS = {"clipping": 0.006, "dc": 0.05, "start": 0.03, "gaps": 0.3, "nonfinite": 0.3}
END_SECONDS = 1.0
DOTS = 500  # of the picture of the width
LOUDEST_LUFS, SOFTEST_LUFS, TARGET_LUFS = 0.0, -36.0, -14.0


@dataclass(frozen=True)
class Glimpse:
    """What of a piece the pictures need.

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
        view = View.of(self.start, sample_rate=self.sample_rate, high_hz=self.sample_rate / 2)
        return np.asarray(view.curve_db, np.float64)

    @classmethod
    def of(cls, audio: Path, diagnosis: Diagnosis) -> Glimpse:
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
        for block in FiniteBlocks(source.blocks()):
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


def sketches(audio: Path, diagnosis: Diagnosis) -> dict[str, str]:
    """Return a picture as HTML for each finding that is a fault, by kind.

    Args:
        audio: file that was diagnosed.
        diagnosis: of that file.
    """
    found = [finding for finding in diagnosis.findings if finding.found]
    if not found:
        return {}
    glimpse = Glimpse.of(audio, diagnosis)
    return {
        finding.kind: _figure(_PICTURES[finding.kind](_Seen(finding, glimpse)), finding)
        for finding in found
        if finding.kind in _PICTURES
    }


@dataclass(frozen=True)
class _Picture:
    """What is drawn, what stands under it, and whether its shape means something."""

    drawing: str
    caption: tuple[str, str, str]
    keeps_ratio: bool = False


@dataclass(frozen=True)
class _Seen:
    """A finding, and the piece that it is of."""

    finding: Finding
    glimpse: Glimpse


def _comb(seen: _Seen) -> _Picture:
    """Each line as high as it stands over the sound beside it; what is beside the grid, dashed."""
    details, high_hz = seen.finding.details, seen.glimpse.sample_rate / 2
    control_db = details["control_db"]
    top = max(8.0, float(np.quantile(details["lines_db"], 0.95)))

    def down(level_db: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * min(level_db, top) / top

    lines = "".join(
        f"M{WIDTH * hz / high_hz:.1f} {BOTTOM}V{down(level):.1f}"
        for hz, level in zip(details["lines_hz"], details["lines_db"], strict=True)
    )
    usual = f'<path class="mark" d="M0 {down(control_db):.1f}H{WIDTH}"/>'
    ground = f'<path class="zero" d="M0 {BOTTOM}H{WIDTH}"/>'
    drawing = f'{ground}<path class="lines" d="{lines}"/>{usual}'
    return _Picture(drawing, ("0", f"a line every {details['spacing_hz']:g} Hz", _khz(high_hz)))


def _bandwidth(seen: _Seen) -> _Picture:
    high_hz = max(24_000.0, seen.glimpse.sample_rate / 2)
    share = seen.glimpse.sample_rate / 2 / high_hz
    at = WIDTH * (seen.finding.value or 0.0) / high_hz
    top = float(seen.glimpse.curve_db.max())
    curve = _curve(seen.glimpse.curve_db, low=top - RANGE_DB, high=top, width=share * WIDTH)
    gone = f'<rect class="fault" x="{at:.1f}" y="{TOP}" width="{WIDTH - at:.1f}" '
    gone += f'height="{BOTTOM - TOP}"/><path class="mark" d="M{at:.1f} {TOP}V{BOTTOM}"/>'
    caption = ("0", f"ends at {amount(seen.finding)}", _khz(high_hz))
    return _Picture(gone + curve, caption)


def _tone(seen: _Seen) -> _Picture:
    hz, levels = (
        seen.finding.details["bands_hz"],
        np.array(seen.finding.details["bands_db"], np.float64),
    )
    top = float(levels.max())
    step = WIDTH / max(len(hz), 1)
    bars = ""
    for i, (centre, level) in enumerate(zip(hz, levels, strict=True)):
        tall = max(1.0, (BOTTOM - TOP) * (1 + (level - top) / 50.0))
        name = "fault-line" if 1000 <= centre <= 8000 else "bar"
        bars += f'<rect class="{name}" x="{i * step + 1:.1f}" y="{BOTTOM - tall:.1f}" '
        bars += f'width="{step - 2:.1f}" height="{tall:.1f}"/>'
    return _Picture(bars, (_khz(hz[0]), "1 to 8 kHz", _khz(hz[-1])))


def _rumble(seen: _Seen) -> _Picture:
    mono = seen.glimpse.start.mean(axis=0)
    power = np.abs(np.fft.rfft(mono * np.hanning(len(mono)))) ** 2
    hz = np.fft.rfftfreq(len(mono), 1 / seen.glimpse.sample_rate)
    edges = np.searchsorted(hz, np.linspace(0, 200, 81))
    starts = np.minimum(edges, len(power) - 1)
    level = 10 * np.log10(np.add.reduceat(power, starts)[:-1] + 1e-12)
    box = f'<rect class="fault" x="0" y="{TOP}" width="{WIDTH / 10:.1f}" height="{BOTTOM - TOP}"/>'
    top = float(level.max())
    drawing = box + _curve(level, low=top - 60, high=top)
    return _Picture(drawing, ("0", "below 20 Hz", "200 Hz"))


def _clipping(seen: _Seen) -> _Picture:
    wave = seen.glimpse.close["clipping"]
    given = [*seen.finding.details["positive_level"], *seen.finding.details["negative_level"]]
    levels = [float(level) for level in given if level is not None]
    high = 1.25 * max([float(np.abs(wave).max()), *map(abs, levels), 1e-3])
    marks = "".join(_level(level, high) for level in dict.fromkeys(levels))
    seconds = CLOSE_SECONDS["clipping"]
    return _Picture(marks + _wave(wave, high), _time(seen.finding, seconds))


def _dc(seen: _Seen) -> _Picture:
    offset = max(seen.finding.details["offset"], key=abs)
    wave, high = seen.glimpse.close["dc"], 4 * abs(offset)
    centre = f'<path class="zero" d="M0 {_down(0.0, high):.1f}H{WIDTH}"/>'
    wave = wave.clip(-high, high)
    drawing = centre + _wave(wave, high) + _level(offset, high)
    return _Picture(drawing, ("", f"off by {amount(seen.finding)}", ""))


def _start(seen: _Seen) -> _Picture:
    wave = seen.glimpse.close["start"]
    high = 1.1 * max(float(np.abs(wave).max()), 1e-3)
    tall = f"M1 {_down(0.0, high):.1f}V{_down(float(wave[0]), high):.1f}"
    fault = f'<path class="fault-line thick" d="{tall}"/>' if seen.finding.details["click"] else ""
    last = f"{1000 * CLOSE_SECONDS['start']:g} ms"
    return _Picture(_wave(wave, high) + fault, ("0", "", last))


def _end(seen: _Seen) -> _Picture:
    wave = np.asarray(_loudest(seen.glimpse.end), np.float64)
    share = 0.94  # of the width; then there is nothing
    high = 1.1 * max(float(np.abs(wave).max(initial=0.0)), 1e-3)
    at = share * WIDTH
    cut = f'<path class="mark" d="M{at:.1f} {TOP}V{BOTTOM}"/>'
    rest = f'<path class="zero" d="M{at:.1f} {_down(0.0, high):.1f}H{WIDTH}"/>'
    drawing = rest + _envelope(wave, high, width=at) + cut
    return _Picture(drawing, ("the last second", "", "the end"))


def _place(seen: _Seen) -> _Picture:
    """The waveform around the first place, with the place marked."""
    seconds = CLOSE_SECONDS[seen.finding.kind]
    wave = seen.glimpse.close[seen.finding.kind]
    high = 1.1 * max(float(np.abs(wave).max(initial=0.0)), 1e-3)
    long = (
        min(seen.finding.where[0][1] - seen.finding.where[0][0], seconds)
        if seen.finding.where
        else 0.0
    )
    wide = max(2.0, WIDTH * long / seconds)
    x = (WIDTH - wide) / 2
    box = f'<rect class="fault" x="{x:.1f}" y="{TOP}" width="{wide:.1f}" height="{BOTTOM - TOP}"/>'
    return _Picture(box + _envelope(wave, high), _time(seen.finding, seconds))


def _width(seen: _Seen) -> _Picture:
    """Left against right, turned so that mono is a line straight up."""
    step = max(1, seen.glimpse.start.shape[1] // DOTS)
    wav = seen.glimpse.start[:, ::step].astype(np.float64)
    left, right = wav[0], wav[min(1, len(wav) - 1)]
    middle, side = (left + right) / 2, (left - right) / 2
    high = max(float(np.abs(middle).max(initial=0.0)), float(np.abs(side).max(initial=0.0)), 1e-3)
    tall = (BOTTOM - TOP) / 2
    dots = "".join(
        f"M{WIDTH / 2 + tall * s / high:.1f} {TOP + tall - tall * m / high:.1f}h.01"
        for m, s in zip(middle, side, strict=True)
    )
    frame = f'<path class="zero" d="M{WIDTH / 2 - tall} {TOP + tall}h{2 * tall}"/>'
    drawing = f'{frame}<path class="dots" d="{dots}"/>'
    return _Picture(drawing, ("left", "", "right"), keeps_ratio=True)


def _loudness(seen: _Seen) -> _Picture:
    details = seen.finding.details
    middle = (TOP + BOTTOM) / 2

    def across(level: float) -> float:
        share = (level - SOFTEST_LUFS) / (LOUDEST_LUFS + 4 - SOFTEST_LUFS)
        return float(np.clip(WIDTH * share, 0.0, WIDTH))

    lufs, peak = details["integrated_lufs"], details["true_peak_dbtp"]
    over = across(LOUDEST_LUFS)
    said = [f'<rect class="fault" x="{over:.1f}" y="{TOP}" width="{WIDTH - over:.1f}" ']
    said.append(f'height="{BOTTOM - TOP}"/>')
    if lufs is not None:
        said.append(f'<rect class="bar" y="{middle - 10}" width="{across(lufs):.1f}" height="20"/>')
    if peak is not None:
        name = "fault-line thick" if peak > 0 else "curve"
        said.append(f'<path class="{name}" d="M{across(peak):.1f} {middle - 18}v36"/>')
    at = across(TARGET_LUFS)
    said.append(f'<path class="mark" d="M{at:.1f} {TOP}V{BOTTOM}"/>')
    low, high = (f"{level:.0f}".replace("-", "−") for level in (SOFTEST_LUFS, LOUDEST_LUFS + 4))
    return _Picture("".join(said), (low, "dashed: −14 LUFS", high))


_PICTURES: dict[str, Callable[[_Seen], _Picture]] = {
    "bandwidth": _bandwidth,
    "clipping": _clipping,
    "comb": _comb,
    "dc": _dc,
    "end": _end,
    "gaps": _place,
    "loudness": _loudness,
    "nonfinite": _place,
    "rumble": _rumble,
    "start": _start,
    "tone": _tone,
    "width": _width,
}


def _figure(picture: _Picture, finding: Finding) -> str:
    ratio = "xMidYMid" if picture.keeps_ratio else "none"
    caption = "".join(f"<span>{escape(text)}</span>" for text in picture.caption)
    return (
        f'<figure class="sketch"><svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="{ratio}" '
        f'role="img" aria-label="{escape(finding.summary)}">{picture.drawing}</svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _loudest(wav: Wav) -> Wav:
    """Return the channel with the highest peak, `[T]`."""
    return np.asarray(wav[int(np.abs(wav).max(axis=1, initial=0.0).argmax())])


def _down(level: float, high: float) -> float:
    """Return how far down a level from −high to high is drawn."""
    return TOP + (BOTTOM - TOP) * (high - level) / (2 * high)


def _points(across: Iterable[float], down: Iterable[float]) -> str:
    return " ".join(f"{a:.1f},{d:.1f}" for a, d in zip(across, down, strict=True))


def _curve(levels: Array, *, low: float, high: float, width: float = WIDTH) -> str:
    """Return levels as an area under a line."""
    parts = np.array_split(levels, min(len(levels), CURVE_POINTS // 2))
    shown = np.array([part.max() for part in parts]).clip(low, high)
    across = np.linspace(0, width, len(shown))
    line = _points(across, BOTTOM - (BOTTOM - TOP) * (shown - low) / (high - low))
    return (
        f'<polygon class="area" points="0,{BOTTOM} {line} {width:.1f},{BOTTOM}"/>'
        f'<polyline class="curve" points="{line}"/>'
    )


def _wave(wave: Array, high: float, *, width: float = WIDTH) -> str:
    """Return a few samples as a line."""
    step = max(1, len(wave) // 600)
    across = np.linspace(0, width, len(wave[::step]))
    line = _points(across, [_down(float(value), high) for value in wave[::step]])
    return f'<polyline class="curve" points="{line}"/>'


def _envelope(wave: Array, high: float, *, width: float = WIDTH) -> str:
    """Return many samples as bars from lowest to highest."""
    parts = np.array_split(wave, max(1, min(len(wave), 160)))
    step = width / len(parts)
    bars = "".join(
        f"M{(i + 0.5) * step:.1f} {_down(float(part.max(initial=0.0)), high) - 0.5:.1f}"
        f"V{_down(float(part.min(initial=0.0)), high) + 0.5:.1f}"
        for i, part in enumerate(parts)
    )
    return f'<path class="bars" d="{bars}"/>'


def _level(level: float, high: float) -> str:
    return f'<path class="mark" d="M0 {_down(level, high):.1f}H{WIDTH}"/>'


def _khz(hz: float) -> str:
    return f"{hz / 1000:.3g} kHz" if hz >= 1000 else f"{hz:.0f} Hz"


def _time(finding: Finding, seconds: float) -> tuple[str, str, str]:
    first = finding.where[0][0] if finding.where else 0.0
    shown = f"{1000 * seconds:g} ms" if seconds < 0.1 else f"{seconds:g} s"
    return "", f"{shown} around {first:.2f} s", ""
