"""One STFT convention for the whole project.

Periodic Hann window, not normalised; frame k is centred on sample `k * hop_length` of the whole
piece, counted from its start. So the frames of a piece do not depend on how it was cut.
A full-scale sine has |X| = n_fft / 4; white noise of RMS σ has E|X|² = σ² · 3/8 · n_fft.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.fourier import convolve, irfft, kaiser_low_pass
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError

Spec: TypeAlias = NDArray[np.complex64]
Real = TypeVar("Real", np.float32, np.float64)

PROTECTED_HZ = (60.0, 7000.0)  # where the music lives: only the planned repair may change it
TRANSITION_HZ = 400.0  # of `lower_ceiling`: from untouched to gone
STOPBAND_DB = 100.0
TOGETHER_SAMPLES = 2**16  # of frames that are transformed at once, in each channel


@lru_cache(maxsize=32)
def hann(n_fft: int) -> NDArray[np.float32]:
    """Return the periodic Hann window of `n_fft` samples, read-only."""
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    window.flags.writeable = False
    return window


@lru_cache(maxsize=32)
def _scaled_hann(n_fft: int) -> NDArray[np.float32]:
    """Return the window times `n_fft`, see `windowed_spectra`, read-only."""
    window = hann(n_fft) * np.float32(n_fft)
    window.flags.writeable = False
    return window


def _frames_together(n_fft: int) -> int:
    """Return how many frames to transform at once: what stays in the cache of a core.

    At least 16, as numpy prepares for each call, which takes as long as two frames.
    """
    return max(16, TOGETHER_SAMPLES // n_fft)


def windowed_spectra(frames: Wav) -> Spec:
    """Return the spectra `[C, N, F]` of frames `[C, N, n_fft]`, windowed; they may overlap."""
    channels, count, n_fft = frames.shape
    spec = np.empty((channels, count, n_fft // 2 + 1), np.complex64)
    window, together = _scaled_hann(n_fft), _frames_together(n_fft)
    for start in range(0, count, together):
        part = slice(start, start + together)
        # Without a scale numpy computes in double precision: the window makes up for it.
        np.fft.rfft(frames[:, part] * window, norm="forward", out=spec[:, part])
    return spec


def sum_products(one: Spec, other: Spec) -> NDArray[np.float32]:
    """Return Σ Re(X Y*) over a few frames `[N, F]`, `[F]`: of more, single precision loses some."""
    products = np.einsum("nf,nf->f", one.view(np.float32), other.view(np.float32))
    return np.asarray(products[0::2] + products[1::2], np.float32)


def fft_size(seconds: float, *, sample_rate: int) -> int:
    """Return the power of two nearest to `seconds` on a logarithmic scale.

    >>> fft_size(0.512, sample_rate=32000), fft_size(0.512, sample_rate=48000)
    (16384, 32768)
    """
    return int(2 ** round(float(np.log2(seconds * sample_rate))))


def band(low_hz: float, high_hz: float, *, n_fft: int, sample_rate: int) -> slice:
    """Return the bins from `low_hz` (included) to `high_hz` (excluded)."""
    bins = np.ceil(np.array([low_hz, high_hz]) * n_fft / sample_rate - 1e-9)
    low, high = np.clip(bins, 0, n_fft // 2 + 1).astype(int)
    return slice(int(low), int(high))


def noise_power(n_fft: int, *, sample_rate: int) -> float:
    """Return E|X|² of white noise of RMS 1 that fills the band of 48 kHz, at any sample rate.

    What is held against it has the same level before and after resampling.

    >>> noise_power(2048, sample_rate=48000), noise_power(2048, sample_rate=96000)
    (768.0, 1536.0)
    """
    return 3 / 8 * n_fft * sample_rate / 48_000


@dataclass(frozen=True)
class Frames:
    """The grid of STFT frames of a piece: size and distance, in samples.

    `analyse` and `synthesise` see a window of the piece that begins at sample `first`; they use the
    frames that lie wholly inside it. A sample that is at least `n_fft` away from both ends of the
    window is restored exactly.
    """

    n_fft: int
    hop_length: int

    def indices(self, first: int, length: int) -> range:
        """Return the indices of the frames that lie wholly in `[first, first + length)`."""
        half = self.n_fft // 2
        low = -((-(first + half)) // self.hop_length)
        high = (first + length - half) // self.hop_length
        return range(low, max(low, high + 1))

    def cut(self, window: Wav, *, first: int) -> Wav:
        """Return the frames `[C, N, n_fft]` that lie wholly in `window` `[C, T]`, a view of it."""
        frames = self.indices(first, window.shape[1])
        if not len(frames):
            return np.zeros((window.shape[0], 0, self.n_fft), np.float32)
        offset = frames.start * self.hop_length - self.n_fft // 2 - first
        cut = np.lib.stride_tricks.sliding_window_view(window[:, offset:], self.n_fft, axis=1)
        return cut[:, :: self.hop_length][:, : len(frames)]

    def analyse(self, window: Wav, *, first: int) -> Spec:
        """Return the spectrum `[C, N, F]` of the frames that lie wholly in `window` `[C, T]`."""
        return windowed_spectra(self.cut(window, first=first))

    def synthesise(
        self, spec: Spec, *, first: int, length: int, chosen: NDArray[np.intp] | None = None
    ) -> Wav:
        """Return the waveform `[C, length]` from sample `first` on, of frames `[C, N, F]`.

        Weighted overlap-add: each frame is windowed again and the sum is divided by the sum of the
        squared windows, so an unchanged spectrum gives back the waveform. Where only a few frames
        are not silent, theirs is enough: `chosen` says which of them these are, in order.
        """
        frames = self.indices(first, length)
        n_fft, hop = self.n_fft, self.hop_length
        out = np.zeros((spec.shape[0], length), np.float32)
        if not len(frames):
            return out
        gain = hann(n_fft) / self._norm()
        offset = frames.start * hop - n_fft // 2 - first
        if chosen is not None:
            for number, one in zip(chosen, (irfft(spec, n_fft) * gain).swapaxes(0, 1), strict=True):
                begin = offset + int(number) * hop
                out[:, begin : begin + n_fft] += one
            return out
        overlap = n_fft // hop
        together = _frames_together(n_fft) // overlap * overlap or overlap
        # Parts and phases are counted from the start of the piece, so that the sum is rounded alike
        # wherever the window begins.
        for number in range(frames.start // together, -(-frames.stop // together)):
            part = range(
                max(frames.start, number * together), min(frames.stop, (number + 1) * together)
            )
            cut = irfft(spec[:, part.start - frames.start : part.stop - frames.start], n_fft)
            cut *= gain
            # Frames of one phase do not overlap: add them all at once.
            for phase in range(overlap):
                alike = (phase - part.start) % overlap
                flat = cut[:, alike::overlap].reshape(len(cut), -1)
                begin = offset + (part.start - frames.start + alike) * hop
                out[:, begin : begin + flat.shape[1]] += flat
        return out

    def level_db(self, spec: Spec) -> NDArray[np.float64]:
        """Return the level of the bins of frames `[C, N, F]`, dB re full scale `[N]`.

        Mean square over the channels (Parseval, Hann); nothing reads −120.
        """
        power = (spec.real**2 + spec.imag**2).sum(axis=2, dtype=np.float64).mean(axis=0)
        return np.asarray(10 * np.log10(16 / 3 / self.n_fft**2 * power + 1e-12), np.float64)

    def _norm(self) -> NDArray[np.float32]:
        """Return the sum of squared windows over one frame's length, on the infinite grid."""
        square = hann(self.n_fft).astype(np.float64) ** 2
        period = square.reshape(-1, self.hop_length).sum(axis=0)
        return np.tile(period, self.n_fft // self.hop_length).astype(np.float32)


class FrameStream:
    """The spectra of a stream whose blocks come in any length."""

    def __init__(self, frames: Frames, *, channels: int) -> None:
        self._frames = frames
        self._held: Wav = np.zeros((channels, 0), np.float32)
        self._first = 0

    def update(self, block: Wav) -> Spec:
        """Return the frames `[C, N, F]` that the next samples `[C, n]` complete."""
        held = np.concatenate([self._held, block], axis=1)
        frames, hop = self._frames, self._frames.hop_length
        indices = frames.indices(self._first, held.shape[1])
        spec = frames.analyse(held, first=self._first)
        if len(indices):  # the next frame begins here
            following = indices.stop * hop - frames.n_fft // 2
            held = held[:, following - self._first :]
            self._first = following
        self._held = held.copy()
        return spec


def median(values: NDArray[Any]) -> NDArray[Any]:
    """Return the median over the last axis; that of numpy loads masked arrays for it."""
    count = values.shape[-1]
    # One place only: for two of them numpy takes eight times as long.
    parted = np.partition(values, count // 2)
    upper = parted[..., count // 2]
    if count % 2:
        return np.asarray(upper)
    return np.asarray((parted[..., : count // 2].max(axis=-1) + upper) / 2)


def running_mean(values: NDArray[Real], size: int, *, axis: int) -> NDArray[Real]:
    """Return the mean of `size` values around each along an axis; the ends go on as they are.

    Summed by doubling, two, four, eight: so it does not matter where along the axis a value stands,
    and no mean of positive values falls below zero, as in a sum that runs along.
    """
    pad = [(0, 0)] * values.ndim
    pad[axis] = (size // 2, size - 1 - size // 2)
    sums: NDArray[Real] = np.moveaxis(np.pad(values, pad, mode="edge"), axis, 0)
    count, width, summed = values.shape[axis], 1, 0
    total = np.moveaxis(np.zeros(values.shape, values.dtype), axis, 0)  # laid out as they are
    while True:
        if size & width:
            total += sums[summed : summed + count]
            summed += width
        if summed == size:
            total /= values.dtype.type(size)
            return np.moveaxis(total, 0, axis)
        sums = sums[:-width] + sums[width:]
        width *= 2


def running_max(values: NDArray[Any], size: int) -> NDArray[Any]:
    """Return the highest of every `size` values that follow one another, `[…, n − size + 1]`.

    >>> running_max(np.array([3, 1, 2, 0, 4]), 3)
    array([3, 2, 4])
    """
    width = 1
    while 2 * width <= size:
        values = np.maximum(values[..., :-width], values[..., width:])
        width *= 2
    last = values.shape[-1] - size + width
    return np.asarray(np.maximum(values[..., :last], values[..., size - width :]))


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
    taps = kaiser_low_pass(
        ceiling_hz - TRANSITION_HZ / 2,
        width_hz=TRANSITION_HZ,
        stop_db=STOPBAND_DB,
        sample_rate=sample_rate,
    )
    half = len(taps) // 2
    return convolve(np.pad(wav, ((0, 0), (half, half))), taps)
