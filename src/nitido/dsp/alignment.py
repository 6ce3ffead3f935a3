"""Lay two waveforms over each other, in explicit steps: to the sample, in polarity, in level.

No metric aligns by itself. Each step returns what it did, so that a result can show it.
Conventions: waveforms `[C, T]` at one sample rate; lengths may differ, channels may not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.fourier import fast_size, irfft, rfft
from nitido.dsp.loudness import integrated_lufs
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError

_PART_SAMPLES = 2**18  # of the reference that are correlated at once


@dataclass(frozen=True)
class Alignment:
    """How an estimate lies against its reference.

    Attributes:
        lag_samples: how much later the estimate is; negative if it is earlier.
        polarity: 1, or −1 if it is upside down.
        gain_db: how much louder the estimate is, by least squares at that lag.
        correlation: of the two at that lag, 0 for nothing in common to 1 for a mere gain.
    """

    lag_samples: int
    polarity: int
    gain_db: float
    correlation: float


def validate(*, estimate: Wav, reference: Wav) -> None:
    """Check that the two can be laid over each other.

    Raises:
        AudioShapeError: another number of channels, or no samples.
    """
    if estimate.shape[0] != reference.shape[0] or not (estimate.size and reference.size):
        raise AudioShapeError(
            f"Estimate {list(estimate.shape)} and reference {list(reference.shape)} need the same "
            "channels and at least one sample; downmix them first."
        )


def find_alignment(
    *, estimate: Wav, reference: Wav, sample_rate: int, max_lag_seconds: float = 0.5
) -> Alignment:
    """Return the lag at which the two have most in common, and polarity and gain there.

    The largest absolute cross-correlation, all channels together. Silence has nothing in common
    with anything: lag 0, correlation 0.

    Args:
        estimate: `[C, T]`.
        reference: `[C, U]`.
        sample_rate: Hz.
        max_lag_seconds: how far to search either way.

    Raises:
        AudioShapeError: see `validate`.
    """
    validate(estimate=estimate, reference=reference)
    reach = round(max_lag_seconds * sample_rate)
    correlation = _cross_correlation(estimate, reference, reach)
    lag = int(np.argmax(np.abs(correlation))) - reach
    late, early = _overlap(estimate, reference, lag)
    cross, energy, other = (
        float(_dot(a, b)) for a, b in ((late, early), (early, early), (late, late))
    )
    if not cross or not energy or not other:
        return Alignment(0, 1, 0.0, 0.0)
    return Alignment(
        lag,
        1 if cross > 0 else -1,
        float(20 * np.log10(abs(cross) / energy)),
        float(min(1.0, abs(cross) / np.sqrt(energy * other))),
    )


def align(
    *, estimate: Wav, reference: Wav, sample_rate: int, max_lag_seconds: float = 0.5
) -> tuple[Wav, Wav, Alignment]:
    """Return both, cut to what they have in common, the estimate upright, and what was found.

    The level stays: see `gain_match` and `loudness_match`.
    """
    found = find_alignment(
        estimate=estimate,
        reference=reference,
        sample_rate=sample_rate,
        max_lag_seconds=max_lag_seconds,
    )
    estimate, reference = _overlap(estimate, reference, found.lag_samples)
    return (estimate if found.polarity > 0 else -estimate), reference, found


def gain_match(*, estimate: Wav, reference: Wav) -> tuple[Wav, float]:
    """Return the estimate at the reference's level by least squares, and the gain applied, dB.

    For waveforms that are nearly the same. Where only envelopes are, least squares makes the
    estimate too quiet: match by loudness.
    """
    validate(estimate=estimate, reference=reference)
    energy, cross = _dot(estimate, estimate), abs(_dot(estimate, reference))
    if not energy or not cross:
        return estimate, 0.0
    gain = cross / energy
    return np.asarray(estimate * np.float32(gain)), float(20 * np.log10(gain))


def loudness_match(*, estimate: Wav, reference: Wav, sample_rate: int) -> tuple[Wav, float]:
    """Return the estimate at the reference's loudness, and the gain applied, dB; 0 in silence.

    Integrated loudness by BS.1770; of pieces under 0.4 s, RMS.
    """
    validate(estimate=estimate, reference=reference)
    levels = [integrated_lufs(wav, sample_rate=sample_rate) for wav in (estimate, reference)]
    if None in levels:
        powers = [_dot(wav, wav) / wav.shape[1] for wav in (estimate, reference)]
        levels = [10 * float(np.log10(power)) if power else None for power in powers]
    own, wanted = levels
    if own is None or wanted is None:
        return estimate, 0.0
    gain_db = wanted - own
    return np.asarray(estimate * np.float32(10 ** (gain_db / 20))), gain_db


def _dot(one: Wav, other: Wav) -> float:
    return float(sum(np.dot(a.astype(np.float64), b) for a, b in zip(one, other, strict=True)))


def _overlap(estimate: Wav, reference: Wav, lag: int) -> tuple[Wav, Wav]:
    """Return the samples that both have when the estimate comes `lag` samples late."""
    late, early = estimate[:, max(lag, 0) :], reference[:, max(-lag, 0) :]
    samples = min(late.shape[1], early.shape[1])
    return late[:, :samples], early[:, :samples]


def _cross_correlation(estimate: Wav, reference: Wav, reach: int) -> NDArray[np.float64]:
    """Return Σ estimate(t + lag) · reference(t) for lags from −reach to reach."""
    part = min(_PART_SAMPLES, reference.shape[1])
    n_fft = fast_size(part + 2 * reach)
    padded = np.pad(estimate, ((0, 0), (reach, reach + part)))
    total = np.zeros(n_fft // 2 + 1, np.complex128)
    for start in range(0, reference.shape[1], part):
        early = reference[:, start : start + part]
        late = padded[:, start : start + early.shape[1] + 2 * reach]
        spectra = rfft(late, n_fft) * rfft(early, n_fft).conj()
        total += spectra.sum(axis=0)
    return np.asarray(irfft(total, n_fft)[: 2 * reach + 1], np.float64)
