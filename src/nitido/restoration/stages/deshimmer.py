"""Calm flickering treble: bins that jump further than those of noise do are brought back.

What a bin was before a coder made it jump is not known; how loud the band was is, and how far the
bins of noise spread around that. So the level over 23 ms and 17 bins stays, to the attack; tones
that last stay; and the rest is drawn together by the share of its spread that noise has not. Where
nothing flickers, little changes. New noise at the right level was tried first: it is farther from
the original than what it replaces. Nor does this bring it much nearer: docs/deshimmer.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.spectral import Frames, band, fft_size, running_mean
from nitido.dsp.wav import Wav
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step
from nitido.restoration.stages.transients import Array, median_of_7

BAND_HZ = (4_500.0, 15_000.0)
EDGE_HZ = 1_000.0  # in which it sets in
FRAME_SECONDS = 0.0232
LEVEL_BINS = 17  # over which the level is read
TONE_STEP = 4  # the median over time takes every 4th of 25 frames, 0.14 s: what lasts is a tone
SPREAD_SECONDS, SPREAD_BINS = 0.25, 33  # over which it is read how far the bins are apart
SPREAD_MAX_DB = 30.0
PULL = 2.0  # of the excess: half of it hides in what the spread is read from


class Deshimmer(Stage):
    """Draws the bins of the treble together where they jump further than those of noise."""

    name = "deshimmer"
    summary = "calms treble that flickers"
    schema: ClassVar[Mapping[str, Setting]] = {
        "amount": Setting(1.0, "share of the flicker that is taken", (0.0, 1.0)),
        "spread_db": Setting(
            5.06, "how far bins jump where nothing flickers: as in noise", (1.0, 20.0), "dB"
        ),
    }
    budget = Budget(si_sdr_db=30.0, taken_sone=0.1, fault_hz=BAND_HZ)

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """On where shimmer was found."""
        finding = diagnosis["shimmer"]
        if not finding.found:
            return Step(cls.name, False, "the treble does not flicker", settings)
        reason = f"{finding.value:.1f} % of the treble flickers"
        return Step(cls.name, True, reason, settings)

    def __init__(
        self, settings: Settings, *, sample_rate: int, channels: int, samples: int
    ) -> None:
        super().__init__(settings, sample_rate=sample_rate, channels=channels, samples=samples)
        n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        self._frames = Frames(n_fft, n_fft // 4)
        low_hz, high_hz = BAND_HZ
        high_hz = min(high_hz, sample_rate / 2)
        self._band = band(low_hz, high_hz, n_fft=n_fft, sample_rate=sample_rate)
        hz = np.arange(self._band.start, self._band.stop) * sample_rate / n_fft
        ramp = np.minimum(hz - low_hz, high_hz - hz) / EDGE_HZ
        self._share: Array = (np.clip(ramp, 0, 1) * settings["amount"]).astype(np.float32)
        self._spread = round(SPREAD_SECONDS * sample_rate / self._frames.hop_length) | 1

    @property
    def context_samples(self) -> int:
        """How far the spread and the tones reach, and the frames at the ends."""
        frames = self._spread // 2 + 3 * TONE_STEP + 2
        return frames * self._frames.hop_length + 2 * self._frames.n_fft

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return the samples from `start` on, `[C, n]`, with less flicker."""
        if not len(self._share):
            return self.span(window)
        first = start - self.context_samples
        spec = self._frames.analyse(window, first=first)
        inside = spec[:, :, self._band]
        change = np.zeros_like(spec)
        # All channels alike, so that nothing moves between them.
        power = (inside.real**2 + inside.imag**2).mean(axis=0)
        change[:, :, self._band] = inside * (self._gain(power) - 1)
        return self.span(
            window + self._frames.synthesise(change, first=first, length=window.shape[1])
        )

    def _gain(self, power: Array) -> Array:
        """Return the gain for each power of the band, `[N, K]`."""
        if not len(power):
            return power
        log = 10 * np.log10(power + np.float32(1e-14))
        fine = log - running_mean(log, LEVEL_BINS, axis=1)
        jump = np.clip(fine - median_of_7(fine, TONE_STEP, axis=0), -SPREAD_MAX_DB, SPREAD_MAX_DB)
        spread = running_mean(running_mean(jump**2, SPREAD_BINS, axis=1), self._spread, axis=0)
        usual = self.settings["spread_db"] ** 2
        excess = np.clip(PULL * (1 - usual / np.maximum(spread, usual)), 0, 1)
        gain = 10 ** (-excess * self._share * jump / 20)
        # The level is that of the power, not of its log.
        level = running_mean(power, LEVEL_BINS, axis=1) / (
            running_mean(power * gain**2, LEVEL_BINS, axis=1) + 1e-16
        )
        return np.asarray(1 + (gain * np.sqrt(level) - 1) * (excess * self._share > 0), np.float32)
