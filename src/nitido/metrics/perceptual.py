"""How an estimate sounds beside its reference, by a model of hearing.

Conventions: waveforms `[C, T]`, aligned and matched in level; at 48 kHz, else they are resampled.
ViSQOL hears one channel, the mean of the channels. It is no listener: it does not hear combs or
quiet passages.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.chunks import join
from nitido.dsp.resample import resample
from nitido.dsp.wav import Wav
from nitido.errors import AudioTooShortError
from nitido.metrics import fidelity
from nitido.optional import load

SAMPLE_RATE = 48_000
SECONDS_MIN = 1.0  # ViSQOL compares patches of 0.6 s


def validate(*, estimate: Wav, reference: Wav, sample_rate: int) -> None:
    """Check that the two can be compared.

    Raises:
        AudioShapeError: their shapes differ, or there are no samples.
        AudioTooShortError: fewer than 1 s.
    """
    fidelity.validate(estimate=estimate, reference=reference)
    if estimate.shape[1] < SECONDS_MIN * sample_rate:
        raise AudioTooShortError(
            f"{estimate.shape[1] / sample_rate:.2f} s are too short to be judged by ear or model; "
            f"give {SECONDS_MIN:g} s or more."
        )


def visqol(*, estimate: Wav, reference: Wav, sample_rate: int) -> float | None:
    """Return ViSQOL's guess of what listeners would say, MOS-LQO from 1 (bad) to 4.73 (the same).

    Audio mode at 48 kHz, with its own search for lags of parts. None where the reference is silent.

    Raises:
        AudioShapeError: their shapes differ, or there are no samples.
        AudioTooShortError: fewer than 1 s.
        MissingExtraError: visqol-python is not installed.

    Source: Chinen et al., ViSQOL v3: an open source production ready objective speech and audio
    metric, QoMEX 2020.
    """
    validate(estimate=estimate, reference=reference, sample_rate=sample_rate)
    judge = _visqol()
    wanted, heard = (_at_48_khz(wav, sample_rate) for wav in (reference, estimate))
    if not wanted.any():
        return None
    # Digital silence has no spectrum to compare: noise at −160 dBFS.
    noise = 1e-8 * np.random.default_rng(0).standard_normal(wanted.size)
    return float(judge.measure_from_arrays(wanted + noise, heard + noise, SAMPLE_RATE).moslqo)


def evaluate(*, estimate: Wav, reference: Wav, sample_rate: int) -> dict[str, float | None]:
    """Return every measure of this family by name.

    Raises:
        MissingExtraError: visqol-python is not installed.
    """
    return {"visqol_mos": visqol(estimate=estimate, reference=reference, sample_rate=sample_rate)}


@lru_cache(maxsize=1)
def _visqol() -> Any:
    judge = load("visqol").VisqolApi()
    judge.create(mode="audio")
    return judge


def _at_48_khz(wav: Wav, sample_rate: int) -> NDArray[np.float64]:
    """Return the mean of the channels `[T]` at 48 kHz."""
    mono = wav.mean(axis=0, keepdims=True, dtype=np.float32)
    blocks = resample(
        [mono], from_hz=sample_rate, to_hz=SAMPLE_RATE, samples=mono.shape[1], channels=1
    )
    return np.asarray(join(blocks, channels=1)[0], np.float64)
