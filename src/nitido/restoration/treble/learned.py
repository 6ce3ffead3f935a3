"""The learned treble: a network tells the level of every band, presence and the share of tones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.spectral import Spec, band, noise_power, running_mean
from nitido.dsp.wav import Wav
from nitido.restoration.stage import Settings
from nitido.restoration.treble.carrier import beat, moved_up, noise
from nitido.restoration.treble.levels import (
    BANDS,
    ENVELOPE_HZ,
    ENVELOPES,
    FLOOR_DB,
    PER_ENVELOPE,
    SLOPE_DB_PER_KHZ,
    Levels,
    band_levels,
    crossover_band,
    envelopes,
    frames_at,
    network_input,
    opened,
    reference_band,
)

TOP_HZ = 22_000.0
# How far to go from the rule's level to the network's, where it is sure that there was sound. All
# of the way is too far on music unlike what it was trained on: further gains a little on most and
# loses more on the rest. For the same reason the rule's gate, not the network's presence, decides
# when there is treble at all (weights/bandwidth.md).
TRUST = 0.6
# The middle between two uncertain answers swings less than the music does: what it rises and falls
# within half a second is made larger by this share, on either side by two decibels at most, so
# that nothing jumps where a note follows silence.
SWING, SWING_FRAMES, SWING_LIMIT_DB = 0.25, 47, 2.0
STEEPEST_DB_PER_KHZ = -6.0  # that is carried on: what falls faster comes to rest further up
REFERENCE = (0.6, 1.0)  # of the crossover: the band that the noise beats with
FADE_SECONDS = 0.005
RISE_BINS = 2  # over which the treble sets in above the crossover: more leaves a hole
GUARD_BINS = 2  # the main lobe of a Hann window reaches so far
GATE_FRAMES = 3  # over which the level is taken that opens the gate
FILL_WIDTH = 0.3  # of the probability around one half
HOLES_FROM_HZ = 2_000.0
HOLE_DB = -55.0  # a band that is fainter may be a hole, dB re white noise of the piece's RMS
HOLE_DEPTH_DB = 12.0  # and is one where the network says so much more
SMOOTH_BINS = 25  # over which what is left above the crossover is measured


@dataclass(frozen=True)
class Prediction:
    """What the network says, frame by frame.

    Attributes:
        level: `[C, N, 64]`, dB re white noise of the piece's RMS.
        presence: `[C, N, 64]`, probability.
        tonality: `[C, N, 64]`, 0 to 1.
        gate: `[C, N, 64]`, gain of what is added above the crossover.
    """

    level: Levels
    presence: Levels
    tonality: Levels
    gate: Levels

    def between(self, frames: slice) -> Prediction:
        """Return what it says of some of the frames."""
        fields = (self.level, self.presence, self.tonality, self.gate)
        return Prediction(*(values[:, frames] for values in fields))


class LearnedTreble:
    """Adds treble above a crossover as a network predicts it."""

    def __init__(self, session: Any, settings: Settings, *, sample_rate: int, samples: int) -> None:
        """Bind the network to a piece, with the settings of the stage ``bandwidth``."""
        self._session = session
        self._samples = samples
        self._rate = sample_rate
        self._amount = settings["amount"]
        self._crossover_hz = crossover_hz = settings["crossover_hz"]
        self._rms_db = settings["rms_db"]
        self._gate_db = settings["gate_db"]
        self._frames = frames_at(sample_rate)
        self._bin_hz = sample_rate / self._frames.n_fft
        self._crossover = int(crossover_hz / self._bin_hz)
        top = min(TOP_HZ, 0.46 * sample_rate)
        low = (self._crossover + GUARD_BINS + 1) * self._bin_hz
        self._added = band(low, top, n_fft=self._frames.n_fft, sample_rate=sample_rate)
        # Music that falls steeply already below the ceiling had little above it. The network was
        # not told of the slope that the stage found: the rule that it is held against is. Music
        # falls by so much per octave, not per kHz, and the slope is that at the ceiling.
        hz = (np.arange(ENVELOPES) + 0.5) * ENVELOPE_HZ
        slope = max(settings["slope_db_per_khz"], STEEPEST_DB_PER_KHZ) - SLOPE_DB_PER_KHZ
        self._steeper = slope * crossover_hz / 1000 * np.log(np.maximum(hz / crossover_hz, 1))
        self._fills = settings["holes"]
        bottom = min(HOLES_FROM_HZ, crossover_hz) / self._bin_hz
        self._inside = slice(int(bottom), self._crossover - GUARD_BINS)
        meta = session.get_modelmeta().custom_metadata_map
        self._reach_frames = int(meta["context_frames"]) + SWING_FRAMES // 2

    @property
    def context_samples(self) -> int:
        """The reach of the network and of the swing, and the frames at its ends."""
        return (self._reach_frames + 10) * self._frames.hop_length + 2 * self._frames.n_fft

    def treble(self, window: Wav, *, first: int) -> Wav:
        """Return what to add to a window `[C, T]` whose first sample is `first` of the piece.

        The network's reach at both ends of the window is heard, and gets nothing added.
        """
        side = self._reach_frames * self._frames.hop_length
        length = window.shape[1] - 2 * side
        out = np.zeros_like(window)
        if length < self._frames.n_fft or self._added.stop <= self._added.start:
            return out
        start = self._frames.indices(first, window.shape[1]).start
        inner = self._frames.indices(first + side, length)
        chosen = slice(inner.start - start, inner.stop - start)
        inside = slice(side, side + length)
        white = noise(length, channels=len(window), start=first + side)
        for channel in range(len(window)):  # one by one: half of the memory
            own = slice(channel, channel + 1)
            spec = self._frames.analyse(window[own], first=first)
            levels = band_levels(spec, sample_rate=self._rate, rms_db=self._rms_db)
            predicted = self.predict(levels).between(chosen)
            out[own, inside] = self._sound(
                white[own], spec[:, chosen], levels[:, chosen], predicted, first + side
            )
        return out

    def _sound(
        self, white: Wav, spec: Spec, levels: Levels, predicted: Prediction, first: int
    ) -> Wav:
        """Return the treble `[C, T]` from sample `first` on, as it was predicted for its frames.

        Made of white noise `[C, T]`, and of the tones of the spectra.
        """
        index = self._frames.indices(first, white.shape[1]).start
        hiss = self._hiss(spec, white, first)
        tones = moved_up(spec, self._added, self._crossover, self._frames, index=index)
        share = self._over_bins(predicted.tonality, self._added)
        carrier = np.sqrt(share) * tones + np.sqrt(1 - share) * hiss[:, :, self._added]
        added = np.zeros_like(spec)
        added[:, :, self._added] = carrier * self._above(spec, predicted)
        if self._fills:
            holes = self._holes(levels, predicted)
            if holes.any():
                bins = np.arange(self._inside.start, self._inside.stop)
                gate = holes[:, :, (bins * self._bin_hz // ENVELOPE_HZ).astype(int)]
                gate *= np.sqrt(self._power(predicted.level, self._inside))
                added[:, :, self._inside] = hiss[:, :, self._inside] * gate
        wav = self._frames.synthesise(added, first=first, length=white.shape[1])
        return wav * self._ends(first, white.shape[1])

    def _ends(self, first: int, length: int) -> Levels:
        """Return the gain of the treble, `[T]`: a piece that begins or ends loud gets no click."""
        fade = round(FADE_SECONDS * self._rate)
        if fade < first and first + length < self._samples - fade:
            return np.full(length, self._amount, np.float32)
        at = np.arange(first, first + length)
        inside = np.minimum(at, self._samples - 1 - at) / (FADE_SECONDS * self._rate)
        return np.asarray(self._amount * np.sin(np.pi / 2 * np.clip(inside, 0, 1)) ** 2, np.float32)

    def predict(self, levels: Levels) -> Prediction:
        """Return what the network makes of levels `[C, N, 256]`."""
        crossover = crossover_band(self._crossover_hz)
        seen = network_input(levels, crossover)
        out = self._session.run(None, {"seen": seen.transpose(0, 2, 1).astype(np.float32)})[0]
        said, presence, tonality = np.split(out.transpose(0, 2, 1), 3, axis=2)
        rule = np.maximum(seen[:, :, 2 * BANDS :] + self._steeper / 20, FLOOR_DB / 20)
        there = _sigmoid(presence)
        reference = self._reference(levels, crossover)
        expected, sure = self._expected(said, there, crossover)
        # Where the band below the ceiling is itself a hole it says nothing about what was above:
        # the network's word for it goes through the same gate, so faint sound stays out.
        empty = self._fills & (reference < HOLE_DB) & sure
        below = np.arange(ENVELOPES) < crossover // PER_ENVELOPE
        trust = np.where(below, 1.0, np.where(empty[:, :, None], 1.0, TRUST) * there)
        level = np.asarray(20 * (rule + trust * (said - rule)), np.float32)
        sound = np.asarray((levels > FLOOR_DB).any(axis=2, keepdims=True))
        level = np.where(below, level, _swung(level, sound))
        heard = opened(np.where(empty, expected, reference), self._gate_db)[:, :, None]
        gate = np.asarray(heard * np.where(empty[:, :, None], _filled(there), 1), np.float32)
        return Prediction(level, there, _sigmoid(tonality), gate)

    def _expected(
        self, said: Levels, there: Levels, crossover: int
    ) -> tuple[Levels, NDArray[np.bool_]]:
        """Return the network's level just below the ceiling, dB, and whether it is sure of sound.

        Both `[C, N]`; the level over 32 ms, as the one that is heard there.
        """
        first, last = reference_band(crossover) // PER_ENVELOPE, crossover // PER_ENVELOPE
        bands = slice(first, max(last, first + 1))
        power = (10 ** (2 * said[:, :, bands])).mean(axis=2)
        return _smooth_db(power), there[:, :, bands].mean(axis=2) > 0.5

    def _reference(self, levels: Levels, crossover: int) -> Levels:
        """Return the level just below the ceiling, `[C, N]`, over 32 ms, dB."""
        low = reference_band(crossover)
        power = (10 ** (levels[:, :, low:crossover] / 10)).mean(axis=2)
        return _smooth_db(power)

    def _above(self, spec: Spec, predicted: Prediction) -> Levels:
        """Return the magnitude that belongs above the crossover, `[C, N, K]`."""
        count = self._added.stop - self._added.start
        rise = np.clip((np.arange(count, dtype=np.float32) + 1) / RISE_BINS, 0, 1)
        wanted = (
            self._power(predicted.level, self._added)
            * (self._over_bins(predicted.gate, self._added) * rise) ** 2
        )
        power = spec.real[:, :, self._added] ** 2 + spec.imag[:, :, self._added] ** 2
        left = running_mean(power, SMOOTH_BINS, axis=2)
        return np.asarray(np.sqrt(np.maximum(wanted - left, 0)), np.float32)

    def _holes(self, levels: Levels, predicted: Prediction) -> Levels:
        """Return how far each band below the crossover is a hole to fill, `[C, N, 64]`, 0 to 1.

        A hole is a band in which a coder left next to nothing although the network says that there
        was sound. Elsewhere it is exactly 0: what the coder kept is not touched.
        """
        heard = envelopes(levels)
        hole = (heard < HOLE_DB) & (heard < predicted.level - HOLE_DEPTH_DB)
        return np.asarray(np.where(hole, _filled(predicted.presence), 0), np.float32)

    def _hiss(self, spec: Spec, white: Wav, first: int) -> Spec:
        """Return noise that beats with the music, `[C, N, F]`, mean power 1, of white noise."""
        low, high = (int(share * self._crossover) for share in REFERENCE)
        swell = beat(spec, slice(low, high), self._frames, first=first, length=white.shape[1])
        scale = np.float32(1 / np.sqrt(3 / 8 * self._frames.n_fft))
        return self._frames.analyse(white * swell * scale, first=first)

    def _power(self, level: Levels, bins: slice) -> Levels:
        """Return the power of bins, `[C, N, K]`, from levels in the 64 bands, dB."""
        unit = noise_power(self._frames.n_fft, sample_rate=self._rate) * 10 ** (self._rms_db / 10)
        return np.asarray(unit * 10 ** (self._over_bins(level, bins) / 10), np.float32)

    def _over_bins(self, bands: Levels, bins: slice) -> Levels:
        """Return values of the 64 bands at bins, `[C, N, K]`, straight between their centres."""
        hz = np.arange(bins.start, bins.stop) * self._bin_hz
        at = np.clip(hz / ENVELOPE_HZ - 0.5, 0, ENVELOPES - 1)
        low = np.minimum(at.astype(int), ENVELOPES - 2)
        part = (at - low).astype(np.float32)
        return np.asarray(bands[:, :, low] * (1 - part) + bands[:, :, low + 1] * part, np.float32)


def _swung(level: Levels, sound: NDArray[np.bool_]) -> Levels:
    """Return levels `[C, N, 64]`, dB, that rise and fall more within half a second.

    Frames without any `sound`, `[C, N, 1]`, are silence or outside the piece, and do not count.
    """
    heard = np.concatenate([level * sound, sound], axis=2)
    mean = running_mean(heard, SWING_FRAMES, axis=1)
    slow = mean[:, :, :-1] / np.maximum(mean[:, :, -1:], 0.5 / SWING_FRAMES)
    more = np.clip(SWING * (level - slow), -SWING_LIMIT_DB, SWING_LIMIT_DB)
    return np.asarray(level + more * sound, np.float32)


def _smooth_db(power: NDArray[np.floating[Any]]) -> Levels:
    """Return levels over a few frames, dB, of powers `[C, N]`."""
    smooth = running_mean(power, GATE_FRAMES, axis=1)
    return np.asarray(10 * np.log10(np.maximum(smooth, 1e-10)), np.float32)


def _filled(presence: Levels) -> Levels:
    """Return the gain of a hole's filling, 0 to 1, for a probability: a steep step at one half."""
    share = np.clip((presence - 0.5) / FILL_WIDTH + 0.5, 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def _sigmoid(logits: NDArray[np.float32]) -> Levels:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))), np.float32)
