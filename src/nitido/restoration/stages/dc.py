"""Take away what no ear hears and every meter does: a constant offset, and rumble below 20 Hz."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.fourier import convolve, kaiser_low_pass
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

RUMBLE_HZ = 20.0  # hearing begins here, and so does the lowest organ pipe that music asks for
STOP_RATIO = 0.4  # the high-pass is down by `STOP_DB` at this part of its frequency: 8 of 20 Hz
STOP_DB = 60.0
# An offset that wanders by more than a part of itself follows the sound: taken from the whole piece
# it would be given to the silence behind it. So it goes with the rumble.
CONSTANT = 8.0
LOWEST_HZ = 5.0  # a lower high-pass would be longer than a second


@lru_cache(maxsize=8)
def high_pass(high_pass_hz: float, sample_rate: int) -> NDArray[np.float64]:
    """Return a linear-phase high-pass, odd length: flat from `high_pass_hz`, −60 dB at 0.4 of it.

    It is a unit impulse minus a low-pass whose taps sum to one, so a constant is removed exactly.
    """
    taps = -kaiser_low_pass(
        high_pass_hz * (1 + STOP_RATIO) / 2,
        width_hz=high_pass_hz * (1 - STOP_RATIO),
        stop_db=STOP_DB,
        sample_rate=sample_rate,
    )
    taps[len(taps) // 2] += 1.0
    taps.flags.writeable = False
    return taps


class Dc(Stage):
    """Removes a constant offset per channel and, where there is rumble, all below 20 Hz."""

    name: ClassVar[str] = "dc"
    summary: ClassVar[str] = "removes a constant offset, and rumble below 20 Hz"
    schema: ClassVar[Mapping[str, Setting]] = {
        "offset": Setting(
            [], "of each channel, full scale 1, to be subtracted; empty: as found", (-1e10, 1e10)
        ),
        "high_pass_hz": Setting(
            0.0,
            "from here up everything stays as it is, at least 5; 0: as found",
            (0.0, 60.0),
            "Hz",
        ),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=30.0, turn_down=None)
    at_input_rate: ClassVar[bool] = True

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """Go by the findings ``dc`` and ``rumble``; settings that are given keep precedence."""
        chosen = dict(settings)
        reasons = []
        offset, rumble = diagnosis["dc"], diagnosis["rumble"]
        constant = offset.found and offset.details["steady"] >= CONSTANT
        wanders = offset.found and not constant and not chosen["offset"]
        if constant and not chosen["offset"]:
            chosen["offset"] = list(offset.details["offset"])
        if any(chosen["offset"]):
            reasons.append(f"removes an offset of {_decibels(chosen['offset']):.0f} dBFS")
        if (rumble.found or wanders) and not chosen["high_pass_hz"]:
            chosen["high_pass_hz"] = RUMBLE_HZ
        if chosen["high_pass_hz"]:
            what = "an offset that comes and goes, with all" if wanders else "rumble"
            reasons.append(f"removes {what} below {chosen['high_pass_hz']:g} Hz")
        reason = ", ".join(reasons) or "there is no offset and no rumble"
        return Step(cls.name, bool(reasons), reason, chosen)

    def __init__(
        self, settings: Settings, *, sample_rate: int, channels: int, samples: int
    ) -> None:
        """Bind the stage to a piece.

        Raises:
            ConfigError: not as many offsets as channels, or a high-pass below 5 Hz.
        """
        super().__init__(settings, sample_rate=sample_rate, channels=channels, samples=samples)
        offset = settings["offset"] or [0.0] * channels
        if len(offset) != channels or None in offset:
            raise ConfigError(
                f"dc.offset has {len(offset)} values for {channels} channels; give one per channel."
            )
        if 0 < settings["high_pass_hz"] < LOWEST_HZ:
            raise ConfigError(
                f"dc.high_pass_hz is {settings['high_pass_hz']:g}; it is at least {LOWEST_HZ:g}, "
                "or 0 for no high-pass."
            )
        self._offset = np.array(offset, np.float32)[:, None]

    @property
    def context_samples(self) -> int:
        """Half the length of the high-pass."""
        cutoff_hz = float(self.settings["high_pass_hz"])
        return len(high_pass(cutoff_hz, self.sample_rate)) // 2 if cutoff_hz else 0

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return `window` without offset and rumble; see `Stage.apply`."""
        if not self._offset.any() and not self.context_samples:
            return self.span(window)
        first = start - self.context_samples
        inside = slice(max(0, -first), max(0, self.samples - first))
        centred = window.copy()
        centred[:, inside] -= self._offset  # only there: outside the piece is digital silence
        if not self.context_samples:
            return centred
        return convolve(centred, high_pass(float(self.settings["high_pass_hz"]), self.sample_rate))


def _decibels(offset: list[float]) -> float:
    return float(20 * np.log10(np.abs(np.array(offset)).max() + 1e-12))
