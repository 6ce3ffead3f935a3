"""Make left and right work together: turn back what is turned, turn down a side that is too much.

Two remedies, for two faults. Where the side is too much (lows that are wide, a band that mono
nearly loses) only the side is turned down: left + right stays what it was. Where one sound is on
both sides, only turned, it lives in the side, and no change of the side alone brings it back: there
the right channel is turned back by the angle between both, as one would swap its wires or move its
microphone. That changes the middle, which is the aim; the left channel stays as it is, and of the
right one the level of each frequency.

Both are filters that stay the same for the whole piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.fourier import convolve, fast_size, irfft
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.metrics.fidelity import SI_SDR_LEAST_DB
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

HALF_SECONDS = 0.12  # reach of each filter to either side: 8 Hz wide, for lows


class Stereo(Stage):
    """Turns the right channel back where it works against the left, and down a side too much."""

    name: ClassVar[str] = "stereo"
    summary: ClassVar[str] = "mono below 120 Hz where lows are wide; brings back what mono loses"
    schema: ClassVar[Mapping[str, Setting]] = {
        "amount": Setting(1.0, "0 leaves the sides, 1 mends them", (0.0, 1.0)),
        "side_hz": Setting(
            [], "where the side has the levels side_db; empty: as found", (20.0, 96_000.0), "Hz"
        ),
        "side_db": Setting([], "level of the side at each of side_hz", (-60.0, 0.0), "dB"),
        "turn_hz": Setting(
            [], "where the right channel is turned; empty: as found", (20.0, 96_000.0), "Hz"
        ),
        "turn_degrees": Setting([], "by how much at each of turn_hz", (-36_000.0, 36_000.0), "°"),
    }
    # A band in anti-phase may hold more energy than the rest, and all of it is to be turned.
    budget: ClassVar[Budget] = Budget(si_sdr_db=SI_SDR_LEAST_DB)

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """Go by the finding ``phase``; settings that are given keep precedence."""
        chosen = dict(settings)
        if diagnosis.channels != 2:
            return Step(cls.name, False, "only stereo has a side", chosen)
        given = bool(chosen["side_hz"] or chosen["turn_hz"])
        phase = diagnosis["phase"]
        if phase.found and not given:
            for key in ("side_hz", "side_db", "turn_hz", "turn_degrees"):
                chosen[key] = list(phase.details[key])
        reasons = []
        if chosen["turn_hz"]:
            reasons.append("turns back the right channel where it works against the left")
        if chosen["side_hz"]:
            reasons.append("turns the side down where it is too much")
        reason = ", ".join(reasons) or "left and right work together"
        return Step(cls.name, bool(reasons), reason, chosen)

    @classmethod
    def check(cls, settings: Settings) -> None:
        """Check that each frequency has its value."""
        for hz, values in (("side_hz", "side_db"), ("turn_hz", "turn_degrees")):
            if len(settings[hz]) != len(settings[values]):
                raise ConfigError(
                    f"stereo.{hz} has {len(settings[hz])} values and stereo.{values} "
                    f"{len(settings[values])}; give one of each per point."
                )

    def __init__(
        self, settings: Settings, *, sample_rate: int, channels: int, samples: int
    ) -> None:
        super().__init__(settings, sample_rate=sample_rate, channels=channels, samples=samples)
        self._half = round(HALF_SECONDS * sample_rate)

    @property
    def context_samples(self) -> int:
        """Half of each filter that is there."""
        return self._half * (bool(self.settings["turn_hz"]) + bool(self.settings["side_hz"]))

    def apply(self, window: Wav, *, start: int) -> Wav:  # noqa: ARG002
        """Return left and right, `[2, n]`; any other number of channels as it came."""
        if self.channels != 2 or not self.context_samples or not self.settings["amount"]:
            return self.span(window)
        left, right = window
        if self.settings["turn_hz"]:
            taps = turn_filter(*self._points("turn_hz", "turn_degrees"), self.sample_rate)
            right = convolve(right, taps)
            left = left[self._half : len(left) - self._half]
        if self.settings["side_hz"]:
            taps = side_filter(*self._points("side_hz", "side_db"), self.sample_rate)
            less = convolve((left - right) / 2, taps)
            left, right = (wav[self._half : len(wav) - self._half] for wav in (left, right))
            left, right = left - less, right + less
        mended = np.stack([left, right]).astype(np.float32)
        before = self.span(window)
        return before + np.float32(self.settings["amount"]) * (mended - before)

    def _points(self, hz: str, values: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return tuple(self.settings[hz]), tuple(self.settings[values])


@lru_cache(maxsize=8)
def side_filter(
    side_hz: Sequence[float], side_db: Sequence[float], sample_rate: int
) -> NDArray[np.float32]:
    """Return the taps, odd and symmetrical, that give what of the side is to go."""
    hz = _frequencies(sample_rate)
    gain = 10 ** (np.interp(np.log2(hz), np.log2(side_hz), side_db) / 20)
    return _taps(1 - np.where(gain > 10 ** (-59 / 20), gain, 0.0), sample_rate)


@lru_cache(maxsize=8)
def turn_filter(
    turn_hz: Sequence[float], turn_degrees: Sequence[float], sample_rate: int
) -> NDArray[np.float32]:
    """Return the taps, odd, that turn a channel and leave the level of each frequency."""
    hz = _frequencies(sample_rate)
    turn = np.interp(np.log2(hz), np.log2(turn_hz), turn_degrees)
    return _taps(np.exp(1j * np.deg2rad(turn)), sample_rate)


def _frequencies(sample_rate: int) -> NDArray[np.float64]:
    size = fast_size(8 * round(HALF_SECONDS * sample_rate))
    return np.asarray(np.maximum(np.arange(size // 2 + 1) * (sample_rate / size), 1.0))


def _taps(response: NDArray[np.complexfloating], sample_rate: int) -> NDArray[np.float32]:
    """Return the taps `[2 half + 1]` of a response at `_frequencies`, faded at both ends."""
    half = round(HALF_SECONDS * sample_rate)
    size = fast_size(8 * half)
    taps = np.roll(irfft(response, size), half)[: 2 * half + 1]
    taps = (taps * np.hanning(2 * half + 3)[1:-1] ** 0.5).astype(np.float32)
    taps.flags.writeable = False
    return taps
