"""What a waveform is: float32 `[C, T]`, channels first, full scale ±1."""

from __future__ import annotations

from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nitido.errors import AudioShapeError, SampleRateError, shown

Wav: TypeAlias = NDArray[np.float32]

SAMPLE_RATE_MIN_HZ = 8_000
SAMPLE_RATE_MAX_HZ = 192_000
CHANNELS_MAX = 64


def check_sample_rate(sample_rate: int) -> int:
    """Return `sample_rate` as an int.

    Raises:
        SampleRateError: not a whole number of Hz from 8 000 to 192 000.
    """
    if not isinstance(sample_rate, Real) or isinstance(sample_rate, bool):
        raise SampleRateError(f"The sample rate is {shown(sample_rate)}; it is a number of Hz.")
    if not SAMPLE_RATE_MIN_HZ <= sample_rate <= SAMPLE_RATE_MAX_HZ or sample_rate % 1:
        raise SampleRateError(
            f"Sample rate {shown(sample_rate)} Hz is outside the {SAMPLE_RATE_MIN_HZ} to "
            f"{SAMPLE_RATE_MAX_HZ} Hz that nitido accepts; resample the audio first."
        )
    return int(sample_rate)


def as_wav(audio: Any) -> Wav:
    """Return `audio` as a waveform `[C, T]`, float32; the caller's array is never written to.

    Takes NumPy arrays and anything that `numpy.asarray` understands, and torch tensors (also on a
    GPU, also with gradients) without importing torch. `[T]` becomes `[1, T]`; `[1, C, T]`, which is
    what `MusicgenForConditionalGeneration.generate` returns for one prompt, becomes `[C, T]`.
    Integers are scaled by their full range.

    Raises:
        AudioShapeError: a batch of several clips, more channels than samples, or no numbers.
    """
    if hasattr(audio, "detach"):  # a torch tensor
        audio = audio.detach().cpu()
        audio = audio.float().numpy() if audio.is_floating_point() else audio.numpy()
    try:
        array = np.asarray(audio)
    except ValueError as error:  # rows of different lengths
        raise AudioShapeError(f"{shown(audio)} is no waveform: {error}.") from error
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 4:
        limits = np.iinfo(array.dtype)
        middle = (limits.max + limits.min + 1) // 2  # 0 if signed, 128 for unsigned bytes
        array = (array.astype(np.float64) - middle) / (limits.max - middle + 1)
    if array.dtype.kind != "f":
        raise AudioShapeError(
            f"An array of type {array.dtype} is no waveform; give float samples in ±1 or integers "
            "of up to 32 bits."
        )
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise AudioShapeError(
            f"Shape {list(array.shape)} is no waveform [channels, samples]; "
            "restore the clips of a batch one by one: audio[0], audio[1], …"
        )
    channels, samples = array.shape
    if samples and (channels == 0 or channels > max(CHANNELS_MAX, 0)):
        raise AudioShapeError(
            f"Shape {list(array.shape)} has {channels} channels, at most {CHANNELS_MAX} are "
            "accepted; channels come first, transpose a [samples, channels] array."
        )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def energies(wav: Wav) -> NDArray[np.float64]:
    """Return the sum of the squares of each channel of `wav` `[C, T]`, `[C]`.

    The same on any number of cores, which `numpy.dot` is not.
    """
    return np.asarray(np.square(wav).sum(axis=1), np.float64)
