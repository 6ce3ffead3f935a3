"""Peak: the highest sample to full scale, then 16 bit, as the founding pipeline began.

`wav / max|wav| · 32767`, cut to whole numbers. A restoration does not want it: the loudness stage
comes last, and 16 bit are for the file, with dither. It is here so that what this project began
with can be run and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.wav import Wav
from nitido.restoration.setting import Setting
from nitido.restoration.stage import Budget, Settings, Stage, Step

HIGHEST = 32_767  # of 16 bit
FULL_SCALE = 32_768  # what reads back as 1.0


class Peak(Stage):
    """Normalises to the highest sample, and rounds to 16 bit."""

    name: ClassVar[str] = "peak"
    summary: ClassVar[str] = "normalises the peak and cuts to 16 bit, as the founding pipeline did"
    schema: ClassVar[Mapping[str, Setting]] = {
        "peak_dbfs": Setting(
            None,
            "level of the highest sample",
            (-300.0, 300.0),
            "dBFS",
            nullable=True,
            measured=True,
        ),
    }
    budget: ClassVar[Budget] = Budget(si_sdr_db=20.0, turn_down=None)
    at_input_rate: ClassVar[bool] = True

    @classmethod
    def plan(cls, diagnosis: Diagnosis, settings: Settings) -> Step:
        """On unless the piece is silent."""
        peak_dbfs = settings["peak_dbfs"]
        if peak_dbfs is None:
            peak_dbfs = diagnosis["loudness"].details["sample_peak_dbfs"]
        if peak_dbfs is None:
            return Step(cls.name, False, "silence has no peak", dict(settings))
        reason = f"the peak of {peak_dbfs:.1f} dBFS is brought to full scale, in 16 bit"
        return Step(cls.name, True, reason.replace("-", "−", 1), {"peak_dbfs": peak_dbfs})

    @property
    def context_samples(self) -> int:
        """None: each sample for itself."""
        return 0

    def apply(self, window: Wav, *, start: int) -> Wav:  # noqa: ARG002
        """Return the samples at full scale, `[C, n]`."""
        peak_dbfs = self.settings["peak_dbfs"]
        if peak_dbfs is None:  # switched on by hand, in silence
            return window
        peak = np.float32(10 ** (peak_dbfs / 20))
        whole = np.trunc(window / peak * np.float32(HIGHEST))
        return np.asarray(whole.clip(-HIGHEST - 1, HIGHEST) / np.float32(FULL_SCALE), np.float32)
