"""The Fourier transform of real sound, in the precision it comes in, and filtering with it.

numpy alone: importing scipy takes longer than restoring a short clip. Each transform is computed by
itself, whatever lies beside it: a piece in blocks is, to the bit, the piece as a whole, but for the
last part of `convolve`, whose size is another, and which is so to the rounding of its precision.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nitido.dsp.chunks import GRID_SAMPLES
from nitido.dsp.wav import Wav

PARTS = 8  # of all channels that `convolve` transforms at once


def rfft(frames: NDArray[Any], size: int | None = None) -> NDArray[Any]:
    """Return the spectrum of floating frames `[…, n]`, cut or filled with zeros to `size`."""
    size = size or frames.shape[-1]
    if size > frames.shape[-1]:  # numpy fills up four times as slowly
        given = frames
        frames = np.zeros((*given.shape[:-1], size), given.dtype)
        frames[..., : given.shape[-1]] = given
    # Without a scale numpy computes in double precision, whatever it is given: four times as long.
    spec = np.fft.rfft(frames, size, norm="forward")
    spec *= frames.dtype.type(size)
    return spec


def irfft(spec: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the frames `[…, size]` of spectra `[…, size // 2 + 1]`."""
    return np.fft.irfft(spec, size)


@lru_cache(maxsize=64)
def fast_size(least: int) -> int:
    """Return the smallest size from `least` on that is made of 2, 3 and 5: its FFT is fast.

    >>> fast_size(7), fast_size(11_025), fast_size(16_384)
    (8, 11250, 16384)
    """
    powers = range(least.bit_length())
    odd = (int(3**threes * 5**fives) for threes in powers for fives in powers)
    return min(one << (-(-least // one) - 1).bit_length() for one in odd)


def convolve(
    window: Wav, taps: NDArray[np.floating[Any]], *, precision: DTypeLike = np.float64
) -> Wav:
    """Return the samples of a window `[…, T]` that all the taps `[K]` reach, `[…, T − K + 1]`.

    Computed in parts of `GRID_SAMPLES`. Single precision errs by about 120 dB under the loudest of
    a part, and takes half as long.
    """
    reach, count = len(taps) - 1, window.shape[-1] - len(taps) + 1
    step = max(1, min(count, GRID_SAMPLES))
    size = fast_size(step + reach)
    response = rfft(taps.astype(precision), size)
    response *= response.real.dtype.type(size)  # for the two scales without which numpy is slow
    out = np.empty((*window.shape[:-1], count), window.dtype)
    # One piece of memory for all: fresh one costs as much as the transform. Some parts at once: to
    # prepare for a call takes numpy as long as to transform two.
    most = min(-(-count // step), max(1, PARTS // math.prod(window.shape[:-1])))
    padded = np.zeros((*window.shape[:-1], most, size), precision)
    spec = np.empty((*window.shape[:-1], most, size // 2 + 1), response.dtype)
    for first in range(0, count, most * step):
        starts = range(first, min(count, first + most * step), step)
        for number, start in enumerate(starts):
            given = window[..., start : start + step + reach]
            padded[..., number, : given.shape[-1]] = given
            padded[..., number, given.shape[-1] :] = 0
        np.fft.rfft(padded, norm="forward", out=spec)
        spec *= response
        np.fft.irfft(spec, size, out=padded)
        for number, start in enumerate(starts):
            stop = min(start + step, count)
            out[..., start:stop] = padded[..., number, reach : reach + stop - start]
    return out


def kaiser_low_pass(
    middle_hz: float, *, width_hz: float, stop_db: float, sample_rate: int
) -> NDArray[np.float64]:
    """Return a linear-phase low-pass of odd length, gain 1 at 0 Hz.

    Args:
        middle_hz: where it is 6 dB down.
        width_hz: from where it is flat to where it is `stop_db` down, the middle between them.
        stop_db: 50 or more.
        sample_rate: Hz.

    Source: Kaiser, Nonrecursive digital filter design using the I0-sinh window function, ISCAS
    1974.
    """
    length = (stop_db - 7.95) / (2.285 * 2 * np.pi * width_hz / sample_rate) + 1
    half = int(np.ceil(length)) // 2
    taps = np.sinc(2 * middle_hz / sample_rate * np.arange(-half, half + 1))
    taps *= np.kaiser(2 * half + 1, 0.1102 * (stop_db - 8.7))
    return np.asarray(taps / taps.sum(), np.float64)
