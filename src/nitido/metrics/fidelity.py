"""How near an estimate is to its reference.

Conventions: waveforms `[C, T]` of equal shape, already aligned; `estimate` and `reference` are
keyword-only, since libraries disagree about their order. Channels are measured together.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, sosfiltfilt

from nitido.errors import AudioShapeError
from nitido.spectral import Frames, band
from nitido.wav import Wav

LOG_FLOOR_DB = -100.0  # of a spectral bin, re a full-scale sine


def validate(*, estimate: Wav, reference: Wav) -> None:
    """Check that the two can be compared.

    Raises:
        AudioShapeError: their shapes differ, or there are no samples.
    """
    if estimate.shape != reference.shape or not estimate.size:
        raise AudioShapeError(
            f"Estimate {list(estimate.shape)} and reference {list(reference.shape)} need one shape "
            "and at least one sample; resample, align or downmix them first."
        )


def si_sdr_db(*, estimate: Wav, reference: Wav) -> float:
    """Return the scale-invariant signal-to-distortion ratio, dB; infinite for a mere gain.

    Source: Le Roux et al., SDR – half-baked or well done?, ICASSP 2019, eq. 5.
    """
    validate(estimate=estimate, reference=reference)
    estimated, wanted = (wav.astype(np.float64).ravel() for wav in (estimate, reference))
    power = wanted @ wanted
    if power == 0:
        return -np.inf
    target = (estimated @ wanted / power) * wanted
    error = estimated - target
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(target @ target) - 10 * np.log10(error @ error))


def band_si_sdr_db(
    *,
    estimate: Wav,
    reference: Wav,
    sample_rate: int,
    low_hz: float = 60.0,
    high_hz: float = 7000.0,
) -> float:
    """Return the SI-SDR of both after the same zero-phase band-pass, dB.

    Args:
        estimate: `[C, T]`.
        reference: `[C, T]`.
        sample_rate: Hz.
        low_hz: lower edge of the band.
        high_hz: upper edge of the band; has to lie below half the sample rate.
    """
    validate(estimate=estimate, reference=reference)
    edges = [low_hz, min(high_hz, 0.49 * sample_rate)]
    sos = butter(4, edges, "bandpass", fs=sample_rate, output="sos")
    filtered = (sosfiltfilt(sos, wav.astype(np.float64), axis=1) for wav in (estimate, reference))
    inside, wanted = filtered
    return si_sdr_db(estimate=inside, reference=wanted)


def log_spectral_distance_db(
    *,
    estimate: Wav,
    reference: Wav,
    sample_rate: int,
    low_hz: float = 0.0,
    high_hz: float = np.inf,
) -> float:
    """Return the log-spectral distance in a band, dB: RMS over the bins, mean over the frames.

    Bins below `LOG_FLOOR_DB` count as that floor, so silence in both is no difference.

    Source: Gray and Markel, Distance measures for speech processing, IEEE ASSP 1976.
    """
    validate(estimate=estimate, reference=reference)
    frames = Frames(2048, 512)
    bins = band(low_hz, min(high_hz, sample_rate), n_fft=2048, sample_rate=sample_rate)
    floor = 10 ** (LOG_FLOOR_DB / 10)

    def level_db(wav: Wav) -> Wav:
        spec = frames.analyse(np.pad(wav, ((0, 0), (1024, 1024))), first=-1024)[:, :, bins]
        power = (spec.real**2 + spec.imag**2) * (4 / 2048) ** 2
        return np.asarray(10 * np.log10(np.maximum(power, floor)), np.float32)

    square = (level_db(estimate) - level_db(reference)) ** 2
    return float(np.sqrt(square.mean(axis=2)).mean())
