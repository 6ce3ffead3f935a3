"""The decoder comb: lines at multiples of the rates at which a neural decoder upsamples.

A transposed convolution repeats its bias at every step of its input, so the sound carries steady
lines at multiples of each internal rate: 8000, 2000, 400 and 50 Hz in the EnCodec-32k decoder of
MusicGen. They are measured in the time-averaged log spectrum, as height over the local median, and
held against control lines halfway between: music is peaky too, but not on the grid.

Source: Pons et al., Upsampling artifacts in neural audio synthesis, ICASSP 2021, sec. 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.bandwidth import FALL_DB, find_ceiling
from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.fourier import fast_size
from nitido.dsp.spectral import Frames, median
from nitido.dsp.wav import Wav

# n_fft 16384 at 32 kHz: 2 Hz per bin, a line is told from its neighbours. The same at every sample
# rate, for narrower bins make lines higher: the next power of two found weak combs at 48 kHz that
# were none at 32 kHz.
FRAME_SECONDS = 0.512
LOW_HZ = {400.0: 1500.0, 50.0: 3000.0}  # below, partials of the music outnumber the lines
CONTENT_RANGE_DB = 110.0  # where the spectrum lies further below its top, the sound has ended
# Sample rates at which decoders work, over products of strides of 2, 4, 5, 8; at 44.1 kHz of 2, 4,
# 8 (a stride of 5 would give 110.25 Hz, a semitone's hundredth from the note A).
# Frame rates of generators, on whose steps their decoders repeat themselves as well.
FRAME_RATES_HZ = (50.0, 22_050 / 512, 25.0, 44_100 / 2048)
DECODER_SPACINGS_HZ = tuple(
    sorted(
        set(FRAME_RATES_HZ)
        | {
            rate / (2**twos * 5**fives)
            for rate in (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
            for twos in range(2, 12)
            for fives in range(1 if rate % 11_025 == 0 else 3)
            if 60 <= rate / (2**twos * 5**fives) <= 3000
        }
    )
)
# MusicGen's decoder ends at 16 kHz, whatever the file; some keep what it made at half the rate.
DECODER_ENDS_HZ = (15_760.0, 7_880.0)
MAINS_HZ = (25.0, 50.0, 60.0, 100.0, 120.0)  # grids that hum has, too
NEIGHBOURHOOD_HZ = 80.0  # local median over so much on either side
CEILING_STEP_HZ = 100.0
# Above the music a line of the grid is heard alone: those that stand out so far are taken as well.
# A 44.1 kHz vocoder has its strongest at 22 050 Hz.
LONE_LINE_DB = 6.0
LIVE_RANGE_DB = 60.0  # frames further below the loudest are silence, not evidence

# Clean music, 84 files: excess over control at most 1.1 dB (sd 0.4) and 2.4 standard errors, save
# one recording with mains hum, whose lines are real.
EXCESS_MIN_DB = 1.0
MEDIAN_MIN_DB = 0.6
STANDARD_ERRORS_MIN = 2.6
CLEAR_DB, SEVERE_DB = 2.0, 5.0
# A beat that repeats itself to the sample, as machines play it, has lines at all multiples of its
# rate: sixteenths at 150 bpm every 10 Hz, so at 400 Hz, too. Control lines then lie on those.
# Slower beats have none in such frames, faster ones are notes. So far the spectrum's
# autocorrelation has to rise again at that rate.
BEAT_HZ = (6.0, 45.0)
BEAT_MIN = 0.3

_LEVEL_STEP_DB = 10.0
_LEVELS = 16


def frame_size(sample_rate: int) -> int:
    """Return the n_fft of `FRAME_SECONDS` at a sample rate, even and fast.

    >>> frame_size(32_000), frame_size(44_100), frame_size(48_000)
    (16384, 23040, 24576)
    """
    return 2 * fast_size(round(FRAME_SECONDS * sample_rate / 2))


class AverageLogSpectrum:
    """The mean over time of the log power spectrum of a stream, downmixed, dB.

    Frames are kept apart by level, so that silent ones can be left out at the end.
    """

    def __init__(self, *, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.n_fft = frame_size(sample_rate)
        self._frames = Frames(self.n_fft, self.n_fft // 2)
        bins = self.n_fft // 2 + 1
        self._sums = np.zeros((_LEVELS, bins))
        self._powers = np.zeros(_LEVELS)
        self._counts = np.zeros(_LEVELS, int)
        self._held: Wav = np.zeros((1, self.n_fft // 2), np.float32)  # frame 0 is centred on 0
        self._first = -self.n_fft // 2

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`."""
        if not block.shape[1]:
            return
        mix = block.mean(axis=0, keepdims=True) if len(block) > 1 else block
        held = np.concatenate([self._held, mix], axis=1)
        indices = self._frames.indices(self._first, held.shape[1])
        if len(indices):
            self._add(self._frames.analyse(held, first=self._first)[0])
            following = indices.stop * self._frames.hop_length - self.n_fft // 2
            held = held[:, following - self._first :]
            self._first = following
        self._held = held.copy()

    def _add(self, spec: NDArray[np.complex64]) -> None:
        power = spec.real**2 + spec.imag**2
        mean = power.mean(axis=1) * (16 / 3 / self.n_fft)  # mean square of the frame, Parseval
        level = np.floor(-10 * np.log10(mean + 1e-20) / _LEVEL_STEP_DB).clip(0, _LEVELS - 1)
        # float32 carries a spectrum to about −130 dB of its largest bin; below is no information
        log = 10 * np.log10(power + 1e-13 * power.max(axis=1, keepdims=True) + 1e-20)
        for index in np.flatnonzero(np.bincount(level.astype(int))):
            chosen = level == index
            self._sums[index] += log[chosen].sum(axis=0, dtype=np.float64)
            self._powers[index] += float(mean[chosen].sum())
            self._counts[index] += int(chosen.sum())

    def finish(self) -> tuple[NDArray[np.float64] | None, float]:
        """Return the average `[F]`, dB, and the mean square of the frames in it; None if silent."""
        live = np.flatnonzero(self._counts[: _LEVELS - 1])  # the last class is digital silence
        if not len(live):
            return None, 0.0
        live = live[live <= live[0] + LIVE_RANGE_DB / _LEVEL_STEP_DB]
        count = int(self._counts[live].sum())
        return self._sums[live].sum(axis=0) / count, float(self._powers[live].sum()) / count


