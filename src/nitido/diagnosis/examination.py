"""One streaming pass over a piece: every analyser listens, each gives one `Finding`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from nitido.chunks import block_length, reblock
from nitido.diagnosis.bandwidth import BandwidthAnalyser
from nitido.diagnosis.clipping import ClippingAnalyser
from nitido.diagnosis.comb import CombAnalyser
from nitido.diagnosis.dc import DcAnalyser
from nitido.diagnosis.edges import EndAnalyser, StartAnalyser
from nitido.diagnosis.finding import Analyser, Diagnosis, Finding
from nitido.diagnosis.gaps import GapsAnalyser
from nitido.diagnosis.level import LoudnessAnalyser
from nitido.diagnosis.rumble import RumbleAnalyser
from nitido.diagnosis.tone import ToneAnalyser
from nitido.diagnosis.width import WidthAnalyser
from nitido.wav import Wav

BLOCK_SECONDS = 5.0


class Examination:
    """A diagnosis under way: hands the signal on unchanged while its analysers listen.

    `comb_high_hz` is for results: see `CombAnalyser`.
    """

    def __init__(
        self, *, sample_rate: int, channels: int, comb_high_hz: float | None = None
    ) -> None:
        self.sample_rate = sample_rate
        self.channels = channels
        self.samples = 0
        piece = {"sample_rate": sample_rate, "channels": channels}
        self._analysers: tuple[Analyser, ...] = (
            GapsAnalyser(**piece),
            DcAnalyser(**piece),
            RumbleAnalyser(**piece),
            ClippingAnalyser(**piece),
            CombAnalyser(**piece, high_hz=comb_high_hz),
            ToneAnalyser(**piece),
            BandwidthAnalyser(**piece),
            WidthAnalyser(**piece),
            StartAnalyser(**piece),
            EndAnalyser(**piece),
            LoudnessAnalyser(**piece),
        )

    def listen(self, blocks: Iterable[Wav]) -> Iterator[Wav]:
        """Yield the blocks, finite samples `[C, n]`, re-cut but otherwise as they came."""
        size = block_length(BLOCK_SECONDS, sample_rate=self.sample_rate, channels=self.channels)
        for block in reblock(blocks, size):
            for analyser in self._analysers:
                analyser.update(block)
            self.samples += block.shape[1]
            yield block

    def finish(self, *extra: Finding) -> Diagnosis:
        """Return the diagnosis, after the last block, with findings that were made elsewhere."""
        *findings, loudness = (analyser.finish() for analyser in self._analysers)
        if loudness.details["silent"]:  # what hiss and dither look like is nobody's fault
            findings = [
                replace(finding, severity="none", summary="Silence is not judged.", where=())
                for finding in findings
            ]
        found = (*extra, *findings, loudness)
        return Diagnosis(self.sample_rate, self.channels, self.samples, found)
