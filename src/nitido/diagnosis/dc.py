"""Is the waveform off centre: a constant offset, as cheap converters and some decoders leave it."""

from __future__ import annotations

import math

import numpy as np

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.wav import Wav, energies

# Judged against the music, so that a gain changes no verdict. Of 190 pieces of music the steady
# offsets lie 7 to 28 dB under it, and are mistakes, or 34 dB and more.
UNDER_RMS_DB = 30.0
SEVERE_UNDER_RMS_DB = 10.0  # at a usual level half a decibel of headroom is gone
LEAST_DBFS = -80.0  # below, it is how somebody rounded to 16 bit
TILE_SECONDS = 0.5
STEADY = 2.0  # mean over the wander of the half-seconds; less is slow bass
STEADY_MAX = 1000.0
REST_SHARE = 0.1  # of a half-second, that tells whether the end has the offset too


class DcAnalyser:
    """Mean of each channel over the whole piece, and how steady it is."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._tile = round(TILE_SECONDS * sample_rate)
        self._samples = 0
        self._energy = np.zeros(channels)
        self._tile_sum = np.zeros(channels)
        self._sum = np.zeros(channels)
        self._means = np.zeros((2, channels))  # sum of the means of the tiles, and of their squares

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        while block.shape[1]:
            size = self._tile - self._samples % self._tile
            part, block = block[:, :size], block[:, size:]
            self._samples += part.shape[1]
            self._tile_sum += part.sum(axis=1, dtype=np.float64)
            self._energy += energies(part)
            if self._samples % self._tile == 0:
                mean = self._tile_sum / self._tile
                self._means += [mean, mean**2]
                self._sum += self._tile_sum
                self._tile_sum = np.zeros(len(mean))

    def finish(self) -> Finding:
        """Return the finding ``"dc"``: the largest offset, dBFS; None where there is none.

        Details: `offset` (of each channel, full scale 1); `steady` (of the largest: how many times
        it is as large as what it wanders from half-second to half-second, at most 1000).
        """
        offset = (self._sum + self._tile_sum) / max(self._samples, 1)
        worst = int(np.argmax(np.abs(offset)))
        details = {"offset": offset.tolist(), "steady": 0.0}
        if abs(offset[worst]) < 1e-12:  # −240 dBFS: rounding
            return Finding("dc", None, "dBFS", "ok", "No constant offset.", details=details)
        level = 20 * math.log10(abs(offset[worst]))
        rms = 10 * math.log10(self._energy[worst] / self._samples)
        severity: Severity = "ok"
        tiles = self._samples // self._tile  # none: the mean of a low note is no offset
        if tiles and level >= LEAST_DBFS and rms - level < UNDER_RMS_DB:
            mean, square = self._means[:, worst] / tiles
            wander = math.sqrt(max(0.0, square - mean**2))
            if abs(offset[worst]) >= STEADY * wander:
                details["steady"] = self._steady(worst)
                severity = "severe" if rms - level < SEVERE_UNDER_RMS_DB else "moderate"
        return Finding(
            "dc",
            level,
            "dBFS",
            severity,
            f"The waveform is off centre by {level:.0f} dBFS."
            if severity != "ok"
            else f"No constant offset to speak of ({level:.0f} dBFS).",
            compared_with=f"{UNDER_RMS_DB:.0f} dB under the music",
            details=details,
        )

    def _steady(self, channel: int) -> float:
        """Return the mean over the wander, with what is left of the last half-second."""
        tiles, (total, square) = self._samples // self._tile, self._means[:, channel]
        rest = self._samples % self._tile
        if rest >= REST_SHARE * self._tile:
            last = self._tile_sum[channel] / rest
            tiles, total, square = tiles + 1, total + last, square + last**2
        mean = total / tiles
        wander = math.sqrt(max(0.0, square / tiles - mean**2))
        return float(min(abs(mean) / max(wander, 1e-12), STEADY_MAX))
