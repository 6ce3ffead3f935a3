"""Loudness and true peak meters.

Both take a stream of waveforms `[C, n]` at its own sample rate, in blocks of any size, and keep
only small numbers, never the audio.
What each channel counts follows from its speaker, see `nitido.dsp.speakers.loudness_weights`.

Source: ITU-R BS.1770-4 (loudness, true peak), EBU Tech 3341 (momentary, short-term), EBU Tech 3342
(loudness range).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.fourier import convolve, fast_size, irfft, rfft
from nitido.dsp.speakers import default_mask, loudness_weights
from nitido.dsp.wav import Wav

Array = NDArray[np.float64]

TILE_SECONDS = 0.01  # every loudness block is a whole number of these
GATE_STEP_TILES = 10  # the blocks of the gated measures lie 100 ms apart: 75 % overlap
MOMENTARY_TILES = 40  # 400 ms
SHORT_TERM_TILES = 300  # 3 s
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
RANGE_GATE_LU = -20.0
K_SECONDS = 0.085  # then what is left of its high-pass is 150 dB down

SIDE_TAPS = 12  # samples on either side that the value between two samples is computed from
MARGIN = 2 * SIDE_TAPS - 1  # samples that a region needs beyond its own
REGION_SAMPLES = 64  # how finely it is decided where to oversample


@lru_cache(maxsize=16)
def k_weighting(sample_rate: int) -> Array:
    """Return the two sections of the K-weighting filter `[2, 6]`: b0, b1, b2, a0, a1, a2.

    A shelf of +4 dB above 1.7 kHz, then a high-pass at 38 Hz. At 48 kHz these are the coefficients
    of the standard; at other rates the same analogue filters, at the same gain.

    Source: ITU-R BS.1770-4, tables 1 and 2; De Man, Evaluation of implementations of the EBU R128
    loudness measurement, AES 2018, for the analogue parameters.
    """
    k = np.tan(np.pi * 1681.974450955533 / sample_rate)
    q = 0.7071752369554196
    high = 10 ** (3.999843853973347 / 20)
    middle = high**0.4996667741545416
    norm = 1 + k / q + k * k
    shelf = [high + middle * k / q + k * k, 2 * (k * k - high), high - middle * k / q + k * k]
    shelf += [norm, 2 * (k * k - 1), 1 - k / q + k * k]

    k = np.tan(np.pi * 38.13547087602444 / sample_rate)
    q = 0.5003270373238773
    denominator = np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])
    # The standard writes the numerator as 1, −2, 1, which is a gain of 1.005 at 48 kHz.
    gain = 1.0049949
    high_pass = [gain, -2 * gain, gain, *denominator]
    return np.array([np.array(shelf) / norm, np.array(high_pass) / denominator[0]])


@lru_cache(maxsize=4)
def k_response(sample_rate: int) -> Array:
    """Return the impulse response of the K-weighting filter over `K_SECONDS`, `[K]`."""
    length = round(K_SECONDS * sample_rate)
    size = fast_size(4 * length)  # what comes after is folded onto the beginning, 2^-100 of it
    delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(len(delay), np.complex128)
    for section in k_weighting(sample_rate):
        response *= np.polyval(section[2::-1], delay) / np.polyval(section[:2:-1], delay)
    return irfft(response, size)[:length]


class WeightedPower:
    """The power of a stream that loudness is made of: K-weighted, added up over its speakers."""

    def __init__(self, sample_rate: int, channels: int, mask: int | None = None) -> None:
        """Begin a stream.

        Args:
            sample_rate: Hz.
            channels: number of channels, C.
            mask: for which speakers they are; None: the default layout.
        """
        mask = default_mask(channels) if mask is None else mask
        self._gains = np.sqrt(loudness_weights(channels, mask)).astype(np.float32)[:, None]
        self._taps = k_response(sample_rate)
        self._before: Wav = np.zeros((channels, len(self._taps) - 1), np.float32)

    def update(self, block: Wav) -> NDArray[np.float32]:
        """Return the power `[n]` of the next samples `[C, n]`, any n but 0."""
        window = np.concatenate([self._before, block], axis=1)
        self._before = window[:, block.shape[1] :].copy()
        weighted = convolve(window, self._taps, precision=np.float32)
        weighted *= self._gains
        return np.asarray(np.einsum("ct,ct->t", weighted, weighted), np.float32)


class LoudnessMeter:
    """Loudness of a stream, by ITU-R BS.1770-4 and EBU R 128; keeps 100 numbers per second."""

    def __init__(self, sample_rate: int, channels: int, mask: int | None = None) -> None:
        """Make a meter for one piece; the arguments are those of `WeightedPower`."""
        self._tile = round(sample_rate * TILE_SECONDS)
        self._power = WeightedPower(sample_rate, channels, mask)
        self._rest = np.zeros(0, np.float32)  # power of the samples of an unfinished tile
        self._tiles: list[Array] = []

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if not block.size:
            return
        power = np.concatenate([self._rest, self._power.update(block)])
        whole = power.size // self._tile * self._tile
        self._tiles.append(power[:whole].reshape(-1, self._tile).mean(1, np.float64))
        self._rest = power[whole:].copy()

    @property
    def integrated_lufs(self) -> float | None:
        """Gated loudness of the whole piece, LUFS; None under 0.4 s or if never over −70 LUFS."""
        power = self._blocks(MOMENTARY_TILES, GATE_STEP_TILES)
        power = power[power > _power(ABSOLUTE_GATE_LUFS)]
        if not power.size:
            return None
        power = power[power > power.mean() * 10 ** (RELATIVE_GATE_LU / 10)]
        return _lufs(power.mean())

    @property
    def range_lu(self) -> float | None:
        """Loudness range, LU; None under 3 s or in silence.

        From the 10th to the 95th percentile of the gated short-term loudness.
        Source: EBU Tech 3342.
        """
        power = self._blocks(SHORT_TERM_TILES, GATE_STEP_TILES)
        power = power[power >= _power(ABSOLUTE_GATE_LUFS)]
        if not power.size:
            return None
        power = power[power >= power.mean() * 10 ** (RANGE_GATE_LU / 10)]
        low, high = np.percentile(power, [10, 95], method="nearest")
        return float(10 * np.log10(high / low))

    @property
    def momentary_max_lufs(self) -> float | None:
        """Loudest 400 ms, in steps of 10 ms, LUFS; None under 0.4 s or in silence."""
        return self._loudest(MOMENTARY_TILES)

    @property
    def short_term_max_lufs(self) -> float | None:
        """Loudest 3 s, in steps of 10 ms, LUFS; None under 3 s or in silence."""
        return self._loudest(SHORT_TERM_TILES)

    def _loudest(self, tiles: int) -> float | None:
        power = self._blocks(tiles)
        loudest = power.max() if power.size else 0.0
        return _lufs(loudest) if loudest > _power(ABSOLUTE_GATE_LUFS) else None

    def _blocks(self, tiles: int, step: int = 1) -> Array:
        """Return the mean weighted power of every block of `tiles` tiles, `step` tiles apart."""
        every = np.concatenate([np.zeros(0), *self._tiles])
        if every.size < tiles:
            return np.zeros(0)
        blocks = np.lib.stride_tricks.sliding_window_view(every, tiles)[::step]
        return np.asarray(blocks.mean(axis=1))


def _lufs(power: float) -> float:
    return float(-0.691 + 10 * np.log10(power))


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


def oversampling(sample_rate: int) -> int:
    """Return how often the true-peak meter oversamples: to 192 kHz and more, at most 4 times."""
    return 4 if sample_rate < 96_000 else 2 if sample_rate < 192_000 else 1


@lru_cache(maxsize=4)
def interpolator(factor: int) -> NDArray[np.float32]:
    """Return the FIR filters `[factor − 1, 2 · SIDE_TAPS]` for the values between two samples.

    Windowed sinc (Kaiser, β = 6), twice as long as the example in annex 2 of the standard: within
    0.01 dB up to 0.42 of the sample rate. A sample itself passes unchanged.
    """
    fraction = np.arange(1, factor)[:, None] / factor
    distance = np.arange(1 - SIDE_TAPS, SIDE_TAPS + 1) - fraction
    window = np.i0(6 * np.sqrt(1 - (distance / SIDE_TAPS) ** 2)) / np.i0(6)
    taps = np.sinc(distance) * window
    taps /= taps.sum(axis=1, keepdims=True)
    return np.asarray(taps, dtype=np.float32)


@lru_cache(maxsize=4)
def most_between(factor: int) -> float:
    """Return how much higher than the samples around it a value between two of them can be."""
    return float(np.abs(interpolator(factor)).sum(axis=1).max(initial=0.0))


@lru_cache(maxsize=4)
def _bending(factor: int) -> tuple[float, float]:
    """Return what the samples, and their second differences, count in the bound of `rows_reach`.

    A filter less the straight line between the two samples beside the value sums to 0. Summed by
    parts once it is one of the first differences, and but for its own sum, which is next to
    nothing, summed by parts again one of the second differences.
    """
    bend = slope = 0.0
    for number, taps in enumerate(interpolator(factor).astype(np.float64), 1):
        rest = taps.copy()
        rest[SIDE_TAPS - 1 : SIDE_TAPS + 1] -= (1 - number / factor, number / factor)
        first = np.cumsum(rest)
        slope = max(slope, abs(float(first.sum())))
        first[SIDE_TAPS - 1] -= first.sum()
        bend = max(bend, float(np.abs(np.cumsum(first)).sum()))
    return 1 + 2 * slope + 1e-5, bend  # a difference is twice the samples at most; 1e-5 to round


def rows_reach(rows: Wav, *, factor: int) -> NDArray[np.float32]:
    """Return what no value between the samples of each row `[N, n]` exceeds, without its sign.

    A smooth wave hardly rises between its samples, so this is far less than `most_between` times
    the highest of them, and costs a tenth of computing the values.
    """
    bends = np.diff(rows, n=2, axis=1)
    highest, bend = (np.maximum(one.max(axis=1), -one.min(axis=1)) for one in (rows, bends))
    return most_reached(highest, bend, factor=factor)


def most_reached(
    highest: NDArray[np.float32], bend: NDArray[np.float32], *, factor: int
) -> NDArray[np.float32]:
    """Return what no value between samples exceeds whose highest, and second difference, is given.

    Both without sign, over all the samples that the filters see.
    """
    of_highest, of_bend = _bending(factor)
    return np.asarray(np.float32(of_highest) * highest + np.float32(of_bend) * bend, np.float32)


@lru_cache(maxsize=8)
def _interpolation(factor: int, size: int) -> NDArray[np.complex64]:
    """Return the spectra `[factor − 1, size // 2 + 1]` of the filters of `interpolator`."""
    return rfft(interpolator(factor)[:, ::-1], size)


def peaks_between(rows: Wav, *, outputs: int, factor: int) -> NDArray[np.float32]:
    """Return the highest value, without its sign, between the samples of each row `[N, n]`.

    Each row is transformed by itself: a matrix product would be rounded by what is beside it, and
    by the number of threads.

    Args:
        rows: waveforms `[N, n]`.
        outputs: of the filters, from the end of the rows back; before them are `2 SIDE_TAPS − 1`
            samples at least, that only the filters see.
        factor: of oversampling.
    """
    size, last = fast_size(rows.shape[1]), rows.shape[1]
    spec = rfft(rows, size)[:, None] * _interpolation(factor, size)
    values = irfft(spec, size)[:, :, last - outputs : last].reshape(len(rows), -1)
    return np.asarray(np.maximum(values.max(axis=1), -values.min(axis=1)), np.float32)


class TruePeakMeter:
    """True peak of a stream: the largest value of the waveform between the samples, too.

    Exact and nearly free: a stretch is oversampled only if its largest sample, times the most that
    the filter can add, exceeds the peak found so far.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        """Make a meter for one piece of `channels` channels at `sample_rate` Hz."""
        self._sample_peak = 0.0
        self._between_peak = 0.0
        self._held: Wav = np.zeros((channels, MARGIN), np.float32)
        self._factor = oversampling(sample_rate)
        self._most = most_between(self._factor)

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if not block.size:
            return
        self._sample_peak = max(self._sample_peak, float(block.max()), -float(block.min()))
        samples = np.concatenate([self._held, block], axis=1)
        self._measure(samples)
        used = (samples.shape[1] - MARGIN) // REGION_SAMPLES * REGION_SAMPLES
        self._held = samples[:, used:].copy()

    @property
    def sample_peak(self) -> float:
        """Largest absolute sample so far, re full scale."""
        return self._sample_peak

    @property
    def true_peak(self) -> float:
        """Largest absolute value of the waveform, re full scale, if silence followed now."""
        so_far = self._between_peak
        self._measure(np.pad(self._held, ((0, 0), (0, 2 * REGION_SAMPLES))))
        peak = self._peak()
        self._between_peak = so_far  # more may follow instead
        return peak

    def _measure(self, samples: Wav) -> None:
        """Raise `_between_peak` to the largest value between the samples of all whole regions."""
        count = (samples.shape[1] - MARGIN) // REGION_SAMPLES
        if not count or self._factor == 1:
            return
        if max(float(samples.max()), -float(samples.min())) * self._most <= self._peak():
            return
        regions = np.lib.stride_tricks.sliding_window_view(samples, REGION_SAMPLES + MARGIN, axis=1)
        regions = regions[:, ::REGION_SAMPLES][:, :count]
        body = samples[:, : count * REGION_SAMPLES].reshape(-1, count, REGION_SAMPLES)
        reach = np.maximum(body.max(axis=2), -body.min(axis=2))
        last = np.abs(samples[:, count * REGION_SAMPLES :][:, :MARGIN]).max(axis=1)[:, None]
        # A region's filters look into the next one.
        reach = np.maximum(reach, np.concatenate([reach[:, 1:], last], axis=1)) * self._most
        channel, index = np.nonzero(reach > self._peak())
        loudest_first = np.argsort(-reach[channel, index], kind="stable")
        channel, index = channel[loudest_first], index[loudest_first]
        begin, size = 0, 16  # a few first: they raise the peak, and most of the others fall away
        while begin < index.size and reach[channel[begin], index[begin]] > self._peak():
            part = slice(begin, begin + size)
            rows = regions[channel[part], index[part]]
            rows = rows[rows_reach(rows, factor=self._factor) > self._peak()]
            if len(rows):
                peaks = peaks_between(rows, outputs=REGION_SAMPLES, factor=self._factor)
                self._between_peak = max(self._between_peak, float(peaks.max()))
            begin, size = begin + size, 512

    def _peak(self) -> float:
        return max(self._sample_peak, self._between_peak)


def integrated_lufs(wav: Wav, *, sample_rate: int) -> float | None:
    """Return the gated loudness of `wav` `[C, T]`, LUFS; None under 0.4 s or in silence.

    Three to eight channels are taken for the default layout.
    """
    meter = LoudnessMeter(sample_rate, wav.shape[0])
    meter.update(wav)
    return meter.integrated_lufs


def true_peak_dbtp(wav: Wav, *, sample_rate: int) -> float | None:
    """Return the true peak of `wav` `[C, T]`, dB re full scale; None in silence."""
    return stream_true_peak_dbtp([wav], sample_rate=sample_rate, channels=wav.shape[0])


def stream_true_peak_dbtp(
    blocks: Iterable[Wav], *, sample_rate: int, channels: int
) -> float | None:
    """Return the true peak of a stream of waveforms `[C, n]`, dB re full scale; None in silence."""
    meter = TruePeakMeter(sample_rate, channels)
    for block in blocks:
        meter.update(block)
    peak = meter.true_peak
    return float(20 * np.log10(peak)) if peak > 0 else None
