"""What a predicted level is laid on: noise that beats with the music, and its own tones moved up.

Both have mean power 1 per bin, so a level times a carrier is a spectrum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.fourier import fast_size, irfft, rfft
from nitido.dsp.spectral import Frames, Spec, running_mean
from nitido.dsp.wav import Wav

NOISE_TILE_SAMPLES = 65_536  # one random generator each, so noise does not depend on the cutting
ATTACK_SECONDS = 0.003  # how fast the noise follows the music
# A frame's level is the power under a squared Hann window, and is laid on the sound under another:
# as much smoothing as two running means of this share of n_fft.
SLOW_SHARE = 0.53
BEAT_LIMITS = (0.05, 5.0)
WHITE_BINS = 17  # over which a tone's surroundings are levelled before it is copied
MOVES = (0.32, 0.62)  # of the crossover: how far tones are moved up at a time
GRID_FRAMES = 13  # over which the grid of the partials is looked for, 0.14 s


def noise(samples: int, *, channels: int, start: int) -> Wav:
    """Return white noise of power 1 `[C, samples]`, the same for the same place of the piece."""
    first, last = start // NOISE_TILE_SAMPLES, (start + samples - 1) // NOISE_TILE_SAMPLES
    tiles = []
    for tile in range(first, last + 1):
        random = np.random.Generator(np.random.Philox(key=[tile + 2**20, 0x6E697469]))
        tiles.append(random.standard_normal((NOISE_TILE_SAMPLES, channels), np.float32))
    offset = start - first * NOISE_TILE_SAMPLES
    return np.ascontiguousarray(np.concatenate(tiles)[offset : offset + samples].T)


def beat(spec: Spec, band: slice, frames: Frames, *, first: int, length: int) -> Wav:
    """Return how the sound of a band swells and fades within a frame, `[C, length]`, about 1.

    Its level over 3 ms, over its level within one frame: what a frame's level does not tell.
    """
    alone = np.zeros_like(spec)
    alone[:, :, band] = spec[:, :, band]
    power = frames.synthesise(alone, first=first, length=length) ** 2
    fast = max(1, round(ATTACK_SECONDS * 23.4 * frames.n_fft))  # 23.4 frames of n_fft per second
    near = running_mean(power, fast, axis=1)
    slow = round(SLOW_SHARE * frames.n_fft)
    wide = _long_mean(_long_mean(power, slow, first=first), slow, first=first)
    ratio = np.sqrt((near + 1e-14) / (wide + 1e-14))
    return np.clip(ratio, *BEAT_LIMITS).astype(np.float32)


def _long_mean(power: NDArray[Any], size: int, *, first: int) -> NDArray[np.float64]:
    """Return the mean of many samples `[C, T]` around each, of a window from sample `first` on.

    Summed within parts of so many samples, counted from the start of the piece: each mean is the
    end of one part and the beginning of the next, rounded alike wherever the window begins.
    """
    before = size // 2
    lead = (first - before) % size
    count = -(-(lead + size + power.shape[1]) // size)
    sides = (lead + before, count * size - lead - before - power.shape[1])
    parts = np.pad(power, ((0, 0), sides), mode="edge").reshape(len(power), count, size)
    begun, left = np.zeros(parts.shape), np.empty(parts.shape)
    np.cumsum(parts[:, :, :-1], axis=2, dtype=np.float64, out=begun[:, :, 1:])
    np.cumsum(parts[:, :, ::-1], axis=2, dtype=np.float64, out=left[:, :, ::-1])
    sums = left.reshape(len(power), -1)[:, lead : lead + power.shape[1]]
    sums += begun.reshape(len(power), -1)[:, lead + size :][:, : power.shape[1]]
    sums /= size
    return sums


def moved_up(spec: Spec, added: slice, crossover: int, frames: Frames, *, index: int) -> Spec:
    """Return the tones below bin `crossover`, copied up to the bins `added`, `[C, N, K]`.

    Each frame's copies are moved by a multiple of the distance at which its partials repeat, so
    that harmonics go on in line. A copy moved by s bins turns by 2π s hop / n_fft per frame: with
    that phase it is the same tone, only higher.

    Args:
        spec: `[C, N, F]`.
        added: bins to fill.
        crossover: bin below which the sound is there.
        frames: of `spec`.
        index: of its first frame.
    """
    power = spec.real[:, :, :crossover] ** 2 + spec.imag[:, :, :crossover] ** 2
    around = running_mean(power, WHITE_BINS, axis=2)
    white = spec[:, :, :crossover] / np.sqrt(np.maximum(around, 1e-20))
    move = _moves(np.abs(white), crossover)[:, :, None]  # [C, N, 1]
    target = np.arange(added.start, added.stop, dtype=np.int32)
    # So often that the source lies below. Small whole numbers: the quotient is exact enough.
    beyond = (target + 1 - crossover).astype(np.float32)
    times = np.ceil(beyond / move.astype(np.float32)).astype(np.int32)
    moved = times * move.astype(np.int32)
    copied = np.take_along_axis(white, np.maximum(target - moved, 1), axis=2)
    number = (index + np.arange(spec.shape[1])) * frames.hop_length % frames.n_fft
    turns = moved * number.astype(np.int32)[None, :, None] & (frames.n_fft - 1)  # a power of two
    phase = np.exp(2j * np.pi / frames.n_fft * np.arange(frames.n_fft)).astype(np.complex64)
    copied *= phase[turns]
    return np.asarray(copied, np.complex64)


def _moves(white: NDArray[np.float32], crossover: int) -> NDArray[np.int64]:
    """Return by how many bins each frame's partials repeat best, `[C, N]`, in the legal range."""
    low, high = (max(2, round(share * crossover)) for share in MOVES)
    shape = np.minimum(white, 4.0)
    shape = shape - shape.mean(axis=2, keepdims=True)
    spectrum = rfft(shape, fast_size(2 * crossover))
    power = spectrum.real**2 + spectrum.imag**2
    same = irfft(power, 2 * power.shape[2] - 2)[:, :, low : high + 1]
    overlap = crossover - np.arange(low, high + 1)
    same = running_mean(same / np.sqrt(overlap, dtype=np.float32), GRID_FRAMES, axis=1)
    return np.asarray(low + same.argmax(axis=2), np.int64)
