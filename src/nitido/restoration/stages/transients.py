"""Transients: lifts the attack of drums and plucks, never steady sound.

The percussive part p of the signal is found by median filtering of the spectrogram: sounds that
last are lines along time, strokes are lines along frequency. The result is x + (g − 1)·p with a
gain g over time that is 1 until a stroke begins (to 1.3 ms), so nothing can sound before it.

Source: D. Fitzgerald, Harmonic/percussive separation using median filtering, DAFx 2010.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.spectral import Frames, band, fft_size
from nitido.dsp.wav import Wav
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

Array = NDArray[np.float32]

FRAME_SECONDS = 0.0427  # 2048 samples at 44.1 and 48 kHz; four frames overlap
TIME_STEP = 2  # the median over time takes every 2nd of 13 frames (0.14 s): a stroke fills 2 of 7
BIN_STEP = 4  # the median over frequency takes every 4th of 25 bins (0.6 kHz): a partial fills 1
MEDIAN_REACH = 3  # … that is, 3 on either side

CONTROL_SECONDS = 1 / 750  # 64 samples at 48 kHz
BEFORE_SECONDS = 0.025  # a stroke is held against this long before it
HOLD_SECONDS = 0.005  # the attack, lifted in full …
RELEASE_SECONDS = 0.04  # … and the way back
RISE_DB = (6.0, 12.0)  # rise of the percussive energy: no stroke … surely one
HEARD_DB = (1.0, 3.0)  # rise of the energy of all the sound: hidden … heard
FLUX_DB = (3.0, 6.0)  # rise of the percussive spectrum, mean over bands: no stroke … surely one
FLUX_BANDS_HZ = (150, 300, 600, 1000, 1600, 2500, 4000, 6000, 9000, 13_000, 20_000)


class Transients(Stage):
    """Lifts the first milliseconds of strokes that rise out of what was before."""

    name: ClassVar[str] = "transients"
    summary: ClassVar[str] = "sharpens the attack of drums and plucks"
    schema: ClassVar[Mapping[str, Setting]] = {
        "gain_db": Setting(3.0, "lift of the percussive part at a sure onset", (0.0, 12.0), "dB"),
        "amount": Setting(1.0, "scales the lift", (0.0, 2.0)),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=18.0, turn_down="amount")

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """Sharpen if a neural decoder was here, which its comb gives away."""
        settings = dict(settings)
        gain_db = settings["gain_db"] * settings["amount"]
        if not diagnosis["comb"].found:
            reason = "no trace of a neural decoder, so attacks are as they were played"
        elif gain_db == 0:
            reason = "gain is 0"
        else:
            reason = f"lifts attacks that a neural decoder softened by up to {gain_db:.1f} dB"
            return Step(cls.name, True, reason, settings)
        return Step(cls.name, False, reason, settings)

    @property
    def _frames(self) -> Frames:
        n_fft = fft_size(FRAME_SECONDS, sample_rate=self.sample_rate)
        return Frames(n_fft, n_fft // 4)

    @property
    def _control(self) -> int:
        return max(1, round(CONTROL_SECONDS * self.sample_rate))

    @property
    def context_samples(self) -> int:
        """What the median over time sees, and how far back a stroke and its release reach."""
        frames = self._frames
        median = frames.n_fft + (TIME_STEP * MEDIAN_REACH + 2) * frames.hop_length
        back = round((BEFORE_SECONDS + HOLD_SECONDS + RELEASE_SECONDS) * self.sample_rate)
        return median + frames.n_fft + back + 4 * self._control

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return the sharpened samples, `[C, n]`."""
        first = start - self.context_samples
        frames = self._frames
        spec = frames.analyse(window, first=first)
        mag = np.sqrt((spec.real**2 + spec.imag**2).mean(axis=0))  # [N, F], all channels together
        mask = percussive_mask(mag)
        flux_db = self._flux_db(mask * mag)
        if flux_db.size == 0 or flux_db.max() <= FLUX_DB[0]:
            return self.span(window)
        percussive = frames.synthesise(spec * mask, first=first, length=window.shape[1])
        lift = self._lift(window, percussive, flux_db, first=first)
        return self.span(window) + self.span(percussive * lift)

    def _flux_db(self, mag: Array) -> Array:
        """Return how much the percussive spectrum `[N, F]` rises, mean over bands, dB `[N]`.

        Against the loudest of the frames two to four hops earlier, of which the first shares half
        its samples with the present one.
        """
        n_fft = self._frames.n_fft
        edges = [hz for hz in FLUX_BANDS_HZ if hz < 0.45 * self.sample_rate]
        power = [
            mag[:, band(low, high, n_fft=n_fft, sample_rate=self.sample_rate)] ** 2
            for low, high in pairwise(edges)
        ]
        # The floor is −100 dBFS per band: what nobody hears is no stroke.
        level_db = 10 * np.log10(np.stack([p.sum(axis=1) for p in power]) / n_fft**2 + 1e-10)
        before = np.full_like(level_db, np.inf)
        before[:, 4:] = np.maximum.reduce([level_db[:, 2:-2], level_db[:, 1:-3], level_db[:, :-4]])
        flux_db: Array = np.maximum(level_db - before, 0).mean(axis=0)
        return flux_db

    def _lift(self, window: Wav, percussive: Wav, flux_db: Array, *, first: int) -> Array:
        """Return g − 1 for each sample `[T]`, 0 wherever no stroke has just begun."""
        control, rate = self._control, self.sample_rate
        skip = -first % control  # intervals lie on the grid of the piece
        strength = _between(self._rise_db(percussive[:, skip:]), RISE_DB)
        # The percussive part is smeared over a frame, the signal itself is not: it says when.
        strength *= _between(self._rise_db(window[:, skip:]), HEARD_DB)
        count = len(strength)

        # A frame hears a stroke from half a frame before its centre to half a frame after.
        frames = self._frames
        indices = frames.indices(first, window.shape[1])
        position = first + skip + control * np.arange(count)
        nearest = np.round(position / frames.hop_length).astype(int) - indices.start
        near = [np.clip(nearest + shift, 0, len(indices) - 1) for shift in (-2, -1, 0, 1)]
        strength *= _between(np.maximum.reduce([flux_db[index] for index in near]), FLUX_DB)

        hold = round(HOLD_SECONDS * rate / control)
        release = round(RELEASE_SECONDS * rate / control)
        fall = np.cos(np.pi / 2 * np.arange(1, release) / release) ** 2
        shape = np.concatenate([np.ones(hold), fall])
        padded = np.pad(strength, (len(shape) - 1, 0))
        envelope = np.maximum.reduce(
            [weight * padded[len(shape) - 1 - k :][:count] for k, weight in enumerate(shape)]
        )
        # The gain goes up within the interval in which a stroke begins, so at most 1.3 ms early.
        ends = skip + control * np.arange(1, count + 1)
        curve = np.interp(np.arange(window.shape[1]), ends, envelope)
        peak = 10 ** (self.settings["gain_db"] * self.settings["amount"] / 20) - 1
        lift: Array = (peak * curve).astype(np.float32)
        return lift

    def _rise_db(self, wav: Wav) -> NDArray[np.float64]:
        """Return the energy of each control interval over the most that was shortly before, dB.

        Before is 25 to 5 ms earlier, so an attack may take 5 ms. The energy is that of the
        differences from sample to sample, all channels together: a loud hum hides no stroke.
        """
        control = self._control
        count = wav.shape[1] // control
        change = np.diff(wav[:, : count * control].reshape(-1, count, control), axis=2)
        energy = (change**2).sum(axis=(0, 2), dtype=np.float64) + 1e-9 * control  # −90 dBFS
        attack = round(HOLD_SECONDS * self.sample_rate / control)
        reach = round(BEFORE_SECONDS * self.sample_rate / control)
        padded = np.pad(energy, (reach, 0), mode="edge")
        before = np.lib.stride_tricks.sliding_window_view(padded[:-attack], reach - attack + 1)
        rise_db: NDArray[np.float64] = 10 * np.log10(energy / before.max(axis=1))
        return rise_db


