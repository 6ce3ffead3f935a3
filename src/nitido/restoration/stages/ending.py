"""Ending: a short fade where the music breaks off, none where it ends by itself.

Three of four MusicGen clips stop in the middle of a sound. A fade cannot give back the missing
end; it takes the click away, and is kept short so that it takes little music.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.wav import Wav
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

FADE_SECONDS_MAX = 0.3
FADE_SECONDS_MIN = 0.08  # shorter, music that rises into its cut is still heard to be cut
FADE_SHARE = 0.005  # of the duration: leaves steady music at 25 dB SI-SDR
CLICK_FADE_MS = 2.0


class Ending(Stage):
    """Fades a cut end out, and a click at the start in. The length stays the same."""

    name: ClassVar[str] = "ending"
    summary: ClassVar[str] = "fades out an end that was cut, fades in a start that clicks"
    schema: ClassVar[Mapping[str, Setting]] = {
        "fade_in_ms": Setting(
            0.0,
            "length of the fade at the start; 0 lets the diagnosis decide",
            (0.0, 10_000.0),
            "ms",
        ),
        "fade_out_seconds": Setting(
            0.0, "length of the fade at the end; 0 lets the diagnosis decide", (0.0, 60.0), "s"
        ),
        "loop": Setting(
            None,
            "after the end comes the start again, for every stage, and nothing is faded; null: as "
            "the file says, by loop points or as an ACID loop",
            nullable=True,
        ),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=20.0, turn_down=None)

    @classmethod
    def settle(cls, diagnosis: Diagnosis, settings: Settings) -> Settings:
        """Decide whether it is a loop: as asked, or as the file says unless a fade is asked for."""
        if settings["loop"] is not None:
            return settings
        faded = settings["fade_in_ms"] > 0 or settings["fade_out_seconds"] > 0
        return {**settings, "loop": diagnosis.loop is not None and not faded}

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """Fade where there is a cut or a click, or where the settings ask for it."""
        settings = dict(cls.settle(diagnosis, settings))
        if settings["loop"]:
            return Step(cls.name, False, diagnosis.loop_told, settings)
        reasons = []
        if settings["fade_in_ms"] > 0:
            reasons.append(f"fade-in of {settings['fade_in_ms']:g} ms as asked")
        elif diagnosis["start"].details["click"]:
            settings["fade_in_ms"] = CLICK_FADE_MS
            reasons.append(f"starts with a click: fade-in of {CLICK_FADE_MS:g} ms")
        if settings["fade_out_seconds"] > 0:
            reasons.append(f"fade-out of {settings['fade_out_seconds']:g} s as asked")
        elif diagnosis["end"].details["cut"]:
            share = min(FADE_SECONDS_MAX, FADE_SHARE * diagnosis.duration_seconds)
            settings["fade_out_seconds"] = max(FADE_SECONDS_MIN, round(share, 4))
            reasons.append(
                f"cut off at {diagnosis['end'].details['level_dbfs']:.0f} dBFS: "
                f"fade-out of {settings['fade_out_seconds'] * 1000:.0f} ms"
            )
        if not reasons:
            return Step(cls.name, False, "starts and ends by itself", settings)
        return Step(cls.name, True, "; ".join(reasons), settings)

    @property
    def judged(self) -> tuple[int, int]:
        """All but the fades: to be silent at the end is what they are for."""
        fade_in, fade_out = self._fades()
        return fade_in, max(fade_in, self.samples - fade_out)

    @property
    def context_samples(self) -> int:
        """None: the gain depends on the position only."""
        return 0

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return the faded samples, `[C, n]`."""
        fade_in, fade_out = self._fades()
        count, stop = window.shape[1], start + window.shape[1]
        if start >= fade_in and stop <= self.samples - fade_out:
            return window
        rising = np.arange(start, min(stop, fade_in))
        falling = np.arange(max(start, self.samples - fade_out), stop)
        gain = np.ones(count, np.float32)
        gain[: len(rising)] *= raised_cosine(rising / fade_in)
        gain[count - len(falling) :] *= raised_cosine((self.samples - 1 - falling) / fade_out)
        return window * gain

    def _fades(self) -> tuple[int, int]:
        """Return the lengths of the fades, in samples."""
        seconds = (self.settings["fade_in_ms"] / 1000, self.settings["fade_out_seconds"])
        fade_in, fade_out = (min(round(long * self.sample_rate), self.samples) for long in seconds)
        return fade_in, fade_out


def raised_cosine(progress: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Wav:
    """Return a gain that rises from 0 at progress 0 to 1 at progress 1 without a corner."""
    return (0.5 - 0.5 * np.cos(np.pi * np.clip(progress, 0, 1))).astype(np.float32)
