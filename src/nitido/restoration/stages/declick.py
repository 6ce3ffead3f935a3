"""Mend clicks: the few samples of each are rebuilt from both sides, all others stay as they are.

What a click covers is lost, but it is short: music that can be predicted can be predicted across
0.3 ms from both sides, and the samples that fit best are its continuation. They are found and
rebuilt by `nitido.diagnosis.clicks`; here they are put in, at the rate of the file, for a resampler
would make each click longer; if one has, what rings beside it is rebuilt, too. The first and last
30 ms are left to the stage ``ending``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nitido.diagnosis.clicks import EDGE_SECONDS, JOIN_SECONDS, find_clicks, reach_samples
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.wav import Wav
from nitido.metrics.fidelity import SI_SDR_LEAST_DB
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step


class Declick(Stage):
    """Rebuilds the samples of clicks shorter than 0.3 ms from their surroundings; no others."""

    name: ClassVar[str] = "declick"
    summary: ClassVar[str] = "mends clicks shorter than 0.3 ms"
    schema: ClassVar[Mapping[str, Setting]] = {
        "amount": Setting(1.0, "0 leaves the clicks, 1 rebuilds what they cover", (0.0, 1.0)),
    }
    # Clicks may have more energy than all of the music, and all of it is to go.
    budget: ClassVar[Budget] = Budget(si_sdr_db=SI_SDR_LEAST_DB)
    at_input_rate: ClassVar[bool] = True

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """Go by the finding ``clicks``."""
        clicks = diagnosis["clicks"]
        if not clicks.found:
            return Step(cls.name, False, "nothing clicks", settings)
        count = clicks.details["count"]
        what = "a click" if count == 1 else f"{count} clicks"
        return Step(cls.name, True, f"rebuilds what {what} cover{'s' * (count == 1)}", settings)

    @property
    def context_samples(self) -> int:
        """What tells a click from music, and a click's length that may reach over the edge."""
        return reach_samples(self.sample_rate) + round(2 * JOIN_SECONDS * self.sample_rate)

    def apply(self, window: Wav, *, start: int) -> Wav:
        """Return `window` with its clicks mended; see `Stage.apply`."""
        out = window.copy()
        first = start - self.context_samples
        edge = round(EDGE_SECONDS * self.sample_rate)
        for channel, samples in zip(out, window, strict=True):
            clicks, _ = find_clicks(samples, first=first, sample_rate=self.sample_rate)
            for click in clicks:
                if edge <= click.start < self.samples - edge:
                    inside = slice(click.start - first, click.end - first)
                    channel[inside] += self.settings["amount"] * (click.rebuilt - channel[inside])
        return self.span(out)
