"""The tonal balance: how loud the bass, the middle, the presence and the top are on average.

MusicGen's decoder loses about 1.3 dB between 1 and 8 kHz. That cannot be seen in one piece without
its original, as pieces differ by far more, so this finding reports and hardly ever complains.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Finding
from nitido.dsp.fourier import rfft
from nitido.dsp.spectral import fft_size, hann
from nitido.dsp.wav import Wav

FRAME_SECONDS = 0.085
HOP_SECONDS = 0.5  # enough for an average over a piece, and nearly free
DULL_DB = -45.0  # a solo contrabass still has more than this above 1 kHz, a muffled file has not
FLOOR_DB = -120.0
LOWEST_HZ = 20.0  # a constant offset and rumble have findings of their own


class ToneAnalyser:
    """Average spectrum in third-octave bands, and the levels of four broad bands."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._channels = channels
        self._n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        self._hop = round(HOP_SECONDS * sample_rate)
        self._held: Wav = np.zeros((channels, 0), np.float32)  # begins where a frame begins
        self._skip = 0  # samples to pass over until the next frame begins
        self._power: NDArray[np.float64] = np.zeros(self._n_fft // 2 + 1)
        self._frames = 0

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        position = min(self._skip, block.shape[1])
        self._skip -= position
        while position < block.shape[1]:
            part = block[:, position : position + self._n_fft - self._held.shape[1]]
            self._held = np.concatenate([self._held, part], axis=1)
            position += part.shape[1]
            if self._held.shape[1] == self._n_fft:
                self._measure(self._held)
                self._held = self._held[:, :0]
                self._skip = self._hop - self._n_fft
                passed = min(self._skip, block.shape[1] - position)
                self._skip -= passed
                position += passed

    def finish(self) -> Finding:
        """Return the finding ``"tone"``: 1–8 kHz against 250–1000 Hz, dB; None in silence."""
        if not self._frames and self._held.shape[1]:  # shorter than one frame
            self._measure(np.pad(self._held, ((0, 0), (0, self._n_fft - self._held.shape[1]))))
        total = self._between(LOWEST_HZ, self._sample_rate / 2)
        bands = 1000 * 10 ** (np.arange(-13, 14) / 10)  # 50 Hz to 20 kHz
        bands = bands[bands * 10**0.05 <= self._sample_rate / 2]
        if total <= 1e-12 * max(self._frames, 1):  # far below what a 16-bit file can hold
            return Finding("tone", None, "dB", "ok", "Silence has no tonal balance.")

        def level(low_hz: float, high_hz: float) -> float:
            share = self._between(low_hz, high_hz) / total
            return max(FLOOR_DB, 10 * math.log10(share)) if share > 0 else FLOOR_DB

        broad = {
            "low_db": level(LOWEST_HZ, 250),
            "mid_db": level(250, 1000),
            "presence_db": level(1000, 8000),
            "top_db": level(8000, self._sample_rate / 2),
        }
        presence = broad["presence_db"] - broad["mid_db"]
        dull = presence < DULL_DB
        return Finding(
            "tone",
            presence,
            "dB",
            "slight" if dull else "ok",
            f"{'Very dull: ' if dull else ''}1 to 8 kHz lies {abs(presence):.1f} dB "
            f"{'below' if presence < 0 else 'above'} 250 to 1000 Hz.",
            compared_with="250 to 1000 Hz",
            details={
                "bands_hz": [round(float(hz), 1) for hz in bands],
                "bands_db": [level(hz * 10**-0.05, hz * 10**0.05) for hz in bands],
                **broad,
            },
        )

    def _measure(self, frame: Wav) -> None:
        spectrum = rfft(frame * hann(self._n_fft))
        self._power += (np.abs(spectrum) ** 2).sum(axis=0)
        self._frames += 1

    def _between(self, low_hz: float, high_hz: float) -> float:
        """Return the power from `low_hz` to `high_hz`; bins at the edges count in part."""
        edges = np.arange(self._power.size + 1, dtype=np.float64) - 0.5
        sums = np.concatenate([[0.0], np.cumsum(self._power)])
        bins = np.array([low_hz, high_hz]) * self._n_fft / self._sample_rate
        low, high = np.interp(bins, edges, sums)
        return float(high - low)
