"""Carry out a plan: stream the signal through its stages, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nitido.dsp.chunks import ahead, block_length
from nitido.dsp.resample import resample, resampled_length
from nitido.dsp.wav import Wav
from nitido.restoration.plan import Plan, build
from nitido.restoration.resources import Resources
from nitido.restoration.stage import Remedy
from nitido.restoration.verify import Change, ChangeMeter

BLOCK_SECONDS = 6.0  # of the signal at work in one stage; bounds the memory, not the result


@dataclass
class Chain:
    """The stages of a plan up to the loudness stage, bound to a piece.

    The loudness stage comes after: its gain is known only when this chain has run (`resolve`).

    Attributes:
        plan: to carry out.
        sample_rate: of the input, Hz.
        channels: of the input.
        samples: of the input.
        block_seconds: length of the blocks at work; the result does not depend on it.
        resources: what the caller lends to the stages.
    """

    plan: Plan
    sample_rate: int
    channels: int
    samples: int
    block_seconds: float = BLOCK_SECONDS
    resources: Resources = field(default_factory=Resources)
    meters: dict[str, ChangeMeter] = field(default_factory=dict, init=False)

    @property
    def samples_out(self) -> int:
        """Number of samples of the result."""
        return resampled_length(self.samples, self.sample_rate, self.plan.sample_rate)

    @property
    def channels_out(self) -> int:
        """Number of channels of the result."""
        channels = self.channels
        for step in self.plan.steps:
            if step.on:
                piece = {"sample_rate": self.sample_rate, "samples": self.samples}
                channels = build(step, channels=channels, **piece).channels_out
        return channels

    def run(self, blocks: Iterable[Wav]) -> Iterator[Wav]:
        """Yield the result of `blocks`, the whole input in pieces of any length, finite samples."""
        self.meters = {}
        stream: Iterator[Wav] = iter(blocks)
        rate, channels, samples = self.sample_rate, self.channels, self.samples
        resampled = False
        for step in self.plan.steps:
            if step.stage == "loudness" or not step.on:
                continue
            stage = build(step, sample_rate=rate, channels=channels, samples=samples)
            if not stage.at_input_rate and not resampled:
                stream, rate, samples = self._resample(stream, channels), *self._output()
                resampled = True
                stage = build(step, sample_rate=rate, channels=channels, samples=samples)
            stream = ahead(self._through(stage, stream))
            channels = stage.channels_out
        if not resampled:
            stream = self._resample(stream, channels)
        return stream

    def changes(self) -> tuple[Change, ...]:
        """Return what each stage changed, after `run` is exhausted."""
        return tuple(meter.finish() for meter in self.meters.values())

    def _output(self) -> tuple[int, int]:
        return self.plan.sample_rate, self.samples_out

    def _resample(self, stream: Iterator[Wav], channels: int) -> Iterator[Wav]:
        return resample(
            stream,
            from_hz=self.sample_rate,
            to_hz=self.plan.sample_rate,
            samples=self.samples,
            channels=channels,
        )

    def _through(self, stage: Remedy, stream: Iterator[Wav]) -> Iterator[Wav]:
        meter = ChangeMeter(
            stage.name,
            sample_rate=stage.sample_rate,
            budget_db=self.plan.stage_budget_db(stage.name),
            judged=stage.judged,
        )
        self.meters[stage.name] = meter
        size = block_length(
            self.block_seconds, sample_rate=stage.sample_rate, channels=stage.channels
        )
        for before, after in stage.stream(stream, block_samples=size, resources=self.resources):
            meter.update(before, after)
            yield after
