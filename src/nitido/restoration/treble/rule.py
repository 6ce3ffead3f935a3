"""Treble by rule: what is above the ceiling follows what is just below.

In music the level falls by about 2.5 dB per kHz towards the top, whatever the ceiling (median over
50 pieces of clean music and ceilings from 4 to 16 kHz: 2.0 to 2.4; a little less is safer than a
little more). So the level of the band below the ceiling, frame by frame, is carried on at that
slope, on noise where that band is noise and on that band itself, moved up, where it is tones.
Treble that was never there is what harms: where the music gives no sign of a top octave, a gate
keeps it silent.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.bandwidth import REFERENCE_BAND
from nitido.dsp.spectral import Frames, Spec, band, fft_size, noise_power, running_mean
from nitido.dsp.wav import Wav
from nitido.restoration.stage import Settings
from nitido.restoration.treble.levels import opened

FRAME_SECONDS = 0.0107  # n_fft 512 at 48 kHz: a hi-hat does not smear
TOP_HZ = 22_000.0
TONALITY_SECONDS = 0.1  # over which tones are told from noise
LEFT_FRAMES, LEFT_BINS = 3, 5  # over which what is left above the crossover is read
NOISE_TILE_FRAMES = 256  # one random generator each, so noise does not depend on the cutting
# Frames of independent noise add up to 1/1.5 of their power after overlap-add, but frames of a
# signal carry only 3/8 of it: the noise needs 1.5 · 8/3 = 4 times the power, twice the amplitude.
NOISE_GAIN = 2.0

Levels = NDArray[np.float32]


class RuleTreble:
    """Adds treble above a crossover by carrying on the level below it."""

    def __init__(self, settings: Settings, *, sample_rate: int) -> None:
        """Bind the rule to a piece, with the settings of the stage ``bandwidth``."""
        self.settings = settings
        n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        self._frames = Frames(n_fft, n_fft // 4)
        self._bin_hz = sample_rate / n_fft
        self._noise_power = noise_power(n_fft, sample_rate=sample_rate)
        self._smooth = round(TONALITY_SECONDS * sample_rate / self._frames.hop_length) | 1
        low, high = (share * settings["ceiling_hz"] for share in REFERENCE_BAND)
        self._reference = band(low, high, n_fft=n_fft, sample_rate=sample_rate)
        self._reference_hz = (low + high) / 2
        top = min(TOP_HZ, 0.46 * sample_rate)
        # Two bins further up than the crossover: the main lobe of a Hann window reaches so far.
        self._added = band(
            settings["crossover_hz"] + 2 * self._bin_hz, top, n_fft=n_fft, sample_rate=sample_rate
        )

    @property
    def context_samples(self) -> int:
        """Half of the time over which tones are told from noise, and the frames at its ends."""
        return (self._smooth // 2 + 2) * self._frames.hop_length + 2 * self._frames.n_fft

    def treble(self, window: Wav, *, first: int) -> Wav:
        """Return what to add to a window `[C, T]` whose first sample is `first` of the piece."""
        if self._added.stop <= self._added.start or self._reference.stop <= self._reference.start:
            return np.zeros_like(window)
        spec = self._frames.analyse(window, first=first)
        power = spec.real**2 + spec.imag**2
        index = self._frames.indices(first, window.shape[1]).start
        added, carrier = np.zeros_like(spec), self._carrier(spec, power, index)
        np.multiply(carrier, self._level(power), out=added[:, :, self._added])
        return self._frames.synthesise(added, first=first, length=window.shape[1])

    def _level(self, power: Levels) -> Levels:
        """Return the magnitude that belongs above the crossover, `[C, N, K]`."""
        left = running_mean(power[:, :, self._added], LEFT_FRAMES, axis=1)
        power = power[:, :, self._reference].mean(axis=2)
        hz = np.arange(self._added.start, self._added.stop) * self._bin_hz
        above_hz = np.maximum(hz - self._reference_hz, 0.0)
        slope_db = self.settings["slope_db_per_khz"] * above_hz / 1000
        rise = (hz - self.settings["crossover_hz"] - 2 * self._bin_hz) / (2 * self._bin_hz)
        shape = 10 ** (slope_db / 20) * np.clip(rise, 0.0, 1.0) * self.settings["amount"]
        # The gate looks at 43 ms, so that it opens for a sound and not for a fluctuation.
        smooth = running_mean(power, 13, axis=1)
        level_db = 10 * np.log10(np.maximum(smooth / self._noise_power, 1e-20))
        gate = opened(level_db - self.settings["rms_db"], self.settings["gate_db"])
        wanted = (power * gate**2)[:, :, None] * shape.astype(np.float32) ** 2
        # Something is left there, around the ceiling and as a coder's or a resampler's residue: add
        # what is missing, no hole, no bump at the seam. It is read close by, so that a burst that a
        # coder kept throws no dark outline on what is added beside it.
        left = running_mean(left, LEFT_BINS, axis=2)
        return np.asarray(np.sqrt(np.maximum(wanted - left, 0.0)), np.float32)

    def _carrier(self, spec: Spec, power: Levels, index: int) -> Spec:
        """Return what to shape, `[C, N, K]`, mean power 1: noise and the band below, moved up."""
        source = self._source_bins()
        low, high = int(source.min()), int(source.max()) + 1
        envelope = running_mean(power[:, :, low:high], min(13, high - low), axis=2)
        tonal = self._tonality(power)[:, :, None]
        gain = np.sqrt(tonal / np.maximum(envelope, 1e-20))
        carrier = np.asarray((spec[:, :, low:high] * gain).take(source - low, axis=2), np.complex64)
        carrier += self._noise(spec.shape[0], spec.shape[1], index, np.sqrt(1 - tonal))
        return carrier

    def _source_bins(self) -> NDArray[np.int64]:
        """Return for each added bin the bin below the crossover that it is copied from.

        Moved by a multiple of 4 bins a copy keeps its phase from frame to frame: the hop is a
        quarter of the frame.
        """
        target = np.arange(self._added.start, self._added.stop)
        move = max(4, int(0.42 * self.settings["crossover_hz"] / self._bin_hz) // 4 * 4)
        times = np.ceil((target - self._added.start + 1) / move).astype(int)
        return np.asarray(np.maximum(target - times * move, 1), np.int64)

    def _tonality(self, power: Levels) -> Levels:
        """Return how tonal the reference band is, `[C, N]`, 0 for noise to 1 for steady tones.

        One minus the spectral flatness of its power, averaged over 0.1 s: noise averages out flat.
        """
        power = running_mean(power[:, :, self._reference], self._smooth, axis=1)
        power = np.maximum(power, 1e-20)
        flatness = np.exp(np.log(power).mean(axis=2)) / power.mean(axis=2)
        # Nine independent frames of noise average to a flatness of about 0.9.
        return np.asarray(np.clip((0.9 - flatness) / 0.6, 0.0, 1.0), np.float32)

    def _noise(self, channels: int, frames: int, index: int, gain: Levels) -> Spec:
        """Return noise `[C, N, K]`, mean power 1 after overlap-add, for frames from `index` on.

        Times a gain `[C, N, 1]`.
        """
        count = self._added.stop - self._added.start
        first = index // NOISE_TILE_FRAMES
        last = (index + frames - 1) // NOISE_TILE_FRAMES
        tiles = [_noise_tile(tile, channels, count) for tile in range(first, last + 1)]
        noise = np.concatenate(tiles)[index - first * NOISE_TILE_FRAMES :][:frames]
        noise *= np.float32(NOISE_GAIN / np.sqrt(2)) * gain.transpose(1, 0, 2)[..., None]
        return noise.view(np.complex64)[..., 0].transpose(1, 0, 2)


@lru_cache(maxsize=2)  # windows overlap by less
def _noise_tile(tile: int, channels: int, count: int) -> Levels:
    """Return noise for some frames, `[NOISE_TILE_FRAMES, C, K, 2]`, read-only."""
    random = np.random.Generator(np.random.Philox(key=[tile + 1, 0x6E697469]))
    noise = random.standard_normal((NOISE_TILE_FRAMES, channels, count, 2), np.float32)
    noise.flags.writeable = False
    return noise
