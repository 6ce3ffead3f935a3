"""Another sample rate: soxr, streaming, without a shift and with an exact length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from nitido.dsp.chunks import reblock, take
from nitido.dsp.wav import Wav

QUALITY = "VHQ"  # 28 bit; measured as fast as "HQ" (20 bit) for float32
_BLOCK_SAMPLES = 2**16  # the fastest of 2**14 … 2**18


def resampled_length(samples: int, from_hz: int, to_hz: int) -> int:
    """Return the length after resampling: `samples * to_hz / from_hz`, rounded up.

    Up, not to the nearest, so that no piece becomes empty.

    >>> resampled_length(32001, 32000, 48000), resampled_length(1, 192000, 8000)
    (48002, 1)
    """
    return -(-samples * to_hz // from_hz)


def resample(
    blocks: Iterable[Wav], *, from_hz: int, to_hz: int, samples: int, channels: int
) -> Iterator[Wav]:
    """Yield the stream at another sample rate, `resampled_length` samples in all.

    Sample n of the result lies at the time n / `to_hz`: nothing shifts. Equal rates pass untouched.
    The result does not depend on how the stream was cut.

    Args:
        blocks: waveforms `[C, n]`.
        from_hz: sample rate of the stream, Hz.
        to_hz: sample rate wanted, Hz.
        samples: length of the stream.
        channels: number of channels, C.
    """
    if from_hz == to_hz:
        return iter(blocks)
    stream = _resampled(blocks, from_hz=from_hz, to_hz=to_hz, channels=channels)
    return take(stream, resampled_length(samples, from_hz, to_hz))


def _resampled(blocks: Iterable[Wav], *, from_hz: int, to_hz: int, channels: int) -> Iterator[Wav]:
    stream = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality=QUALITY)
    for block in reblock(blocks, _BLOCK_SAMPLES):
        yield _planar(stream.resample_chunk(np.ascontiguousarray(block.T)))
    # soxr rounds the length to the nearest: silence after the end gives the sample rounding up asks
    silence = np.zeros((-(-from_hz // to_hz), channels), np.float32)
    yield _planar(stream.resample_chunk(silence, last=True))


def _planar(interleaved: Wav) -> Wav:
    return np.ascontiguousarray(interleaved.T)
