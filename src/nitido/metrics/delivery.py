"""What a finished piece is measured by before it is delivered.

Conventions: waveforms `[C, T]` at their own sample rate, as they are; no reference is needed.
"""

from __future__ import annotations

import numpy as np

from nitido.dsp.loudness import LoudnessMeter, true_peak_dbtp
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError


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
