"""Give back what belongs above the ceiling: by rule, or as a network has learned it from music.

See `nitido.restoration.treble` for both. Which one is better was measured by ceiling, on music that
neither was made with; `auto` takes the better one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nitido.diagnosis.bandwidth import TREBLE_MIN_DB
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.wav import Wav
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step
from nitido.restoration.treble.levels import CROSSOVER, GATE_WIDTH_DB
from nitido.restoration.treble.rule import RuleTreble
from nitido.weights import network

if TYPE_CHECKING:
    from nitido.restoration.treble.learned import LearnedTreble

Ramp = tuple[tuple[float, float], tuple[float, float]]  # values, and the shares that they give

# Where the sound falls faster than this already below the ceiling, it goes on falling faster still.
# Set on music by 60 artists, cut at 4, 5.5, 8, 11, 16 kHz and through MP3 (weights/bandwidth.md).
STEEP_DB_PER_KHZ = -3.0
STEEPENING = 2.5
# Ceilings at which the network was proven better than the rule (weights/bandwidth.md).
LEARNED_HZ = (2_500.0, 13_000.0)
# Signs that there may have been little above, so that less is added, and how much, from where to
# where. What is below is faint (dB re white noise of the piece's RMS), down to where the finding
# says that none is missing, and counts as fainter if it does not fall to its end, as hiss does not.
# Or, where the rule is the better model, it falls fast at its end (dB per kHz). How deep the
# silence above is tells nothing: it is the last coder's. Set by `nitido-lab benchmark caution` on
# music by 74 artists, and on what a resampler made of it.
FAINT = ((TREBLE_MIN_DB, -35.5), (0.05, 1.0))
LEVEL = ((-1.2, -0.4), (0.0, 3.0))
DYING = ((-5.5, -4.5), (0.5, 1.0))


class Bandwidth(Stage):
    """Adds what belongs above the ceiling; below the crossover not a sample changes."""

    name = "bandwidth"
    summary = "gives back the treble above the ceiling"
    schema: ClassVar[Mapping[str, Setting]] = {
        "amount": Setting(
            1.0, "of the amplitude that is added; 1 is what the model says", (0.0, 2.0)
        ),
        "model": Setting(
            "auto",
            "auto takes the one that is proven better at this ceiling",
            choices=("auto", "rule", "learned"),
        ),
        "holes": Setting(
            True, "whether bands below the ceiling that a coder left empty are filled too"
        ),
        "slope_db_per_khz": Setting(
            -2.5, "how fast the level falls towards the top, by rule", (-20.0, 0.0), "dB/kHz"
        ),
        "gate_db": Setting(
            -44.0,
            "how much treble it takes for the rule to go on with it, re white noise of that level",
            (-100.0, 0.0),
            "dB",
        ),
        "ceiling_hz": Setting(
            16_000.0, "where the sound ends", (1_000.0, 96_000.0), "Hz", measured=True
        ),
        "crossover_hz": Setting(
            14_960.0, "from where on something is added", (1_000.0, 96_000.0), "Hz", measured=True
        ),
        "rms_db": Setting(
            -20.0, "level of the piece, re full scale", (-200.0, 200.0), "dB", measured=True
        ),
    }
    budget = Budget(si_sdr_db=20.0)

    def __init__(
        self, settings: Settings, *, sample_rate: int, channels: int, samples: int
    ) -> None:
        super().__init__(settings, sample_rate=sample_rate, channels=channels, samples=samples)
        self._treble: RuleTreble | LearnedTreble
        if better_model(settings["model"], settings["ceiling_hz"]) == "learned":
            from nitido.restoration.treble.learned import LearnedTreble

            piece = {"sample_rate": sample_rate, "samples": samples}
            self._treble = LearnedTreble(network(self.name), settings, **piece)
        else:
            self._treble = RuleTreble(settings, sample_rate=sample_rate)

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """On where a ceiling was found and there is treble below it that could go on."""
        finding = diagnosis["bandwidth"]
        if not finding.found:
            return Step(cls.name, False, "the sound has no ceiling that takes from it", settings)
        if not settings["amount"]:
            return Step(cls.name, False, "an amount of 0 adds nothing", settings)
        ceiling_hz = float(finding.details["ceiling_hz"])
        share, sign = share_added(finding.details)
        resolved = {
            **settings,
            "amount": round(settings["amount"] * share, 4),
            "ceiling_hz": ceiling_hz,
            "crossover_hz": round(min(CROSSOVER * ceiling_hz, finding.details["rolloff_hz"])),
            "rms_db": finding.details["rms_db"],
            "slope_db_per_khz": round(_slope(finding.details, settings["slope_db_per_khz"]), 2),
            "model": better_model(settings["model"], ceiling_hz),
        }
        treble_db = finding.details["treble_db"]
        if treble_db < settings["gate_db"] - GATE_WIDTH_DB / 2:
            reason = (
                f"the music has hardly any treble below the ceiling of {ceiling_hz / 1000:.1f} kHz "
                f"({treble_db:.0f} dB), so none is missing above"
            )
            return Step(cls.name, False, reason, resolved)
        reason = f"treble of {treble_db:.0f} dB below the ceiling of {ceiling_hz / 1000:.1f} kHz"
        if share < 1:
            reason += f" {sign}: {resolved['amount']:.0%} is added"
        return Step(cls.name, True, reason, resolved)

    @property
    def context_samples(self) -> int:
        """As much as the model needs."""
        return self._treble.context_samples

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return the samples from `start` on, `[C, n]`, with the treble added."""
        treble = self._treble.treble(window, first=start - self.context_samples)
        return self.span(window) + self.span(treble)


def share_added(
    details: Mapping[str, float], *, faint: Ramp = FAINT, dying: Ramp = DYING
) -> tuple[float, str]:
    """Return which share of the new treble is added, 0.05 to 1, and the sign that it rests on.

    Args:
        details: of the finding ``bandwidth``.
        faint: from which to which level there is little below, dB, and the shares there.
        dying: the same for how fast that falls at its end, dB per kHz.
    """
    end_fall = details["end_fall_db_per_khz"]
    signs = [("is faint", faint, details["treble_db"] - float(np.interp(end_fall, *LEVEL)))]
    if details["ceiling_hz"] > LEARNED_HZ[1]:
        signs.append(("dies away", dying, end_fall))
    return min((round(float(np.interp(value, *ramp)), 2), sign) for sign, ramp, value in signs)


def better_model(model: str, ceiling_hz: float) -> str:
    """Return ``rule`` or ``learned``: what is asked for, or what is better at this ceiling."""
    if model != "auto":
        return model
    low, high = LEARNED_HZ
    return "learned" if low <= ceiling_hz <= high else "rule"


def _slope(details: Settings, usual_db_per_khz: float) -> float:
    """Return how fast the level falls above the ceiling, from how fast it falls below, dB/kHz."""
    steeper = min(0.0, details["fall_db_per_khz"] - STEEP_DB_PER_KHZ)
    return float(max(-20.0, usual_db_per_khz + STEEPENING * steeper))
