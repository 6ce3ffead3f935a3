"""Mono-compatible widening: gives a mono piece a left and a right that add up to it again.

With M the mono file and S = s(f)·exp(iφ(f))·M, the channels are L = M + S and R = M − S. The side
signal drops out of L + R, whatever it is, so nothing is lost on a mono loudspeaker. Its phase
turns slowly over log frequency, so that one part of the spectrum leans left and the next one
right; bass and the body of the sound stay in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.fourier import convolve, fast_size, irfft
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

SIDE_HZ = (500.0, 2000.0, 8000.0)  # level of the side against the mono signal at amount 1:
SIDE_DB = (-23.0, -18.0, -8.5)  # straight lines over log frequency, level outside; set on 37 clips
CYCLES_PER_OCTAVE = 2.0  # turns of the side's phase: its group delay is 2.9 / f, 2.9 ms at 1 kHz
BEFORE_SECONDS = 0.001  # reach of the side filter before …
AFTER_SECONDS = 0.025  # … and after the sound that it comes from


class Width(Stage):
    """Widens mono without changing the sum of the channels."""

    name: ClassVar[str] = "width"
    summary: ClassVar[str] = "widens mono; left + right stays the mono file"
    schema: ClassVar[Mapping[str, Setting]] = {
        "amount": Setting(
            1.0,
            "how wide, 0 for mono; at 1 each channel keeps 20 dB SI-SDR to the mono file",
            (0.0, 2.0),
        ),
        "low_hz": Setting(200.0, "below this nothing is widened", (20.0, 2_000.0), "Hz"),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=30.0, turn_down="amount")

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """Widen if the piece is mono: one channel, or two that are the same."""
        settings = dict(settings)
        if diagnosis.channels > 2:
            reason = f"{diagnosis.channels} channels are left as they are"
        elif diagnosis["width"].details.get("silent_channels"):
            reason = "one channel is silent, and stays so"
        elif not diagnosis["width"].details["mono"]:
            reason = "already stereo"
        elif settings["amount"] == 0:
            reason = "amount is 0"
        else:
            reason = "mono: widened, left + right stays the same"
            return Step(cls.name, True, reason, settings)
        return Step(cls.name, False, reason, settings)

    def __init__(
        self, settings: Settings, *, sample_rate: int, channels: int, samples: int
    ) -> None:
        super().__init__(settings, sample_rate=sample_rate, channels=channels, samples=samples)
        if channels > 2:
            raise ConfigError(
                f"Only mono and stereo can be widened, and the piece has {channels} channels; "
                "leave out the stage 'width'."
            )

    @property
    def channels_out(self) -> int:
        """Two."""
        return 2

    @property
    def context_samples(self) -> int:
        """The longer reach of the side filter."""
        return round(AFTER_SECONDS * self.sample_rate)

    def apply(self, window: Wav, *, start: int) -> Wav:  # noqa: ARG002
        """Return left and right, `[2, n]`."""
        taps = side_filter(self.settings["low_hz"], self.sample_rate)
        mono = window.mean(axis=0)
        ahead = self.context_samples - (len(taps) - 1 - self.context_samples)
        side = convolve(mono[: len(mono) - ahead], taps)
        side *= np.float32(self.settings["amount"])
        return np.stack([self.span(window)[0] + side, self.span(window)[-1] - side])


@lru_cache(maxsize=8)
def side_filter(low_hz: float, sample_rate: int) -> NDArray[np.float32]:
    """Return the taps `[before + 1 + after]` that turn the mono signal into the side, amount 1.

    Tap `before` belongs to the present sample. Drawn in frequency, cut to length in time: the
    delays of this phase are short (2.9 / f) and all positive, so the side does not sound before
    its source, and little is cut.
    """
    size = fast_size(8 * round(AFTER_SECONDS * sample_rate))
    hz = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 1.0)
    level = 10 ** (np.interp(np.log2(hz), np.log2(SIDE_HZ), SIDE_DB) / 20)
    octaves = np.log2(hz / low_hz)
    level *= np.where(octaves > 0, np.sin(np.pi / 2 * np.clip(octaves, 0, 1)) ** 2, 0)
    response = level * np.exp(-2j * np.pi * CYCLES_PER_OCTAVE * octaves)
    before = round(BEFORE_SECONDS * sample_rate)
    after = round(AFTER_SECONDS * sample_rate)
    taps = np.roll(irfft(response, size), before)[: before + 1 + after]
    taps[:before] *= np.sin(np.pi / 2 * np.arange(1, before + 1) / (before + 1)) ** 2
    taps[before + 1 :] *= np.cos(np.pi / 2 * np.arange(after) / after) ** 2
    taps = taps.astype(np.float32)
    taps.flags.writeable = False
    return taps
