"""How each meter reads the cases of its own standard: the table in `docs/conformance.md`.

The signals are made here from the words of the standards. Cases 7 and 8 of EBU Tech 3341 (5 and 6
of Tech 3342) are recordings of the EBU; 11 and 14 are 10 and 13 for meters that run live.

Source: EBU Tech 3341 (2023), table 1; EBU Tech 3342 (2023), table 1; Le Roux et al., SDR –
half-baked or well done?, ICASSP 2019, eq. 5, for SI-SDR; `nitido.demo.comb` for the comb.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from nitido.demo.comb import FRAME_SECONDS, power_ratio
from nitido.dsp.loudness import LoudnessMeter, true_peak_dbtp
from nitido.dsp.wav import Wav
from nitido.metrics import artefacts, fidelity
from nitido_lab.benchmark.tables import Table
from nitido_lab.docs import put_table

Array = NDArray[np.float64]

RATE = 48_000
TONE_HZ = 1000.0
STEP_SECONDS = 0.1  # between two readings of a meter that shall stand still
TAPER_SECONDS = 0.01
OVERSAMPLED = 4  # of the rate, at which the peaks of cases 20 to 23 are made
COMB_SPACING_HZ = 400.0
COLUMNS = ("meter", "case", "signal", "expected", "read", "verdict")
INTRO = (
    "Tech 3341 and Tech 3342 are those of the EBU, by number of their cases; all signals are made "
    "by code at 48 kHz unless another rate is named."
)


@dataclass(frozen=True)
class Case:
    """One case of a standard, and what the meter read.

    Attributes:
        meter: what is measured, with its unit.
        number: the standard and its case.
        signal: in words.
        expected: reading.
        below: how far under it a reading may lie.
        above: how far over it.
        readings: lowest and highest, where a meter is read more than once.
    """

    meter: str
    number: str
    signal: str
    expected: float
    below: float
    above: float
    readings: tuple[float, ...]

    @property
    def passes(self) -> bool:
        """Whether all readings are within the tolerance."""
        low, high = self.expected - self.below, self.expected + self.above
        return all(low <= reading <= high for reading in self.readings)

    def row(self) -> tuple[str, ...]:
        """Return the case as a row of the table."""
        tolerance = (
            f"±{self.above:g}" if self.above == self.below else f"+{self.above:g}/−{self.below:g}"
        )
        read = dict.fromkeys(_figure(reading, 2) for reading in self.readings)
        return (
            self.meter,
            self.number,
            self.signal,
            f"{_figure(self.expected, 1)} {tolerance}",
            " to ".join(read),
            "passes" if self.passes else "fails",
        )


def _figure(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def measure() -> list[Case]:
    """Return every case with what the meters read; takes some seconds."""
    return [*_loudness(), *_moving_loudness(), *_true_peak(), *_range(), *_si_sdr(), *_comb()]


def as_table(cases: Sequence[Case]) -> Table:
    """Return a row for each case."""
    return Table("", COLUMNS, tuple(case.row() for case in cases))


def write_docs(path: Path, table: Table) -> Path:
    """Put the table into a page, in place of the one that is there, or at its end."""
    return put_table(path, table, command="conformance", intro=INTRO, head="# Conformance")


def tone(*levels_and_seconds: tuple[float, float], gains_db: Sequence[float] = (0.0, 0.0)) -> Wav:
    """Return a 1 kHz sine that goes through levels (peak, dBFS), `[C, T]`, in phase throughout.

    Args:
        levels_and_seconds: level and length of each part; −∞ is silence.
        gains_db: of each channel.
    """
    amplitude = np.concatenate(
        [
            np.full(round(seconds * RATE), 10 ** (level / 20) if np.isfinite(level) else 0.0)
            for level, seconds in levels_and_seconds
        ]
    )
    wave = amplitude * np.sin(2 * np.pi * TONE_HZ / RATE * np.arange(amplitude.size))
    gains = 10 ** (np.array(gains_db)[:, None] / 20)
    return np.asarray(gains * wave, np.float32)


def _meter(wav: Wav) -> LoudnessMeter:
    meter = LoudnessMeter(RATE, len(wav))
    meter.update(wav)
    return meter


def _read(value: float | None) -> float:
    return float("nan") if value is None else value  # which passes nowhere


def _loudness() -> Iterator[Case]:
    """Cases 1 to 6 of Tech 3341: tones that stand, and the gates."""
    for number, level in ((1, -23.0), (2, -33.0)):
        meter = _meter(tone((level, 20)))
        for name, value in (
            ("M", meter.momentary_max_lufs),
            ("S", meter.short_term_max_lufs),
            ("I", meter.integrated_lufs),
        ):
            signal = f"stereo 1 kHz, {_figure(level, 0)} dBFS, 20 s"
            yield _lufs(name, number, signal, level, _read(value))
    steps: dict[int, tuple[tuple[float, float], ...]] = {
        3: ((-36, 10), (-23, 60), (-36, 10)),
        4: ((-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)),
        5: ((-26, 20), (-20, 20.1), (-26, 20)),
    }
    for number, parts in steps.items():
        levels = ", ".join(_figure(level, 0) for level, _ in parts)
        seconds = ", ".join(f"{seconds:g}" for _, seconds in parts)
        signal = f"at {levels} dBFS for {seconds} s"
        yield _lufs("I", number, signal, -23, _read(_meter(tone(*parts)).integrated_lufs))
    surround = tone((0.0, 20), gains_db=(-28, -28, -24, -30, -30))
    signal = "5.0: −28 dBFS left and right, −24 centre, −30 surrounds, 20 s"
    yield _lufs("I", 6, signal, -23, _read(_meter(surround).integrated_lufs))


def _moving_loudness() -> Iterator[Case]:
    """Cases 9, 10, 12 and 13 of Tech 3341: the windows of 3 s and 400 ms."""
    short = _readings(tone(*[(-20, 1.34), (-30, 1.66)] * 5), 3.0)
    yield _lufs("S", 9, "−20 dBFS 1.34 s, −30 dBFS 1.66 s, 5 times: every 3 s", -23, *short)
    found = [
        _read(_meter(tone((-np.inf, 0.15 * i), (-23, 3), (-np.inf, 1))).short_term_max_lufs)
        for i in range(20)
    ]
    signal = "20 files: i · 0.15 s silence, −23 dBFS 3 s, silence 1 s"
    yield _lufs("max S", 10, signal, -23, *_range_of(found))
    momentary = _readings(tone(*[(-20, 0.18), (-30, 0.22)] * 25), 0.4)
    yield _lufs("M", 12, "−20 dBFS 0.18 s, −30 dBFS 0.22 s, 25 times: every 0.4 s", -23, *momentary)
    found = [
        _read(_meter(tone((-np.inf, 0.02 * i), (-23, 0.4), (-np.inf, 1))).momentary_max_lufs)
        for i in range(20)
    ]
    signal = "20 files: i · 20 ms silence, −23 dBFS 400 ms, silence 1 s"
    yield _lufs("max M", 13, signal, -23, *_range_of(found))


def _readings(wav: Wav, window_seconds: float) -> tuple[float, float]:
    """Return the lowest and highest loudness of all windows, one `STEP_SECONDS` after another."""
    window, step = round(window_seconds * RATE), round(STEP_SECONDS * RATE)
    found = []
    for start in range(0, wav.shape[1] - window + 1, step):
        meter = _meter(wav[:, start : start + window])
        loudest = meter.short_term_max_lufs if window_seconds >= 3 else meter.momentary_max_lufs
        found.append(_read(loudest))
    return _range_of(found)


def _range_of(found: Sequence[float]) -> tuple[float, float]:
    return float(np.min(found)), float(np.max(found))


def _lufs(name: str, number: int, signal: str, expected: float, *readings: float) -> Case:
    return Case(f"{name}, LUFS", f"Tech 3341, {number}", signal, expected, 0.1, 0.1, readings)


def _true_peak() -> Iterator[Case]:
    """Cases 15 to 23 of Tech 3341: tones whose samples miss their peaks."""
    tones = ((15, 4, 0.5, 0.0), (16, 4, 0.5, 45.0), (17, 6, 0.5, 60.0), (18, 8, 0.5, 67.5))
    for number, divisor, amplitude, degrees in (*tones, (19, 4, 1.41, 45.0)):
        phase = 2 * np.pi / divisor * np.arange(RATE // 2) + np.deg2rad(degrees)
        expected = -6.0 if amplitude < 1 else 3.0
        signal = f"rate/{divisor}, amplitude {amplitude:g}, {degrees:g}°"
        yield _peak(number, signal, expected, _tapered(amplitude * np.sin(phase), RATE))
    for offset in range(OVERSAMPLED):
        dense = soxr.resample(_hidden_peak()[offset:], RATE * OVERSAMPLED, RATE, "VHQ")
        signal = f"rate/6, 0.5, with one period of rate/4, 1.0; {offset} of 4 samples later"
        yield _peak(20 + offset, signal, 0.0, dense)


def _hidden_peak() -> Array:
    """Return a sine of rate/6 at 0.5 with one period of rate/4 at 1 in it, at four times the rate.

    It passes through 0 upwards at both ends of that period.
    """
    low = 0.5 * np.sin(2 * np.pi / (6 * OVERSAMPLED) * np.arange(6 * OVERSAMPLED * 1000))
    high = np.sin(2 * np.pi / (4 * OVERSAMPLED) * np.arange(4 * OVERSAMPLED))
    return _tapered(np.concatenate([low, high, low]), RATE * OVERSAMPLED)


def _tapered(wave: Array, rate: int) -> Array:
    at = np.arange(wave.size)
    edge = np.minimum(at, at[::-1]) / (TAPER_SECONDS * rate)
    return np.asarray(wave * np.minimum(1, edge))


def _peak(number: int, signal: str, expected: float, wave: Array) -> Case:
    stereo = np.tile(wave.astype(np.float32), (2, 1))
    reading = _read(true_peak_dbtp(stereo, sample_rate=RATE))
    name = f"Tech 3341, {number}"
    return Case("true peak, dBTP", name, signal, expected, 0.4, 0.2, (reading,))


def _range() -> Iterator[Case]:
    """Cases 1 to 4 of Tech 3342."""
    cases = (((-20, -30), 10), ((-20, -15), 5), ((-40, -20), 20), ((-50, -35, -20, -35, -50), 15))
    for number, (levels, expected) in enumerate(cases, 1):
        reading = _read(_meter(tone(*((level, 20) for level in levels))).range_lu)
        signal = f"20 s each at {', '.join(_figure(level, 0) for level in levels)} dBFS"
        yield Case("LRA, LU", f"Tech 3342, {number}", signal, expected, 1, 1, (reading,))


def _si_sdr() -> Iterator[Case]:
    """Noise of a known level that has nothing in common with the reference."""
    reference, hiss = np.random.default_rng(0).standard_normal((2, 2, 4 * RATE))
    hiss -= (
        hiss.ravel() @ reference.ravel() / reference.ravel().dot(reference.ravel())
    ) * reference
    hiss *= np.sqrt(np.square(reference).sum() / np.square(hiss).sum())
    wanted = (0.1 * reference).astype(np.float32)
    for level, gain in ((0, 1.0), (-20, 1.0), (-20, 0.25), (-20, -1.0), (-60, 1.0)):
        mixed = gain * 0.1 * (reference + 10 ** (level / 20) * hiss)
        pair = {"estimate": mixed.astype(np.float32), "reference": wanted}
        turned = "" if gain == 1 else f", all times {_figure(gain, 2)}"
        signal = f"noise at {_figure(level, 0)} dB{turned}"
        reading = fidelity.si_sdr_db(**pair)
        yield Case("SI-SDR, dB", "by definition", signal, -level, 0.01, 0.01, (reading,))
        if gain == 1 and level:
            reading = fidelity.protected_si_sdr_db(**pair, sample_rate=RATE)
            meter = "SI-SDR 60 Hz–7 kHz, dB"
            yield Case(meter, "by definition", signal, -level, 0.1, 0.1, (reading,))


def _comb() -> Iterator[Case]:
    """Lines of a known height in white noise, at every multiple of 400 Hz."""
    for rate in (32_000, RATE):
        seconds, rms = 30, 0.1
        hiss = rms * np.random.default_rng(0).standard_normal(seconds * rate)
        lines_hz = np.arange(COMB_SPACING_HZ, rate / 2, COMB_SPACING_HZ)
        time = np.arange(hiss.size) / rate
        lines = sum(np.sin(2 * np.pi * hz * time + hz) for hz in lines_hz)
        for height_db in (0, 5, 10, 20):
            # Through a Hann window of n samples a sine of amplitude A has the power (A n / 4)² in
            # its bin, noise of variance σ² has 3 n σ² / 8.
            ratio = power_ratio(height_db) if height_db else 0.0
            amplitude = rms * np.sqrt(6 * ratio / (FRAME_SECONDS * rate))
            wav = np.asarray(hiss + amplitude * lines, np.float32)[None]
            reading = _read(artefacts.comb(estimate=wav, sample_rate=rate)["comb_db"])
            signal = f"white noise, lines of {height_db} dB, {rate // 1000} kHz"
            yield Case("comb, dB", "by definition", signal, height_db, 1, 1, (reading,))
