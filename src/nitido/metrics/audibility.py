"""How much of the music the ear would miss, or hear beside it, in sones.

A ratio of powers (`nitido.metrics.fidelity`) does not know which differences are heard: it counts a
changed phase and an error under a masker, and hardly counts the loss of all treble. Here both
sounds become what the ear makes of them, excitation and loudness per critical band; what
differs there by less than the ear can tell does not count.

In the manner of ITU-R BS.1387-2 (PEAQ, basic version): its frames, weighting of the ear, Bark
scale, internal noise, loudness and RMS over frames. It deviates from it, for a number that can be
read in sones, streams, and costs little:

- The bands are half a Bark wide and reach from 20 Hz, not a quarter from 80 Hz.
- Excitations spread with the slopes that the standard has at 70 dB, and add up as powers: a matrix.
- Nothing is smeared over time: frames of 43 ms are longer than most of it.
- The difference is that of the two loudnesses, band by band, either way, where the standard takes
  a partial loudness of what was added and, in its advanced version, half of what is missing.
- It counts by the chance that it is heard: half at 1 dB of excitation, the fourth power of that
  below, at any level.
- The music plays at the loudness that it has in any player: −14 LUFS lies where the standard's
  full-scale sine has 92 dB SPL.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.fourier import rfft
from nitido.dsp.loudness import integrated_lufs
from nitido.dsp.spectral import fft_size, hann
from nitido.dsp.wav import Wav
from nitido.metrics import fidelity

Array = NDArray[np.float32]

FRAME_SECONDS = 0.043  # 2048 samples at 48 kHz, half of it apart, as in the standard
SINE_DB_SPL = 92.0  # of full scale
PLAYED_LUFS = -14.0
SILENT = 1e-7  # mean square once played at that loudness: 56 dB under the music
BAND_BARK = 0.5
RANGE_HZ = (20.0, 18_000.0)
RISING_DB, FALLING_DB, FALLING_DB_HZ = 27.0, 10.0, 230.0  # per Bark, at 70 dB; last one over f
EXPONENT = 0.23
HEARD_DB, HEARD_POWER = 1.0, 4  # difference of excitation that half of the listeners hear
USUAL_SECONDS = 3.0  # of sound before, from which the usual level of a band is taken
USUAL_EVERY = 4  # frames, of which one is looked at for it
USUAL_MARGIN_DB = 3.0  # faults lift it by that much, and under a fault there may be less than usual
PART_FRAMES = 32  # transformed at once; bounds the memory, not the result
SHADOW_BARK = (1.0, 2.0)  # a fault excites the ear that far below and above its own band


def music_taken_sone(*, estimate: Wav, reference: Wav, sample_rate: int) -> float | None:
    """Return how much of the reference the ear misses in the estimate, or hears beside it, sones.

    0 if equal; the loudness of the reference, 10 to 50 sones for music, if nothing is left of it.
    Both play at one loudness, so a mere gain does not count, nor do noise and holes that the music
    masks, nor phases. RMS over the frames in which there is sound, so that a short loss counts;
    mean over the channels. None where the reference is silence.

    Args:
        estimate: `[C, T]`.
        reference: `[C, T]`.
        sample_rate: Hz.

    Raises:
        AudioShapeError: their shapes differ, or there are no samples.

    Source: ITU-R BS.1387-2; the module says in what it differs.
    """
    fidelity.validate(estimate=estimate, reference=reference)
    if not reference.any():
        return None
    lufs, own_lufs = (integrated_lufs(w, sample_rate=sample_rate) for w in (reference, estimate))
    meter = MusicTakenMeter(sample_rate, loudness_lufs=lufs)
    if lufs is not None and own_lufs is not None and lufs != own_lufs:
        estimate = estimate * np.float32(10 ** ((lufs - own_lufs) / 20))
    meter.update(reference, estimate)
    return meter.finish()


class MusicTakenMeter:
    """`music_taken_sone` of two streams `[C, n]`, block by block.

    Where a fault is mended, what it was is not music: in the band of the fault, what stands out
    above that band's usual level (mean of the decibels of the last 3 s of sound, less 3 dB) may be
    taken down to it, and does not count. What falls below that level, what rises, and all that
    changes elsewhere, counts.
    """

    def __init__(
        self,
        sample_rate: int,
        *,
        loudness_lufs: float | None,
        fault_hz: tuple[float, float] | None = None,
    ) -> None:
        """Prepare for one piece.

        Args:
            sample_rate: Hz.
            loudness_lufs: of the piece as it was; None: it has none, and is taken as it comes.
            fault_hz: band in which a fault is mended; None: everything counts.
        """
        self._ear = ear(sample_rate)
        self._n_fft = self._ear.n_fft
        played_db = 0.0 if loudness_lufs is None else PLAYED_LUFS - loudness_lufs
        self._gain = np.float32(10 ** (played_db / 20))
        self._faulty = np.zeros(len(self._ear.centres), bool)
        if fault_hz is not None:
            low, high = bark(np.array(fault_hz))
            self._faulty = self._ear.centres > low - SHADOW_BARK[0]
            self._faulty &= self._ear.centres < high + SHADOW_BARK[1]
        apart = USUAL_EVERY * self._n_fft // 2
        self._smooth = np.float32(apart / (USUAL_SECONDS * sample_rate))
        self._usual: Array | None = None  # log of the excitation `[C, Z]`
        self._squares, self._frames, self._seen = 0.0, 0, 0
        self._rest = (np.zeros((1, 0), np.float32), np.zeros((1, 0), np.float32))

    def update(self, before: Wav, after: Wav) -> None:
        """Take the next samples of both streams, `[C, n]` each."""
        held, held_after = self._rest
        if held.shape[1]:
            before = np.concatenate([held, before], axis=1)
            after = np.concatenate([held_after, after], axis=1)
        n_fft, hop = self._n_fft, self._n_fft // 2
        frames = (before.shape[1] - n_fft) // hop + 1
        if frames > 0:
            self._add(before, after)
            before, after = before[:, frames * hop :], after[:, frames * hop :]
        self._rest = (before.copy(), after.copy())

    def finish(self) -> float:
        """Return the music taken, sones, after the last block; what is left is mirrored."""
        before, after = self._rest
        if before.shape[1] and (not self._frames or before.shape[1] > self._n_fft // 2):
            pad = ((0, 0), (0, self._n_fft - before.shape[1]))
            self._add(np.pad(before, pad, "symmetric"), np.pad(after, pad, "symmetric"))
        self._rest = (before[:, :0], after[:, :0])
        return float(np.sqrt(self._squares / max(self._frames, 1)))

    def _add(self, before: Wav, after: Wav) -> None:
        hop = self._n_fft // 2
        halves = [w[:, : w.shape[1] // hop * hop].reshape(len(w), -1, hop) for w in (before, after)]
        powers = [np.einsum("cnt,cnt->n", half, half) for half in halves]
        differs = (halves[0] != halves[1]).any(axis=(0, 2))
        power, differs = np.maximum(*powers), differs[1:] | differs[:-1]
        power = (power[1:] + power[:-1]) * self._gain**2
        sounding = power > SILENT * len(before) * self._n_fft
        self._frames += int(sounding.sum())
        typical = (self._seen + np.arange(len(sounding))) % USUAL_EVERY == 0
        typical &= sounding & bool(self._faulty.any())
        self._seen += len(sounding)
        needed = sounding & (differs | typical)
        if not needed.any():
            return
        was, usual = self._ear.excitation(before * self._gain, needed), None
        if self._faulty.any():
            usual = self._usual_before(was, typical[needed])[:, differs[needed]]
            was = was[:, differs[needed]]
        now = self._ear.excitation(after * self._gain, needed & differs)
        if usual is not None:
            was = np.clip(now, np.where(self._faulty, np.minimum(usual, was), was), was)
        by_frame = self._ear.difference(now, was).sum(axis=2).mean(axis=0)
        self._squares += float(np.square(by_frame, dtype=np.float64).sum())

    def _usual_before(self, excitation: Array, typical: NDArray[np.bool_]) -> Array:
        """Return what each band had in the typical frames before each frame, `[C, N, Z]`."""
        level = np.log(excitation)
        before = np.empty_like(level)
        usual = level[:, 0] if self._usual is None else self._usual
        for number in range(level.shape[1]):
            before[:, number] = usual
            if typical[number]:
                usual = usual + self._smooth * (level[:, number] - usual)
        self._usual = usual
        return np.asarray(np.exp(before) * np.float32(10 ** (-USUAL_MARGIN_DB / 10)))


class Ear(NamedTuple):
    """What turns the power spectrum of a frame into excitation and loudness.

    Attributes:
        n_fft: of the frame.
        centres: of the bands, Bark, `[Z]`.
        spread: from |X|² to the excitation, `[F, Z]`; bins above the last band are left out.
        noise: of the ear itself, `[Z]`.
        scale: of the specific loudness, `[Z]`; their sum is sones.
        share: of the excitation over the threshold, `[Z]`.
        rest: 1 less the share that the threshold is of what it masks, `[Z]`.
    """

    n_fft: int
    centres: NDArray[np.float64]
    spread: Array
    noise: Array
    scale: Array
    share: Array
    rest: Array

    def excitation(self, wav: Wav, needed: NDArray[np.bool_] | None = None) -> Array:
        """Return the excitation `[C, N, Z]` of the frames in `wav`, or of those that are needed.

        Powers re 0 dB SPL, where a full-scale sine has `SINE_DB_SPL`.
        """
        frames = np.lib.stride_tricks.sliding_window_view(wav, self.n_fft, axis=1)
        frames = frames[:, :: self.n_fft // 2]
        at = np.arange(frames.shape[1]) if needed is None else np.flatnonzero(needed)
        found = np.empty((len(wav), len(at), self.spread.shape[1]), np.float32)
        for start in range(0, len(at), PART_FRAMES):
            part = slice(start, start + PART_FRAMES)
            spec = rfft(frames[:, at[part]] * hann(self.n_fft))
            spec = spec[:, :, : len(self.spread)]
            found[:, part] = (spec.real**2 + spec.imag**2) @ self.spread + self.noise
        return found

    def difference(self, excitation: Array, other: Array) -> Array:
        """Return what the ear hears of the difference of two excitations `[…, Z]`, sones."""
        heard = (10 / HEARD_DB) * np.log10(excitation / other)
        chance = 1 - np.exp2(-(heard**HEARD_POWER))
        return np.asarray(chance * np.abs(self.loudness(excitation) - self.loudness(other)))

    def loudness(self, excitation: Array) -> Array:
        """Return the specific loudness `[…, Z]` of an excitation `[…, Z]`, sones per band."""
        over = np.maximum(self.rest + self.share * excitation, np.float32(1.0))
        return self.scale * (over ** np.float32(EXPONENT) - np.float32(1.0))


def bark(frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the place on the Bark scale of BS.1387.

    >>> bark(np.array([0.0, 1000.0])).round(2).tolist()
    [0.0, 8.51]
    """
    return np.asarray(7 * np.arcsinh(frequency_hz / 650), np.float64)


