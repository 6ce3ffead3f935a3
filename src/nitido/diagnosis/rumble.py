"""Is there rumble: sound below 20 Hz that no one hears and that eats headroom."""

from __future__ import annotations

import math

import numpy as np

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.fourier import rfft
from nitido.dsp.spectral import hann
from nitido.dsp.wav import Wav, energies

LOW_RATE_HZ = 2000  # means over blocks: what they fold onto 0–20 Hz is 40 dB down
FRAME_SECONDS = 1.0  # 1 Hz per bin: a 25 Hz bass stays clear of the band
FIRST_BIN = 2  # the Hann window keeps a constant offset within bins 0 and 1: that is `dc`
CLEAR_DB = -15.0  # kick drums and basses live from 30 Hz on; the boomiest good music leaves −16 dB
SEVERE_DB = -8.0


class RumbleAnalyser:
    """Energy from 2 to 20 Hz against that of the whole, with the offset left out of both."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._factor = max(1, round(sample_rate / LOW_RATE_HZ))
        self._low_rate = sample_rate / self._factor
        self._frame = 2 * round(self._low_rate * FRAME_SECONDS / 2)
        self._rest: Wav = np.zeros((channels, 0), np.float32)  # samples of an unfinished mean
        self._low: Wav = np.zeros((channels, 0), np.float32)  # means of an unfinished frame
        self._samples = 0
        self._sum = np.zeros(channels)
        self._energy = 0.0
        self._frames = 0
        self._power = np.zeros(self._frame // 2 + 1)

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        self._samples += block.shape[1]
        self._sum += block.sum(axis=1, dtype=np.float64)
        self._energy += float(energies(block).sum())
        rest = np.concatenate([self._rest, block], axis=1)
        whole = rest.shape[1] // self._factor * self._factor
        means = rest[:, :whole].reshape(len(rest), -1, self._factor).mean(axis=2)
        self._rest = rest[:, whole:].copy()
        self._low = np.concatenate([self._low, means], axis=1)
        hop = self._frame // 2
        count = self._low.shape[1] // hop - 1
        if count > 0:
            frames = np.lib.stride_tricks.sliding_window_view(self._low, self._frame, axis=1)
            spectrum = rfft(frames[:, ::hop][:, :count] * hann(self._frame))
            self._power += (np.abs(spectrum) ** 2).sum(axis=(0, 1))
            self._frames += count
            self._low = self._low[:, count * hop :].copy()

    def finish(self) -> Finding:
        """Return the finding ``"rumble"``: level below 20 Hz, dB re whole; None if unknown."""
        below = self._below_20_hz_db()
        details = {"below_20_hz_db": below}
        if below is None:
            summary = "Too short or too quiet to tell whether there is rumble."
            return Finding("rumble", None, "dB", "ok", summary, details=details)
        severity: Severity = "ok"
        if below > CLEAR_DB:
            severity = "severe" if below > SEVERE_DB else "moderate"
        return Finding(
            "rumble",
            below,
            "dB",
            severity,
            f"Below 20 Hz there is {'rumble' if severity != 'ok' else 'nothing to speak of'}, "
            f"{below:.0f} dB against the whole.",
            compared_with=f"{CLEAR_DB:.0f} dB",
            details=details,
        )

    def _below_20_hz_db(self) -> float | None:
        if not self._frames:
            return None
        mean_square = (self._energy - float(np.sum(self._sum**2)) / self._samples) / self._samples
        if mean_square <= 1e-12:  # −120 dBFS
            return None
        end = math.ceil(20 * self._frame / self._low_rate)
        window_energy = float(np.sum(hann(self._frame).astype(np.float64) ** 2))
        # One-sided spectrum: each bin stands for two. Parseval gives the mean square of the band.
        low = 2 * float(self._power[FIRST_BIN:end].sum()) / self._frames
        low /= self._frame * window_energy
        return 10 * math.log10(max(low / mean_square, 1e-12))
