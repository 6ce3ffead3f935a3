"""What is done to single stems: drums sharpened, the band widened, bass and low end in the middle.

Each is a pure function of a window, as the stages are, and mostly is one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.fourier import convolve, kaiser_low_pass
from nitido.dsp.wav import Wav
from nitido.restoration.stage import Settings
from nitido.restoration.stages.transients import Transients
from nitido.restoration.stages.width import Width
from nitido.separation.demucs_model import RESIDUAL

Parts = NDArray[np.float32]  # [P, C, n]: the stems, then the residual

CENTRED = ("drums", "bass", RESIDUAL)  # never widened
LOW_PASS_DB = 60.0


class StemProcessing:
    """The treatment of the stems of one piece, by the settings of the stage `stems`."""

    def __init__(
        self,
        settings: Settings,
        *,
        names: Sequence[str],
        sample_rate: int,
        channels: int,
        channels_out: int,
        samples: int,
    ) -> None:
        """Bind it to a piece; `names` are those of its parts."""
        piece = {"sample_rate": sample_rate, "channels": channels, "samples": samples}
        attack = {**Transients.defaults, "gain_db": settings["attack_db"]}
        width = {**Width.defaults, "amount": settings["widen"]}
        self._settings = settings
        self._names = tuple(names)
        self._channels_out = channels_out
        self._attack = Transients(attack, **piece) if settings["attack_db"] else None
        self._width = Width(width, **piece) if settings["widen"] else None
        low_hz = settings["mono_below_hz"] if channels_out == 2 else 0.0
        self._low_pass = low_pass(low_hz, sample_rate) if low_hz else None
        self._low_context = 0 if self._low_pass is None else len(self._low_pass) // 2

    @property
    def context_samples(self) -> int:
        """How much of the signal `treat` needs to see on either side."""
        stages = [stage.context_samples for stage in (self._attack, self._width) if stage]
        return self._low_context + max(stages, default=0)

    def treat(self, parts: Parts, *, start: int) -> tuple[Parts, Parts]:
        """Return the parts without their context, untouched and treated, `[P, channels_out, n]`.

        Args:
            parts: `[P, C, context + n + context]`.
            start: position in the piece of the first sample to return.
        """
        shape = (len(parts), self._channels_out, parts.shape[2] - 2 * self.context_samples)
        untouched = np.broadcast_to(_crop(parts, self.context_samples), shape)
        treated = np.stack(
            [self._treat(name, part, start) for name, part in zip(self._names, parts, strict=True)]
        )
        if (amount := np.float32(self._settings["amount"])) != 1:
            treated = untouched + amount * (treated - untouched)
        return untouched, np.asarray(treated, np.float32)

    def _treat(self, name: str, part: Wav, start: int) -> Wav:
        """Return one part, `[channels_out, n]`, all the way treated."""
        if name == RESIDUAL and self._settings["residual"] == "drop":
            return np.zeros(
                (self._channels_out, part.shape[1] - 2 * self.context_samples), np.float32
            )
        stage: Transients | Width | None = None
        if name == "drums":
            stage = self._attack
        elif name not in CENTRED:
            stage = self._width
        inner, spare = self._low_context, self.context_samples - self._low_context
        if stage is None:
            wav = _crop(part, spare)
        else:
            window = _crop(part, spare - stage.context_samples)
            wav = stage.apply(window, start=start - inner)
        if name == "bass" and self._settings["centre_bass"]:
            wav = wav.mean(axis=0, keepdims=True)
        wav = np.broadcast_to(wav, (self._channels_out, wav.shape[1]))
        return wav if self._low_pass is None else mono_bass(wav, self._low_pass)


def mono_bass(wav: Wav, low_pass: NDArray[np.float32]) -> Wav:
    """Return the middle of a stereo waveform with the lows of its side taken out.

    Args:
        wav: `[2, context + n + context]`, context being half the length of the low-pass.
        low_pass: what to take out, linear phase.
    """
    low = convolve((wav[0] - wav[1]) / 2, low_pass)
    return np.asarray(_crop(wav, len(low_pass) // 2) - np.stack([low, -low]), np.float32)


def _crop(wav: Parts, count: int) -> Parts:
    """Return a waveform, or several, without `count` samples at either end."""
    return wav[..., count : wav.shape[-1] - count]


@lru_cache(maxsize=8)
def low_pass(low_hz: float, sample_rate: int) -> NDArray[np.float32]:
    """Return a linear-phase low-pass, odd length: flat to `low_hz`, −60 dB from an octave above."""
    taps = kaiser_low_pass(
        1.5 * low_hz, width_hz=low_hz, stop_db=LOW_PASS_DB, sample_rate=sample_rate
    ).astype(np.float32)
    taps.flags.writeable = False
    return taps