@lru_cache(maxsize=8)
def ear(sample_rate: int) -> Ear:
    """Return the ear for sound at that rate.

    Source: ITU-R BS.1387-2, annex 2, 2.1.3 to 2.1.8 and 3.3; Zwicker and Fastl, Psychoacoustics.
    """
    n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
    low, high = bark(np.array(RANGE_HZ))
    bands = int((high - low) / BAND_BARK)
    edges = low + BAND_BARK * np.arange(bands + 1)
    edges_hz = 650 * np.sinh(edges / 7)
    centres = edges[:-1] + BAND_BARK / 2
    centres_hz = 650 * np.sinh(centres / 7)
    khz = centres_hz / 1000

    bin_hz = sample_rate / n_fft
    bins = np.arange(min(n_fft // 2 + 1, int(edges_hz[-1] / bin_hz) + 2))
    lower, upper = (bins - 0.5) * bin_hz, (bins + 0.5) * bin_hz
    inside = np.minimum(upper[:, None], edges_hz[1:]) - np.maximum(lower[:, None], edges_hz[:-1])
    inside = np.clip(inside / bin_hz, 0, None)
    # A full-scale sine has Σ|X|² = 1.5 (n_fft / 4)² over the bins of its main lobe.
    inside *= 10 ** (SINE_DB_SPL / 10) / (1.5 * (n_fft / 4) ** 2)
    weight_db = -2.184 * khz**-0.8 + 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) - 0.001 * khz**3.6
    inside *= 10 ** (weight_db / 10)

    away = BAND_BARK * (np.arange(bands) - np.arange(bands)[:, None])  # from a band to another
    falling = (FALLING_DB + FALLING_DB_HZ / centres_hz)[:, None]
    slopes = 10 ** (np.where(away < 0, RISING_DB * away, -falling * away) / 10)
    slopes /= slopes.sum(axis=1, keepdims=True)

    threshold = 10 ** (0.364 * khz**-0.8)
    index = 10 ** (
        0.1 * (-2 - 2.05 * np.arctan(khz / 4) - 0.75 * np.arctan((centres_hz / 1600) ** 2))
    )
    scale = 1.07664 * (threshold / (index * 1e4)) ** EXPONENT * 24 / bands
    plain = (inside @ slopes, 10 ** (0.1456 * khz**-0.8), scale, index / threshold, 1 - index)
    return Ear(n_fft, centres, *(np.asarray(values, np.float32) for values in plain))
