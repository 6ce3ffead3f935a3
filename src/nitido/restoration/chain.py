"""Carry out a plan: stream the signal through its stages, block by block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from nitido.audio import Source
from nitido.cores import usable_cores
from nitido.dsp.chunks import ahead, block_length
from nitido.dsp.loop import FADE_SECONDS, Loop, Unrolled
from nitido.dsp.resample import resample, resampled_length
from nitido.dsp.wav import Wav
from nitido.restoration.plan import Plan, build
from nitido.restoration.resources import Resources
from nitido.restoration.stage import Remedy
from nitido.restoration.verify import Change, ChangeMeter

BLOCK_SECONDS = 4.0  # of the signal at work in one stage; bounds the memory, not the result
WHOLE_BLOCKS = 6  # stages that work on blocks of that length; of more each has a shorter one
RESAMPLER_SECONDS = 0.1  # of sound on either side that a sample may depend on


@dataclass
class Chain:
    """The stages of a plan up to the loudness stage, bound to a piece.

    The loudness stage comes after: its gain is known only when this chain has run (`resolve`).

    Attributes:
        plan: to carry out.
        sample_rate: of the input, Hz.
        channels: of the input.
        layout: of the input.
        block_seconds: length of the blocks at work; the result does not depend on it.
        resources: what the caller lends to the stages.
        loudness_lufs: of the input; None: it has none.
    """

    plan: Plan
    sample_rate: int
    channels: int
    layout: Unrolled
    block_seconds: float = BLOCK_SECONDS
    resources: Resources = field(default_factory=Resources)
    loudness_lufs: float | None = None
    meters: dict[str, ChangeMeter] = field(default_factory=dict, init=False)

    @property
    def samples_out(self) -> int:
        """Number of samples of the result."""
        return resampled_length(self.layout.samples, self.sample_rate, self.plan.sample_rate)

    @property
    def channels_out(self) -> int:
        """Number of channels of the result."""
        channels = self.channels
        for step in self.plan.steps:
            if step.on:
                piece = {"sample_rate": self.sample_rate, "samples": self.layout.total}
                channels = build(step, channels=channels, **piece).channels_out
        return channels

    def run(self, blocks: Iterable[Wav], *, before: Wav | None = None) -> Iterator[Wav]:
        """Yield the result of `blocks`: the input as it is laid out, cut anyhow, finite samples.

        Args:
            blocks: waveforms `[C, n]`.
            before: see `Unrolled.piece`.
        """
        self.meters = {}
        stream: Iterator[Wav] = iter(blocks)
        handed_over = self._hand_overs()
        rate, channels, layout = self.sample_rate, self.channels, self.layout
        resampled = False
        metered: tuple[int, int] | None = None  # rate and channels of what the last meter heard
        for step in self.plan.steps:
            if step.stage == "loudness" or not step.on:
                continue
            stage = build(step, sample_rate=rate, channels=channels, samples=layout.total)
            if not stage.at_input_rate and not resampled:
                stream, rate, layout = self._resample(stream, channels), *self._output()
                resampled = True
                stage = build(step, sample_rate=rate, channels=channels, samples=layout.total)
            if len(self.meters) in handed_over:
                stream = ahead(stream)
            meter = ChangeMeter(
                stage.name,
                sample_rate=rate,
                budget=self.plan.stage_budget(stage.name),
                loudness_lufs=self.loudness_lufs,
                judged=layout.inside(stage.judged),
                all_of_it=metered != (rate, channels),
            )
            self.meters[stage.name] = meter
            stream = self._through(stage, stream, meter)
            metered = (rate, channels) if stage.channels_out == channels else None
            channels = stage.channels_out
        if not resampled:
            stream, rate, layout = self._resample(stream, channels), *self._output()
        if len(self.meters) in handed_over:
            stream = ahead(stream)
        return layout.piece(stream, sample_rate=rate, before=before)

    def _hand_overs(self) -> set[int]:
        """Return after how many stages the work goes on in another thread.

        In one more than there are cores: stages take unlike long, and so none waits while another
        is at work. To read counts as a stage, and so does what is done with the result.
        """
        threads = usable_cores() + 1
        return {math.ceil((self._stages + 2) * k / threads) - 1 for k in range(1, threads)}

    @property
    def _stages(self) -> int:
        """How many stages are on."""
        return sum(step.on and step.stage != "loudness" for step in self.plan.steps)

    def changes(self) -> tuple[Change, ...]:
        """Return what each stage changed, after `run` is exhausted."""
        found: list[Change] = []
        after = None  # power of what the stage before gave
        for meter in self.meters.values():
            found.append(meter.finish(before=after))
            after = meter.difference.after
        return tuple(found)

    def _output(self) -> tuple[int, Unrolled]:
        rate = self.plan.sample_rate
        return rate, self.layout.resampled(self.sample_rate, rate)

    def _resample(self, stream: Iterator[Wav], channels: int) -> Iterator[Wav]:
        return resample(
            stream,
            from_hz=self.sample_rate,
            to_hz=self.plan.sample_rate,
            samples=self.layout.total,
            channels=channels,
        )

    def _through(self, stage: Remedy, stream: Iterator[Wav], meter: ChangeMeter) -> Iterator[Wav]:
        seconds = self.block_seconds * min(1.0, WHOLE_BLOCKS / self._stages)
        size = block_length(seconds, sample_rate=stage.sample_rate, channels=stage.channels)
        for before, after in stage.stream(stream, block_samples=size, resources=self.resources):
            meter.update(before, after)
            yield after


def loop_of(source: Source, plan: Plan) -> Loop | None:
    """Return the loop that the plan takes the piece for: as the file says, or all of it."""
    return (source.loop or Loop(0, source.samples)) if plan.loop else None


def reach_samples(source: Source, plan: Plan) -> int:
    """Return how much of the input on either side a sample may depend on, once all is done."""
    seconds, channels = RESAMPLER_SECONDS + FADE_SECONDS, source.channels
    for step in plan.steps:
        if step.on and step.stage != "loudness":
            piece = {"sample_rate": plan.sample_rate, "samples": source.samples}
            stage = build(step, channels=channels, **piece)
            seconds += stage.context_samples / plan.sample_rate
            channels = stage.channels_out
    return math.ceil(seconds * source.sample_rate)


def lay_out(source: Source, plan: Plan) -> Unrolled:
    """Return how a piece is laid out for the chain: as it is, or with more of itself around a loop.

    It takes no memory: what is laid around is read once more.
    """
    if not plan.loop:
        return Unrolled(source.samples)
    return Unrolled.of(
        loop_of(source, plan),
        source.samples,
        reach=reach_samples(source, plan),
        grid=source.sample_rate // math.gcd(source.sample_rate, plan.sample_rate),
    )
