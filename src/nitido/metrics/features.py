"""The founding table: spectral centroid, flatness and RMS, as the first version measured them.

Conventions: what `librosa.load` gives by default, so mono (mean of the channels) at 22 050 Hz by
soxr HQ, then librosa's features with default settings, mean over the frames. Nothing above 11 kHz
counts, so a restored top octave does not show here. No reference is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError
from nitido.optional import load

SAMPLE_RATE = 22_050  # Hz, the default of librosa.load


def validate(*, estimate: Wav) -> None:
    """Check that there is something to measure.

    Raises:
        AudioShapeError: no samples.
    """
    if not estimate.size:
        raise AudioShapeError(f"Shape {list(estimate.shape)} holds no samples to measure.")


def loaded(*, estimate: Wav, sample_rate: int) -> Any:
    """Return the waveform `[T]` as `librosa.load` would read it from a file.

    Raises:
        MissingExtraError: librosa is not installed.
    """
    validate(estimate=estimate)
    librosa = load("librosa")
    mono = librosa.to_mono(estimate)
    if sample_rate == SAMPLE_RATE:
        return mono
    return librosa.resample(mono, orig_sr=sample_rate, target_sr=SAMPLE_RATE, res_type="soxr_hq")


def spectral_centroid(*, estimate: Wav, sample_rate: int) -> float:
    """Return the mean spectral centroid, Hz."""
    wav = loaded(estimate=estimate, sample_rate=sample_rate)
    return float(np.mean(load("librosa").feature.spectral_centroid(y=wav, sr=SAMPLE_RATE)))


def spectral_flatness(*, estimate: Wav, sample_rate: int) -> float:
    """Return the mean spectral flatness, 0 for a tone to 1 for white noise."""
    wav = loaded(estimate=estimate, sample_rate=sample_rate)
    return float(np.mean(load("librosa").feature.spectral_flatness(y=wav)))


def rms_energy(*, estimate: Wav, sample_rate: int) -> float:
    """Return the mean over the frames of their RMS, re full scale."""
    wav = loaded(estimate=estimate, sample_rate=sample_rate)
    return float(np.mean(load("librosa").feature.rms(y=wav)))


def change_percent(*, before: float | None, after: float | None) -> float | None:
    """Return the change of a measure, %; None where it was zero or is not known.

    >>> round(change_percent(before=2789.3240, after=2773.4412), 2)
    -0.57
    """
    if not before or after is None:
        return None
    return 100 * (after / before - 1)


def evaluate(*, estimate: Wav, sample_rate: int) -> dict[str, float | None]:
    """Return every measure of this family by name."""
    wav = np.asarray(loaded(estimate=estimate, sample_rate=sample_rate), np.float32)[None]
    return {
        "spectral_centroid": spectral_centroid(estimate=wav, sample_rate=SAMPLE_RATE),
        "spectral_flatness": spectral_flatness(estimate=wav, sample_rate=SAMPLE_RATE),
        "rms_energy": rms_energy(estimate=wav, sample_rate=SAMPLE_RATE),
    }