def percussive_mask(mag: Array) -> Array:
    """Return the share 0…1 of each bin of `mag` `[N, F]` that belongs to strokes (Wiener mask)."""
    harmonic = median_of_7(mag, TIME_STEP, axis=0) ** 2
    percussive = median_of_7(mag, BIN_STEP, axis=1) ** 2
    mask: Array = percussive / (percussive + harmonic + np.float32(1e-12))
    return mask


def median_of_7(mag: Array, step: int, *, axis: int) -> Array:
    """Return the median of each value and its neighbours at 1, 2, 3 steps on either side.

    Neighbours beyond the edge are mirrored. Sorting by exchanges (Devillard's network for seven)
    works on whole arrays and is some ten times as fast as a general median filter.
    """
    reach = MEDIAN_REACH * step
    width = [(0, 0), (0, 0)]
    width[axis] = (reach, reach)
    size = mag.shape[axis]
    padded = np.pad(mag, width, mode="symmetric") if size else mag
    along = padded.swapaxes(0, axis)
    v = [along[k * step : k * step + size] for k in range(7)]
    for a, b in ((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6)):
        v[a], v[b] = np.minimum(v[a], v[b]), np.maximum(v[a], v[b])
    for a, b in ((2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4)):
        v[a], v[b] = np.minimum(v[a], v[b]), np.maximum(v[a], v[b])
    return v[3].swapaxes(0, axis)


def _between(value: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.float64]:
    """Return 0 below the limits, 1 above, straight between."""
    share: NDArray[np.float64] = np.interp(value, limits, (0.0, 1.0))
    return share
