"""What a finished piece is measured by before it is delivered.

Conventions: waveforms `[C, T]` at their own sample rate, as they are; no reference is needed.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from nitido.dsp.fourier import rfft
from nitido.dsp.loudness import LoudnessMeter, true_peak_dbtp
from nitido.dsp.spectral import band, fft_size, hann
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError

FOLD_BANDS_HZ = tuple(pairwise((20, 120, 500, 2000, 8000, 20_000)))
FOLD_FRAME_SECONDS = 0.085
FOLD_LEAST = 1e-5  # of the energy: a band 50 dB under the piece is not heard to be missing


def validate(*, estimate: Wav) -> None:
    """Check that there is something to measure.

    Raises:
        AudioShapeError: no samples.
    """
    if not estimate.size:
        raise AudioShapeError(f"Shape {list(estimate.shape)} holds no samples to measure.")


def correlation(*, estimate: Wav) -> float | None:
    """Return the correlation of left and right, −1 to 1; 1 for mono, None in silence.

    None as well for more than two channels.
    """
    validate(estimate=estimate)
    if len(estimate) > 2 or not estimate.any():
        return None
    left, right = (channel.astype(np.float64) for channel in (estimate[0], estimate[-1]))
    norm = float(np.sqrt((left @ left) * (right @ right)))
    return float(np.clip(left @ right / norm, -1.0, 1.0)) if norm else 0.0


def dc_dbfs(*, estimate: Wav) -> float | None:
    """Return the mean of the waveform, of the channel where it is largest, dBFS; None for none."""
    validate(estimate=estimate)
    offset = float(np.abs(estimate.mean(axis=1, dtype=np.float64)).max())
    return float(20 * np.log10(offset)) if offset > 1e-9 else None  # −180 dBFS is rounding


class FoldMeter:
    """What each band of a stereo stream loses when left and right are played as one."""

    def __init__(self, sample_rate: int) -> None:
        """Make a meter for one stereo piece at `sample_rate` Hz."""
        self._sample_rate = sample_rate
        self._n_fft = fft_size(FOLD_FRAME_SECONDS, sample_rate=sample_rate)
        bins = self._n_fft // 2 + 1
        self._sides, self._sum = np.zeros(bins), np.zeros(bins)  # Σ|L|² + |R|², Σ|L + R|²
        self._rest: Wav = np.zeros((2, 0), np.float32)

    def update(self, block: Wav) -> None:
        """Take the next samples `[2, n]`, any n."""
        n_fft, hop = self._n_fft, self._n_fft // 2
        samples = np.concatenate([self._rest, block], axis=1)
        frames = max(0, (samples.shape[1] - n_fft) // hop + 1)
        if frames:
            cut = np.lib.stride_tricks.sliding_window_view(samples, n_fft, axis=1)[:, ::hop]
            left, right = rfft(cut * hann(n_fft))
            self._sides += np.sum(np.abs(left) ** 2 + np.abs(right) ** 2, axis=0, dtype=np.float64)
            self._sum += np.sum(np.abs(left + right) ** 2, axis=0, dtype=np.float64)
        self._rest = samples[:, frames * hop :].copy()

    def finish(self) -> tuple[dict[str, float], ...]:
        """Return `{"low_hz", "high_hz", "level_db", "fold_db"}` per band that holds something.

        `fold_db` is the energy of the mean of both re the mean energy of each: 0 dB for mono, −3 dB
        for sides that have nothing in common; `level_db` that of the band re all bands.
        """
        if self._rest.shape[1]:  # the end, with silence after it
            self.update(np.zeros((2, self._n_fft), np.float32))
        bands = [
            (low, high, band(low, high, n_fft=self._n_fft, sample_rate=self._sample_rate))
            for low, high in FOLD_BANDS_HZ
        ]
        whole = sum(float(self._sides[inside].sum()) for _, _, inside in bands)
        rows = []
        for low, high, inside in bands:
            sides, both = float(self._sides[inside].sum()), float(self._sum[inside].sum())
            if sides > FOLD_LEAST * whole:
                level_db = 10 * float(np.log10(sides / whole))
                fold_db = 10 * float(np.log10(max(both / (2 * sides), 1e-12)))
                edges = {"low_hz": float(low), "high_hz": float(high)}
                rows.append({**edges, "level_db": level_db, "fold_db": fold_db})
        return tuple(rows)


def evaluate(
    *, estimate: Wav, sample_rate: int, mask: int | None = None
) -> dict[str, float | None]:
    """Return every measure of this family by name; None where a piece is too short or silent.

    Args:
        estimate: waveform `[C, T]`.
        sample_rate: Hz.
        mask: its speakers, see `nitido.dsp.speakers`; None: the default layout.
    """
    validate(estimate=estimate)
    meter = LoudnessMeter(sample_rate, estimate.shape[0], mask)
    meter.update(estimate)
    lufs, peak = meter.integrated_lufs, true_peak_dbtp(estimate, sample_rate=sample_rate)
    return {
        "integrated_lufs": lufs,
        "short_term_max_lufs": meter.short_term_max_lufs,
        "momentary_max_lufs": meter.momentary_max_lufs,
        "range_lu": meter.range_lu,
        "true_peak_dbtp": peak,
        "peak_to_loudness_db": None if lufs is None or peak is None else peak - lufs,
        "correlation": correlation(estimate=estimate),
        "dc_dbfs": dc_dbfs(estimate=estimate),
    }
