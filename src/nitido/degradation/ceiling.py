"""The bandwidth ceiling of a generator or codec: nothing above, everything below."""

from __future__ import annotations

import numpy as np
import scipy.signal

from nitido.errors import ConfigError
from nitido.wav import Wav

TRANSITION_HZ = 400.0  # from untouched to gone
STOPBAND_DB = 100.0


def lower_ceiling(wav: Wav, *, sample_rate: int, ceiling_hz: float) -> Wav:
    """Return `wav` `[C, T]` without anything from `ceiling_hz` up.

    A steep linear-phase low-pass: flat up to 400 Hz below the ceiling, −100 dB at the ceiling;
    length and position are kept. A ceiling at half the sample rate or above changes nothing.

    Args:
        wav: waveform `[C, T]`; not written to.
        sample_rate: Hz.
        ceiling_hz: Hz, above 400.

    Raises:
        ConfigError: the ceiling is not above 400 Hz.
    """
    if not ceiling_hz > TRANSITION_HZ:
        raise ConfigError(f"A ceiling of {ceiling_hz} Hz leaves no music; give more than 400 Hz.")
    if ceiling_hz >= sample_rate / 2 or wav.shape[1] == 0:
        return wav.copy()
    length, beta = scipy.signal.kaiserord(STOPBAND_DB, 2 * TRANSITION_HZ / sample_rate)
    taps = scipy.signal.firwin(
        length | 1, ceiling_hz - TRANSITION_HZ / 2, window=("kaiser", beta), fs=sample_rate
    )
    half = len(taps) // 2
    padded = np.pad(wav, ((0, 0), (half, half)))
    kernel = taps[None].astype(np.float32)
    return np.asarray(scipy.signal.oaconvolve(padded, kernel, mode="valid", axes=1), np.float32)
