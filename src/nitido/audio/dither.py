"""From float to integers: rounding, TPDF dither for 16 bit, and a count of what was clipped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.wav import Wav
from nitido.errors import AudioWriteError

TILE_SAMPLES = 2**15
_SEED = 0x6E697469646F


def tpdf(tile: int, *, channels: int, samples: int) -> Wav:
    """Return the dither for a tile of the piece, `[C, n]`, in LSB: triangular from −1 to 1.

    The sum of two independent uniform values of 1 LSB each makes the mean and the variance of the
    rounding error independent of the music. Drawn anew per tile from its number, so the same piece
    always gets the same dither, however it was cut.

    Source: Lipshitz, Wannamaker, Vanderkooy, Quantization and dither, JAES 40(5), 1992.
    """
    rng = np.random.Generator(np.random.SFC64([_SEED, tile]))
    uniform = rng.random((2, channels, TILE_SAMPLES), dtype=np.float32)[:, :, :samples]
    dither: Wav = uniform[0] - uniform[1]
    return dither


class Quantiser:
    """Turns tiles of a piece, one after the other, into what libsndfile writes without change.

    Attributes:
        clipped: samples so far that lay beyond full scale and were cut to it; integers only.
    """

    def __init__(self, bit_depth: int | None) -> None:
        """Take 16 or 24; 32, and None for lossy formats, leave the floats as they are."""
        self.clipped = 0
        self._bit_depth = bit_depth
        self._tile = 0

    def __call__(self, wav: Wav) -> NDArray[np.int16] | NDArray[np.int32] | Wav:
        """Return the next tile `[n, C]` of a waveform `[C, n]`, n at most `TILE_SAMPLES`.

        Raises:
            AudioWriteError: NaN or Inf.
        """
        peak = float(np.max(np.abs(wav), initial=0.0))
        if not np.isfinite(peak):
            at = self._tile * TILE_SAMPLES
            raise AudioWriteError(
                f"The sound to write has NaN or Inf after sample {at}; replace them with "
                "nitido.audio.sanitize first."
            )
        tile, self._tile = self._tile, self._tile + 1
        if self._bit_depth not in (16, 24):
            return np.ascontiguousarray(wav.T)
        if peak > 1:
            self.clipped += int(np.count_nonzero(np.abs(wav) > 1))
        full_scale = np.float32(2 ** (self._bit_depth - 1))
        scaled = wav * full_scale
        if self._bit_depth == 16:
            scaled += tpdf(tile, channels=wav.shape[0], samples=wav.shape[1])
        np.rint(scaled, out=scaled)
        np.clip(scaled, -full_scale, full_scale - 1, out=scaled)
        if self._bit_depth == 16:
            return np.ascontiguousarray(scaled.T.astype(np.int16))
        return np.ascontiguousarray(scaled.T.astype(np.int32) << 8)  # libsndfile drops the low byte