def local_median_db(spectrum_db: NDArray[np.float64], *, bin_hz: float) -> NDArray[np.float64]:
    """Return the running median of a spectrum `[F]`, dB, over `NEIGHBOURHOOD_HZ` on either side."""
    half = max(8, round(NEIGHBOURHOOD_HZ / bin_hz))
    step = max(1, half // 8)  # the median hardly moves from bin to bin: read it at every step-th
    padded = np.pad(spectrum_db, half, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)[::step]
    at = np.arange(len(around)) * step
    return np.asarray(np.interp(np.arange(len(spectrum_db)), at, median(around)), np.float64)


def line_excess_db(
    spectrum_db: NDArray[np.float64],
    median_db: NDArray[np.float64],
    hz: NDArray[np.float64],
    *,
    bin_hz: float,
) -> NDArray[np.float64]:
    """Return how far the spectrum stands above its surroundings at each of `hz`, dB, `[L]`.

    The largest of the three nearest bins over the local median: without any line about 1 dB, not 0.

    Args:
        spectrum_db: time-averaged log spectrum `[F]`, dB.
        median_db: from `local_median_db`, `[F]`.
        hz: frequencies of the lines `[L]`; those beyond the spectrum's end are read at its end.
        bin_hz: distance of the bins, Hz.
    """
    centre = np.clip(np.rint(hz / bin_hz).astype(int), 1, len(spectrum_db) - 2)
    peak = np.maximum.reduce([spectrum_db[centre + shift] for shift in (-1, 0, 1)])
    return np.asarray(peak - median_db[centre], np.float64)


def grid(spacing_hz: float, *, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Return the multiples of `spacing_hz` from `low_hz` up to, but not including, `high_hz`."""
    low, high = int(np.ceil(low_hz / spacing_hz)), int(np.ceil(high_hz / spacing_hz))
    return np.arange(low, high).astype(np.float64) * spacing_hz


class CombAnalyser:
    """Finds the decoder comb: how high it stands, and on which grid."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        """Prepare for a piece; its comb is in all of the channels."""
        del channels
        self._rate = sample_rate
        self._spectrum = AverageLogSpectrum(sample_rate=sample_rate)

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`."""
        self._spectrum.update(block)

    def finish(self) -> Finding:
        """Return the finding ``comb``: mean height of the lines over control lines, dB.

        Details: `spacing_hz` (of the grid, 0 if none), `fine_hz` (of a finer grid that is there as
        well, or 0), `excess_db` and `control_db` (heights over the local median), `by_spacing_db`
        (MusicGen's own families), `lines_hz` and `lines_db` (each line that stands out), `rms_db`
        (of the piece without silence, re full scale), `high_hz` (how far up was looked).
        """
        spectrum, mean_square = self._spectrum.finish()
        if spectrum is None:
            return Finding("comb", None, "dB", "ok", "No sound to look for a comb in.")
        bin_hz = self._rate / self._spectrum.n_fft
        lines = _Lines(spectrum, bin_hz)
        coarse, fine = lines.musicgen()
        if coarse is not None:
            return _finding(lines, coarse, fine, mean_square)
        other = lines.search()
        return _finding(
            lines, other or lines.family(400.0), _NONE, mean_square, found=other is not None
        )


@dataclass(frozen=True)
class _Family:
    """The lines of one spacing, held against the control lines between them."""

    spacing_hz: float
    excess_db: float
    control_db: float
    error_db: float  # standard error of the difference
    median_db: float  # of the lines, over the median of the control lines

    @property
    def height_db(self) -> float:
        """How far the lines stand over the control lines, dB."""
        return self.excess_db - self.control_db

    @property
    def found(self) -> bool:
        """Whether these lines are there, beyond what music does by chance.

        Most of them: a note whose pitch is the spacing puts a few partials on the grid.
        """
        height_db = min(self.height_db, 3 * self.median_db)
        certain = height_db >= max(EXCESS_MIN_DB, STANDARD_ERRORS_MIN * self.error_db)
        return certain and self.median_db >= MEDIAN_MIN_DB


_NONE = _Family(0.0, 0.0, 0.0, 1.0, 0.0)


class _Lines:
    """The spectrum of a piece, ready to be asked for lines."""

    def __init__(self, spectrum_db: NDArray[np.float64], bin_hz: float) -> None:
        self._spectrum_db = spectrum_db
        self._median_db = local_median_db(spectrum_db, bin_hz=bin_hz)
        self._bin_hz = bin_hz
        self.nyquist_hz = (len(spectrum_db) - 1) * bin_hz
        # Above the end of the sound a lossy coder or a resampler left nothing to judge.
        above = np.flatnonzero(self._median_db > self._median_db.max() - CONTENT_RANGE_DB)
        self.end_hz = float(above[-1]) * bin_hz * 0.985
        self.high_hz = min(self.end_hz, self._ceiling_hz() * 0.985)
        self._beat_hz = self._repeats_hz()

    def _repeats_hz(self) -> float:
        """Return at what distance the spectrum's lines repeat, as those of a beat do, Hz; 0: none.

        The highest peak of the autocorrelation, if it stands far enough above what lies before it.
        """
        part = slice(round(LOW_HZ[400.0] / self._bin_hz), round(self.high_hz / self._bin_hz))
        lines = (self._spectrum_db - self._median_db)[part]
        low, high = (round(hz / self._bin_hz) for hz in BEAT_HZ)
        if len(lines) < 4 * high:
            return 0.0
        size = fast_size(len(lines) + high + 1)
        power = np.abs(np.fft.rfft(lines - lines.mean(), size)) ** 2
        alike = np.fft.irfft(power, size)[: high + 2]
        lag = low + int(np.argmax(alike[low : high + 1]))
        before, at, after = alike[lag - 1 : lag + 2]
        if at - alike[:lag].min() < BEAT_MIN * alike[0] or max(before, after) >= at:
            return 0.0
        return float(lag + 0.5 * (before - after) / (before - 2 * at + after)) * self._bin_hz

    def _ceiling_hz(self) -> float:
        """Return where the music ends, whatever a resampler or a coder left above it, Hz."""
        step = max(1, round(CEILING_STEP_HZ / self._bin_hz))
        level, hz = self._median_db[::step], np.arange(len(self._median_db))[::step] * self._bin_hz
        ceiling = find_ceiling(level, np.asarray(hz, np.float64), self.nyquist_hz, FALL_DB)
        return self.nyquist_hz if ceiling is None else ceiling.hz

    def excess_db(self, hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far the lines at `hz` stand above their surroundings, dB."""
        return line_excess_db(self._spectrum_db, self._median_db, hz, bin_hz=self._bin_hz)

    def musicgen(self) -> tuple[_Family | None, _Family]:
        """Return MusicGen's main family of lines, if it is there, and the fine one."""
        for end_hz in DECODER_ENDS_HZ:
            coarse = self.family(400.0, end_hz=end_hz)
            # All of the decoder's layers leave lines: those of the earlier ones alone are mains
            # hum. There are few of the later ones, so they are asked for as far as that is certain.
            earlier = self.family(2000.0, end_hz=end_hz)
            sure = coarse.height_db >= 1.5 * STANDARD_ERRORS_MIN * coarse.error_db
            doubt_db = earlier.error_db * (1.0 if sure else 0.25)
            found = coarse.found if end_hz == DECODER_ENDS_HZ[0] else _certain(coarse)
            if found and earlier.height_db + doubt_db >= 0.5 * coarse.height_db:
                return coarse, self.family(50.0, without_hz=400.0, end_hz=end_hz)
        return None, _NONE

    def family(
        self,
        spacing_hz: float,
        *,
        low_hz: float = 0.0,
        end_hz: float = np.inf,
        without_hz: float | None = None,
    ) -> _Family:
        """Return the lines of one spacing in a band, without those of a coarser spacing."""
        low_hz = max(low_hz, LOW_HZ.get(spacing_hz, LOW_HZ[400.0]))
        hz = grid(spacing_hz, low_hz=low_hz, high_hz=min(self.high_hz, end_hz))
        if without_hz is not None:
            hz = hz[hz % without_hz != 0]
        if len(hz) < 3:
            return replace(_NONE, spacing_hz=spacing_hz)
        lines = self.excess_db(hz)
        control = self.excess_db((hz[:, None] + self._control_hz(spacing_hz)).ravel())
        error = np.hypot(lines.std(), control.std()) / np.sqrt(len(lines))
        return _Family(
            spacing_hz,
            float(lines.mean()),
            float(control.mean()),
            float(error),
            float(median(lines) - median(control)),
        )

    def _control_hz(self, spacing_hz: float) -> NDArray[np.float64]:
        """Return how far from the lines of a spacing its control lines lie, Hz."""
        # Off the grid, and off the multiples of 50 Hz that MusicGen has between its 400 Hz lines.
        grid_hz = min(50.0, spacing_hz)
        beat = self._beat_hz * np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
        off = np.abs((beat + grid_hz / 2) % grid_hz - grid_hz / 2)
        beat = beat[off > 2 * self._bin_hz]
        if len(beat):
            return beat
        places = np.array([0.1875, 0.3125, 0.4375, 0.5625, 0.6875, 0.8125])
        return spacing_hz * (places if spacing_hz > 60 else np.array([0.5]))

    def lone_hz(self, spacing_hz: float) -> NDArray[np.float64]:
        """Return the lines of one spacing that stand alone above the music, Hz."""
        top_hz = self.nyquist_hz + self._bin_hz
        hz = grid(spacing_hz, low_hz=self.end_hz, high_hz=top_hz)
        return hz[self.excess_db(hz) >= LONE_LINE_DB] if len(hz) else hz

    def search(self) -> _Family | None:
        """Return the comb of another decoder, if there is one.

        Its lines lie at multiples of a sample rate divided by a product of small strides. Music on
        one pitch has a grid of partials too, but its spacing is no such number, and its partials
        do not stand as high in the upper half of the spectrum.
        """
        middle_hz = (LOW_HZ[400.0] + self.high_hz) / 2
        certain = [
            family
            for spacing_hz in DECODER_SPACINGS_HZ
            if spacing_hz < (self.high_hz - middle_hz) / 4
            and _certain(family := self.family(spacing_hz))
            and _certain(upper := self.family(spacing_hz, low_hz=middle_hz))
            and upper.height_db >= 0.75 * family.height_db  # mains hum fades towards the top
            and (spacing_hz not in MAINS_HZ or family.height_db >= SEVERE_DB)
        ]
        highest = max((family.height_db for family in certain), default=0.0)
        # Multiples of a spacing are certain as well: take the finest that is about as high.
        return next((family for family in certain if family.height_db > highest / 2), None)


def _certain(family: _Family) -> bool:
    """Whether the lines are there although many spacings were tried."""
    height_db = min(family.height_db, 2 * family.median_db)
    return height_db >= max(3 * EXCESS_MIN_DB, 2 * STANDARD_ERRORS_MIN * family.error_db)


def _finding(
    lines: _Lines, coarse: _Family, fine: _Family, mean_square: float, *, found: bool = True
) -> Finding:
    details: dict[str, Any] = {
        "spacing_hz": 0.0,
        "fine_hz": 0.0,
        "excess_db": round(coarse.excess_db, 2),
        "control_db": round(coarse.control_db, 2),
        "by_spacing_db": _by_spacing(lines),
        "rms_db": round(10 * float(np.log10(mean_square + 1e-20)), 2),
        "high_hz": round(lines.high_hz, 1),
        "lines_hz": [],
        "lines_db": [],
    }
    control = f"control lines off the grid, {coarse.control_db:.1f} dB"
    height = coarse.height_db
    if not found:
        return Finding(
            "comb", round(height, 2), "dB", "ok", "No decoder comb.", control, (), details
        )
    every = {*grid(coarse.spacing_hz, low_hz=coarse.spacing_hz, high_hz=lines.end_hz)}
    every |= {*lines.lone_hz(coarse.spacing_hz)}
    if fine.found:
        every |= {*grid(fine.spacing_hz, low_hz=LOW_HZ[50.0], high_hz=lines.high_hz)}
    hz = np.array(sorted(every), np.float64)  # numpy.unique loads masked arrays
    heights = lines.excess_db(hz)
    stands = heights > coarse.control_db
    details |= {
        "spacing_hz": round(coarse.spacing_hz, 4),
        "fine_hz": fine.spacing_hz if fine.found else 0.0,
        "lines_hz": [round(float(f), 3) for f in hz[stands]],
        "lines_db": [round(float(h), 1) for h in heights[stands]],
    }
    severity: Severity = (
        "severe" if height >= SEVERE_DB else "moderate" if height >= CLEAR_DB else "slight"
    )
    summary = (
        f"A metallic comb every {coarse.spacing_hz:g} Hz stands {height:.1f} dB out of the music, "
        f"most at {hz[np.argmax(heights)] / 1000:.4g} kHz."
    )
    return Finding("comb", round(height, 2), "dB", severity, summary, control, (), details)


def _by_spacing(lines: _Lines) -> dict[str, float | None]:
    """Return the mean excess of MusicGen's families of lines, each without the coarser ones."""
    result: dict[str, float | None] = {}
    coarser: list[float] = []
    for spacing in (8000.0, 2000.0, 400.0, 50.0):
        hz = grid(spacing, low_hz=spacing, high_hz=lines.high_hz)
        for other in coarser:
            hz = hz[hz % other != 0]
        result[f"{spacing:g}"] = round(float(lines.excess_db(hz).mean()), 2) if len(hz) else None
        coarser.append(spacing)
    return result
