"""The ceiling: up to which frequency there is sound, and whether it ends there at a wall.

Music fades towards the top; a decoder, a low sample rate or a lossy coder cuts it off. Only a wall
is a fault. A piece stored at 32 kHz has one at 16 kHz, whatever is in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from nitido.diagnosis.finding import Finding, Severity
from nitido.spectral import Frames, fft_size
from nitido.wav import Wav

FULL_BAND_HZ = 19_000.0  # a ceiling above is no fault: few adults hear further
WALL_LOWEST_HZ = 2_500.0
# How far the spectrum drops within 1 kHz. Of clean music, only single low voices fall that fast
# (formants, 19 dB); they do so below 8 kHz, where more is asked.
WALL_DB = 16.0
WALL_LOW_DB = 30.0
WALL_LOW_HZ = 8_000.0
# The band below the ceiling that tells what should be above it, relative to the ceiling.
REFERENCE_BAND = (0.78, 0.95)
BAND_BELOW = (0.60, 0.78)
# Before it ends, the sound may sink: a soft filter, or a model that never learned the last bands.
# It sinks where it falls this far below the line through the part of the band that tells the trend.
ROLLOFF_DB = 5.0
TREND_BAND = (0.65, 0.88)

_BAND_HZ = 250.0
_LEVEL_MIN_DB, _LEVELS = -150, 170


class BandwidthAnalyser:
    """Finds the ceiling of a piece, and how much treble there is just below it."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._rate = sample_rate
        self._n_fft = fft_size(0.0853, sample_rate=sample_rate)
        self._bin_hz = sample_rate / self._n_fft
        self._frames = Frames(self._n_fft, self._n_fft)
        self._power = np.zeros(self._n_fft // 2 + 1)
        per_band = max(1, round(_BAND_HZ / self._bin_hz))
        self._band_starts = np.arange(0, self._n_fft // 2 + 1, per_band)
        self._band_sizes = np.diff([*self._band_starts, self._n_fft // 2 + 1])
        self._histogram = np.zeros((len(self._band_starts), _LEVELS), int)
        self._square, self._count = 0.0, 0
        # Half of the first frame lies before the piece. A piece that sets in at once has a step
        # there, whose spectrum hides the ceiling: this frame counts only if there is no other.
        self._edge = np.zeros((0, self._n_fft // 2 + 1), np.float32)
        self._held: Wav = np.zeros((channels, self._n_fft // 2), np.float32)
        self._first = -self._n_fft // 2

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`."""
        held = np.concatenate([self._held, block], axis=1)
        indices = self._frames.indices(self._first, held.shape[1])
        if len(indices):
            spec = self._frames.analyse(held, first=self._first)
            power = (spec.real**2 + spec.imag**2).mean(axis=0)
            if indices.start == 0:
                self._edge, power = power[:1], power[1:]
            self._add(power)
            following = indices.stop * self._n_fft - self._n_fft // 2
            held = held[:, following - self._first :]
            self._first = following
        self._held = held.copy()

    def _add(self, power: NDArray[np.float32]) -> None:
        """Take the power of frames `[N, F]`, mean over the channels."""
        mean_square = power.mean(axis=1) * (16 / 3 / self._n_fft)  # Parseval, Hann
        live = mean_square > 1e-9  # −90 dBFS
        self._square += float(mean_square[live].sum())
        self._count += int(live.sum())
        self._power += power.sum(axis=0, dtype=np.float64)
        # As density: 0 dB is white noise of mean square 1, at any frame length.
        density = power[live] / (3 / 8 * self._n_fft)
        bands = np.add.reduceat(density, self._band_starts, axis=1) / self._band_sizes
        level = np.rint(10 * np.log10(bands + 1e-15)).astype(int) - _LEVEL_MIN_DB
        for band, levels in enumerate(level.clip(0, _LEVELS - 1).T):
            self._histogram[band] += np.bincount(levels, minlength=_LEVELS)

    def finish(self) -> Finding:
        """Return the finding ``bandwidth``: the ceiling, Hz.

        Details: `ceiling_hz`; `rolloff_hz` (from where on the sound sinks towards the ceiling; the
        ceiling where it does not); `wall_db` (drop at the ceiling, 0 where it is the sample rate's
        end); `rms_db` (of the piece without silence, re full scale); `treble_db` (level just below
        the ceiling in its loudest twentieth, re white noise of the piece's RMS); `fall_db_per_khz`
        (from the band below that one to it).
        """
        if not self._count:
            self._add(self._edge)
            self._edge = self._edge[:0]
        if not self._count:
            return Finding("bandwidth", None, "Hz", "none", "No sound to measure the bandwidth of.")
        rms_db = 10 * float(np.log10(self._square / self._count))
        wall = _find_wall(self._power, self._bin_hz)
        end_hz = self._rate / 2
        reach_hz = _reach(self._power, self._bin_hz)
        if wall is None:
            ceiling_hz, wall_db = (end_hz, 0.0) if end_hz < FULL_BAND_HZ else (reach_hz, 0.0)
            fault = end_hz < FULL_BAND_HZ
        else:
            ceiling_hz, wall_db = wall.hz, wall.drop_db
            fault = wall.hz < FULL_BAND_HZ
        treble_db = self._loud_db(ceiling_hz, REFERENCE_BAND)
        fall_db = treble_db - self._loud_db(ceiling_hz, BAND_BELOW)
        apart_khz = (sum(REFERENCE_BAND) - sum(BAND_BELOW)) / 2 * ceiling_hz / 1000
        details = {
            "ceiling_hz": round(ceiling_hz),
            "rolloff_hz": round(_rolloff(self._power, self._bin_hz, ceiling_hz)),
            "wall_db": round(wall_db, 1),
            "rms_db": round(rms_db, 2),
            "treble_db": round(treble_db - rms_db, 1),
            "fall_db_per_khz": round(fall_db / max(apart_khz, 1e-3), 2),
        }
        if not fault:
            summary = f"Full band: the sound fades out by itself, around {reach_hz / 1000:.1f} kHz."
            return Finding(
                "bandwidth", details["ceiling_hz"], "Hz", "none", summary, "", (), details
            )
        severity: Severity = (
            "severe" if ceiling_hz < 10_000 else "clear" if ceiling_hz < 16_500 else "slight"
        )
        cause = "the sample rate" if wall is None else f"a wall of {wall_db:.0f} dB"
        summary = f"Nothing above {ceiling_hz / 1000:.1f} kHz: {cause} cuts the treble off."
        compared = f"full band, {FULL_BAND_HZ / 1000:g} kHz and more"
        return Finding(
            "bandwidth", details["ceiling_hz"], "Hz", severity, summary, compared, (), details
        )

    def _loud_db(self, ceiling_hz: float, shares: tuple[float, float]) -> float:
        """Return the 95th percentile over time of the level in a part of the band, dB."""
        low, high = (share * ceiling_hz for share in shares)
        centres = (self._band_starts + self._band_sizes / 2) * self._bin_hz
        chosen = self._histogram[(centres >= low) & (centres < high)]
        if not len(chosen):
            return float(_LEVEL_MIN_DB)
        share = np.cumsum(chosen, axis=1) / chosen.sum(axis=1, keepdims=True)
        levels = (share < 0.95).sum(axis=1) + _LEVEL_MIN_DB
        return 10 * float(np.log10(np.mean(10.0 ** (levels / 10))))


@dataclass(frozen=True)
class _Wall:
    hz: float
    drop_db: float


def _smooth_db(power: NDArray[np.float64], bin_hz: float) -> NDArray[np.float64]:
    """Return a power spectrum in dB without single lines, at most 120 dB deep."""
    level = 10 * np.log10(power + 1e-20)
    level = median_filter(level, max(1, round(150 / bin_hz)) | 1)
    return np.asarray(np.maximum(level, level.max() - 120), np.float64)


def _find_wall(power: NDArray[np.float64], bin_hz: float) -> _Wall | None:
    """Return the steepest drop after which nothing comes any more, if it is a wall."""
    level = _smooth_db(power, bin_hz)
    side, gap, wide = (max(1, round(hz / bin_hz)) for hz in (500, 120, 400))
    sums = np.concatenate([[0.0], np.cumsum(level)])
    at = np.arange(round(WALL_LOWEST_HZ / bin_hz), len(level) - side - gap - wide)
    if not len(at):
        return None

    def mean(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray((sums[high] - sums[low]) / (high - low))

    below = mean(at - gap - side, at - gap)
    drop = below - mean(at + gap, at + gap + side)
    smooth = np.convolve(level, np.ones(wide) / wide, "same")[: len(level) - wide // 2]
    highest = np.maximum.accumulate(smooth[::-1])[::-1]  # from here on upwards
    rest = below - highest[np.minimum(at + gap + side // 2 + wide // 2, len(highest) - 1)]
    wall = np.minimum(drop, rest)
    needed = np.where(at * bin_hz < WALL_LOW_HZ, WALL_LOW_DB, WALL_DB)
    best = int(np.argmax(wall - needed))
    if wall[best] < needed[best]:
        return None
    # The edge itself: where the level has gone half of the way down.
    around = slice(int(at[best]) - side, int(at[best]) + side)
    edge = np.flatnonzero(level[around] > below[best] - drop[best] / 2)[-1] + around.start
    return _Wall(float(edge * bin_hz), float(drop[best]))


def _reach(power: NDArray[np.float64], bin_hz: float) -> float:
    """Return the highest frequency within 80 dB of the strongest, Hz."""
    level = _smooth_db(power, bin_hz)
    return float(np.flatnonzero(level >= level.max() - 80)[-1] * bin_hz)


def _rolloff(power: NDArray[np.float64], bin_hz: float, ceiling_hz: float) -> float:
    """Return from where on the sound stays below its trend as far as the ceiling, Hz."""
    level = _smooth_db(power, bin_hz)
    hz = np.arange(len(level)) * bin_hz
    low, high = (share * ceiling_hz for share in TREND_BAND)
    trend = (hz >= low) & (hz < high)
    if trend.sum() < 8:
        return ceiling_hz
    slope = min(np.polyfit(hz[trend], level[trend], 1)[0], 0.0)
    expected = level[trend].mean() + slope * (hz - hz[trend].mean())
    kept = (level >= expected - ROLLOFF_DB) & (hz >= high) & (hz <= ceiling_hz)
    return float(np.flatnonzero(kept)[-1] * bin_hz) if kept.any() else high
