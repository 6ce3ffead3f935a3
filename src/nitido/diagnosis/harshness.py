"""Harshness: places between 2 and 5 kHz that ring whenever the sound is loud there.

How loud 2–5 kHz is tells nothing, for voices, trumpets and guitars live there. A ring is told by
what a note, a vowel or a stroke is not: it stays at its place. So each frame is held against its
own smooth trend from 0.8 to 9.5 kHz, and what counts is by how much a place stands out of it in
nearly all of the frames that are loud, and more than in the quieter ones. Solo instruments and
sparse music have no trend to go by, and are not judged; nor is a band that is lifted evenly.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.spectral import Frames, FrameStream, band, fft_size, median
from nitido.dsp.wav import Wav

HARSH_HZ = (2_000.0, 5_000.0)
TREND_HZ, PER_OCTAVE, TREND_ORDER = (790.0, 9_500.0), 6, 3
LOWEST_RATE_HZ = 24_000
FRAME_SECONDS = 0.0427
RANGE_DB = 40.0  # below the loudest twentieth of the frames: what is quieter does not sound
QUIETER, LOUD = (0.2, 0.5), 0.85  # shares of the sounding frames that are fainter in 2–5 kHz
NEARLY_ALL = 0.15  # share of the loud frames in which it may stand out less
PLACES = 3  # the strongest count
DENSE_DB = 2.2  # the quieter frames' mean spectrum lies this near to its trend where much plays
SHORTEST_SECONDS = 8.0  # of sound
HARSH_DB, MODERATE_DB, SEVERE_DB = 0.6, 1.5, 2.5

_CLASSES, _STEP_DB, _STEPS = 120, 0.25, 160  # 1 dB each from full scale down; ±20 dB

Array = NDArray[np.float64]


class HarshnessAnalyser:
    """Keeps how far each place stands out of the trend, apart by the level from 2 to 5 kHz."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        self._frames = Frames(n_fft, n_fft // 2)
        self._stream = FrameStream(self._frames, channels=channels)
        self._inside = band(*HARSH_HZ, n_fft=n_fft, sample_rate=sample_rate)
        low, high = (np.ceil(PER_OCTAVE * np.log2(hz / 1000)) for hz in TREND_HZ)
        steps = np.arange(low, high)
        self._hz = 1000 * 2 ** (steps / PER_OCTAVE)
        self._harsh = (self._hz >= HARSH_HZ[0]) & (self._hz < HARSH_HZ[1])
        edges = 1000 * 2 ** ((np.arange(low, high + 1) - 0.5) / PER_OCTAVE)
        grid = {"n_fft": n_fft, "sample_rate": sample_rate}
        self._bands = [band(*pair, **grid) for pair in pairwise(edges)]
        powers = np.vander(steps - steps.mean(), TREND_ORDER + 1)
        self._trend = powers @ np.linalg.pinv(powers)
        count = int(self._harsh.sum())
        self._rings = np.zeros((_CLASSES, count, _STEPS), np.int64)
        self._sums = np.zeros((_CLASSES, len(self._hz)))  # of the levels of all bands

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if self._sample_rate < LOWEST_RATE_HZ:
            return
        spec = self._stream.update(block)
        if not spec.shape[1]:
            return
        level = self._frames.level_db(spec[:, :, self._inside])
        classes = np.clip(-level, 0, _CLASSES - 1).astype(int)
        power = (spec.real**2 + spec.imag**2).mean(axis=0)
        # The median of its bins: a note is a line in a band, a ring lifts all of it.
        medians = [median(power[:, bins]) for bins in self._bands]
        bands_db = 10 * np.log10(np.stack(medians, axis=1) + 1e-9)
        out = (bands_db - bands_db @ self._trend.T)[:, self._harsh]
        steps = np.clip(np.round(out / _STEP_DB) + _STEPS // 2, 0, _STEPS - 1).astype(int)
        np.add.at(self._sums, classes, bands_db)
        np.add.at(self._rings, (classes[:, None], np.arange(out.shape[1])[None], steps), 1)

    def finish(self) -> Finding:
        """Return the finding ``"harshness"``: what rings while it is loud, dB; None if unknown."""
        counts = self._rings[:, 0].sum(axis=1) if self._rings.size else np.zeros(_CLASSES)
        upto = np.cumsum(counts)
        if not upto[-1]:
            return _unknown()
        loudest = int(np.searchsorted(upto, 0.05 * upto[-1]))
        counts[loudest + int(RANGE_DB) :] = 0
        total = counts.sum()
        seconds = total * self._frames.hop_length / self._sample_rate
        fainter = 1 - np.cumsum(counts) / total  # than the frames of this class
        loud = (fainter >= LOUD - 1 / total) | (np.arange(_CLASSES) <= loudest)
        quieter = (fainter >= QUIETER[0]) & (fainter < QUIETER[1]) & (counts > 0)
        if seconds < SHORTEST_SECONDS or not quieter.any():
            return _unknown()
        mean = self._sums[quieter].sum(axis=0) / counts[quieter].sum()
        if float((mean - self._trend @ mean).std()) > DENSE_DB:
            return _unknown()
        in_loud, in_quieter = (self._rings[which].sum(axis=0) for which in (loud, quieter))
        steady = _quantile(in_loud, NEARLY_ALL)
        usual = _quantile(in_quieter, 0.5)
        ring_db = min(
            float(np.sort(above_db)[-PLACES:].mean()) for above_db in (steady, steady - usual)
        )
        severity: Severity = "ok"
        if ring_db > HARSH_DB:
            severity = "slight" if ring_db < MODERATE_DB else "moderate"
            severity = "severe" if ring_db > SEVERE_DB else severity
        grows = np.maximum(_quantile(in_loud, 0.5) - usual, 0)
        hz = self._hz[self._harsh]
        most = float(hz[int(steady.argmax())])
        summary = "Nothing rings from 2 to 5 kHz."
        if severity != "ok":
            summary = (
                f"Harsh where it is loud: it rings around {most / 1000:.1f} kHz, {ring_db:.1f} dB."
            )
        middle = -np.arange(_CLASSES) - 0.5
        return Finding(
            "harshness",
            round(ring_db, 2),
            "dB",
            severity,
            summary,
            compared_with=f"{HARSH_DB:g} dB",
            details={
                "bands_hz": [round(float(one), 1) for one in hz],
                "bands_db": [round(float(one), 2) for one in grows],
                "usual_db": float(middle[quieter].max()),
                "loud_db": float(middle[loud].min()),
            },
        )


def _unknown() -> Finding:
    said = "Too short or too sparse to tell whether it is harsh."
    return Finding("harshness", None, "dB", "ok", said)


def _quantile(histogram: NDArray[np.int64], share: float) -> Array:
    """Return the value, dB, that `share` of the entries of each row `[K, steps]` lie below."""
    upto = np.cumsum(histogram, axis=1)
    index = (upto < share * upto[:, -1:]).sum(axis=1)
    return np.asarray((index - _STEPS // 2) * _STEP_DB, np.float64)
