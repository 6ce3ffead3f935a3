"""Tone: gives back the level that the codec loses between 1 and 8 kHz.

Over 30 MusicGen clips and true pairs the loss is 1.2 to 1.5 dB, steady from clip to clip. One
smooth linear-phase bump undoes it on average; by the perceptual measures it hardly matters, so it
runs only where a preset or the user lets it.
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
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

SKIRT_OCTAVES = 0.5
HALF_LENGTH_SECONDS = 0.006  # long enough to draw a skirt of half an octave at 1 kHz


class Tone(Stage):
    """Lifts a band by a fixed, smooth, zero-shift equaliser."""

    name: ClassVar[str] = "tone"
    summary: ClassVar[str] = "gives back the level that the codec loses between 1 and 8 kHz"
    schema: ClassVar[Mapping[str, Setting]] = {
        "gain_db": Setting(1.3, "lift inside the band", (0.0, 6.0), "dB"),
        "low_hz": Setting(
            1000.0, "lower edge, where half of the lift (in dB) is reached", (200.0, 20_000.0), "Hz"
        ),
        "high_hz": Setting(
            8000.0,
            "upper edge; beyond half the sample rate the lift goes on to the top",
            (200.0, 96_000.0),
            "Hz",
        ),
        "amount": Setting(1.0, "scales the lift", (0.0, 2.0)),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=18.0, turn_down="amount")

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """Lift if a neural decoder was here, which its comb gives away."""
        settings = dict(settings)
        if not diagnosis["comb"].found:
            reason = "no trace of a neural decoder, so nothing is known to be missing"
        elif settings["gain_db"] * settings["amount"] == 0:
            reason = "gain is 0"
        else:
            gain_db = settings["gain_db"] * settings["amount"]
            low, high = settings["low_hz"] / 1000, settings["high_hz"] / 1000
            reason = (
                f"gives back the {gain_db:.1f} dB that the codec loses "
                f"between {low:g} and {high:g} kHz"
            )
            return Step(cls.name, True, reason, settings)
        return Step(cls.name, False, reason, settings)

    @property
    def context_samples(self) -> int:
        """Half the length of the filter."""
        return round(HALF_LENGTH_SECONDS * self.sample_rate)

    def apply(self, window: Wav, *, start: int) -> Wav:  # noqa: ARG002
        """Return the equalised samples, `[C, n]`."""
        settings = self.settings
        taps = bump_filter(
            settings["gain_db"] * settings["amount"],
            settings["low_hz"],
            settings["high_hz"],
            self.sample_rate,
            self.context_samples,
        )
        return convolve(window, taps)


@lru_cache(maxsize=8)
def bump_filter(
    gain_db: float, low_hz: float, high_hz: float, sample_rate: int, half_length: int
) -> NDArray[np.float32]:
    """Return the symmetric taps `[2 · half_length + 1]` of a bump of `gain_db`.

    In dB over log frequency: raised-cosine skirts of half an octave around each edge.
    """
    size = fast_size(16 * half_length)
    octave = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 1.0))
    rise = np.clip((octave - np.log2(low_hz)) / SKIRT_OCTAVES + 0.5, 0, 1)
    fall = np.clip((np.log2(high_hz) - octave) / SKIRT_OCTAVES + 0.5, 0, 1)
    bump = (np.sin(np.pi / 2 * rise) * np.sin(np.pi / 2 * fall)) ** 2
    change = irfft(10 ** (gain_db * bump / 20) - 1, size)
    length = 2 * half_length + 1
    taps = np.roll(change, half_length)[:length] * np.hanning(length + 2)[1:-1]
    taps[half_length] += 1  # what the window cuts short is the change, never the sound itself
    result = taps.astype(np.float32)
    result.flags.writeable = False
    return result
