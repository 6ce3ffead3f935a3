"""One streaming pass over a piece: every analyser listens, each gives one `Finding`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

from nitido.audio import SanitizedBlocks
from nitido.audio.tags import Tags, generator
from nitido.diagnosis.bandwidth import BandwidthAnalyser
from nitido.diagnosis.clicks import ClicksAnalyser
from nitido.diagnosis.clipping import ClippingAnalyser
from nitido.diagnosis.comb import CombAnalyser
from nitido.diagnosis.dc import DcAnalyser
from nitido.diagnosis.edges import EndAnalyser, StartAnalyser
from nitido.diagnosis.finding import Analyser, Diagnosis, Finding
from nitido.diagnosis.gaps import GapsAnalyser
from nitido.diagnosis.harshness import HarshnessAnalyser
from nitido.diagnosis.level import LoudnessAnalyser
from nitido.diagnosis.mud import MudAnalyser
from nitido.diagnosis.nonfinite import nonfinite_finding
from nitido.diagnosis.phase import PhaseAnalyser, one_name
from nitido.diagnosis.rumble import RumbleAnalyser
from nitido.diagnosis.shimmer import ShimmerAnalyser
from nitido.diagnosis.sibilance import SibilanceAnalyser
from nitido.diagnosis.tone import ToneAnalyser
from nitido.diagnosis.width import WidthAnalyser
from nitido.dsp.chunks import OnProgress, ahead, block_length, reblock, tell_progress
from nitido.dsp.loop import Loop
from nitido.dsp.wav import Wav

BLOCK_SECONDS = 5.0
FIRST_HALF = 7  # analysers, up to `ShimmerAnalyser`: they take as long as the others together


def _heard(blocks: Iterable[Wav], analysers: tuple[Analyser, ...]) -> Iterator[Wav]:
    """Yield the blocks once these analysers have heard them."""
    for block in blocks:
        for analyser in analysers:
            analyser.update(block)
        yield block


class Analysable(Protocol):
    """What can be examined: a `Source`, a `Restoration`."""

    sample_rate: int
    channels: int
    samples: int
    mask: int
    warnings: tuple[str, ...]

    @property
    def tags(self) -> Tags:
        """What it says about itself."""

    @property
    def loop(self) -> Loop | None:
        """The loop that it says it has."""

    def blocks(self) -> Iterator[Wav]:
        """Yield the waveform `[C, n]` from its start."""


class Analysis:
    """A diagnosis under way: hands the signal on unchanged while its analysers listen."""

    def __init__(
        self,
        *,
        sample_rate: int,
        channels: int,
        mask: int | None = None,
        loop: Loop | None = None,
        seam: Loop | None = None,
        warnings: tuple[str, ...] = (),
        made_by: str = "",
    ) -> None:
        self.sample_rate = sample_rate
        self.channels = channels
        self.loop = loop
        self.warnings = warnings
        self.made_by = made_by
        self.samples = 0
        piece = {"sample_rate": sample_rate, "channels": channels}
        self._analysers: tuple[Analyser, ...] = (
            GapsAnalyser(**piece),
            ClicksAnalyser(**piece, loop=loop or seam),
            DcAnalyser(**piece),
            RumbleAnalyser(**piece),
            ClippingAnalyser(**piece),
            CombAnalyser(**piece),
            ShimmerAnalyser(**piece),
            MudAnalyser(**piece),
            HarshnessAnalyser(**piece),
            SibilanceAnalyser(**piece),
            ToneAnalyser(**piece),
            BandwidthAnalyser(**piece),
            PhaseAnalyser(**piece),
            WidthAnalyser(**piece, mask=mask),
            StartAnalyser(**piece),
            EndAnalyser(**piece),
            LoudnessAnalyser(**piece, mask=mask),
        )

    def listen(self, blocks: Iterable[Wav]) -> Iterator[Wav]:
        """Yield the blocks, finite samples `[C, n]`, re-cut but otherwise as they came."""
        size = block_length(BLOCK_SECONDS, sample_rate=self.sample_rate, channels=self.channels)
        first, second = self._analysers[:FIRST_HALF], self._analysers[FIRST_HALF:]
        heard = _heard(reblock(blocks, size), first)
        for block in _heard(ahead(heard), second):
            self.samples += block.shape[1]
            yield block

    def finish(self, *extra: Finding) -> Diagnosis:
        """Return the diagnosis, after the last block, with findings that were made elsewhere."""
        *findings, loudness = (analyser.finish() for analyser in self._analysers)
        if loudness.details["silent"]:  # what hiss and dither look like is nobody's fault
            findings = [
                replace(finding, severity="ok", summary="Silence is not judged.", where=())
                for finding in findings
            ]
        found = (*extra, *one_name(map(self._in_loop, findings)), loudness)
        return Diagnosis(
            self.sample_rate,
            self.channels,
            self.samples,
            found,
            self.loop,
            self.warnings,
            self.made_by,
        )

    def _in_loop(self, finding: Finding) -> Finding:
        """Return a finding as it counts where a loop comes round: no click there, and no cut."""
        seam = {"start": 0, "end": self.samples}.get(finding.kind)
        if self.loop is None or seam not in (self.loop.start, self.loop.end):
            return finding
        if not (finding.details.get("click") or finding.details.get("cut")):
            return finding
        said = "A loop: its end runs on into its start."
        return replace(finding, severity="ok", summary=said, where=())


def analyse(
    source: Analysable,
    *,
    as_loop: bool = False,
    on_progress: OnProgress | None = None,
    share: tuple[float, float] = (0.0, 1.0),
) -> Diagnosis:
    """Return the diagnosis of a source: one pass, nothing kept.

    Args:
        source: of the samples.
        as_loop: whether its end runs on into its start, though it may not say so: there may be a
            click at that seam, too.
        on_progress: called with `(done_seconds, total_seconds)`; what it raises stops the work.
        share: part of the whole work that this pass is.
    """
    analysis = Analysis(
        sample_rate=source.sample_rate,
        channels=source.channels,
        mask=source.mask,
        loop=source.loop,
        seam=Loop(0, source.samples) if as_loop else None,
        warnings=source.warnings,
        made_by=generator(source.tags),
    )
    sanitized = SanitizedBlocks(source.blocks())
    stream = analysis.listen(ahead(iter(sanitized)))
    for _ in tell_progress(stream, source.sample_rate, source.samples, on_progress, share):
        pass
    return analysis.finish(nonfinite_finding(sanitized, sample_rate=source.sample_rate))
