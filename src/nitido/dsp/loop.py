"""A loop has no ends: after its last sample comes its first.

Resampler, stages and limiter look around each sample, and take what is outside the piece for
silence. So a loop is laid out with more of itself before and after (`Unrolled.blocks`), worked on
as if it were a longer piece, and cut out again (`Unrolled.piece`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from nitido.dsp.chunks import take
from nitido.dsp.resample import resampled_length
from nitido.dsp.wav import Wav

FADE_SECONDS = 0.01


@dataclass(frozen=True)
class Loop:
    """The part of a piece that is played again and again.

    Attributes:
        start: its first sample.
        end: the sample after its last.
    """

    start: int
    end: int

    def resampled(self, samples: int, from_hz: int, to_hz: int) -> Loop:
        """Return the loop at another sample rate: as long as it was, to the nearest sample.

        One that goes to the end of the piece goes to its end there, too.

        >>> Loop(44_100, 264_600).resampled(264_600, 44_100, 48_000)
        Loop(start=48000, end=288000)

        Args:
            samples: of the piece.
            from_hz: sample rate of the piece, Hz.
            to_hz: sample rate wanted, Hz.
        """
        start = nearest(self.start, from_hz, to_hz)
        length = max(1, nearest(self.end - self.start, from_hz, to_hz))
        if self.end < samples:
            return Loop(start, start + length)
        end = resampled_length(samples, from_hz, to_hz)
        return Loop(max(0, end - length) if self.start else 0, end)


def nearest(position: int, from_hz: int, to_hz: int) -> int:
    """Return where a sample lies at another sample rate, to the nearest sample.

    >>> nearest(44_099, 44_100, 48_000)
    47999
    """
    return (2 * position * to_hz + from_hz) // (2 * from_hz)


@dataclass(frozen=True)
class Unrolled:
    """How a piece is laid out to be worked on: as it is, or as a loop, with more on either side.

    Attributes:
        samples: of the piece.
        lead: samples of its end that are laid before it; 0 where the start is a start.
        tail: samples that are laid after it; 0 where the end is an end.
        again: sample of the piece with which they begin.
    """

    samples: int
    lead: int = 0
    tail: int = 0
    again: int = 0

    @classmethod
    def of(cls, loop: Loop | None, samples: int, *, reach: int, grid: int = 1) -> Unrolled:
        """Return the layout of a piece.

        A piece that is a loop as a whole runs on at both ends. One that has a loop at its end runs
        on there; before its start is silence. A loop that ends before the piece does has what
        follows it beside it already.

        Args:
            loop: in the piece; None: it is none.
            samples: of the piece.
            reach: how many samples around a sample the work depends on.
            grid: that many samples before the piece, or a multiple, are whole at the other rate.
        """
        if loop is None or loop.end < samples:
            return cls(samples)
        reach = math.ceil(reach / grid) * grid
        return cls(samples, 0 if loop.start else reach, reach, loop.start)

    @property
    def total(self) -> int:
        """How many samples are laid out in all."""
        return self.lead + self.samples + self.tail

    def inside(self, judged: tuple[int, int]) -> tuple[int, int]:
        """Return the part of a stretch of the layout, `(first, after the last)`, in the piece."""
        return max(judged[0], self.lead), min(judged[1], self.lead + self.samples)

    def resampled(self, from_hz: int, to_hz: int) -> Unrolled:
        """Return the layout at another sample rate."""
        lead = self.lead * to_hz // from_hz
        samples = resampled_length(self.samples, from_hz, to_hz)
        total = resampled_length(self.total, from_hz, to_hz)
        return replace(self, samples=samples, lead=lead, tail=max(0, total - lead - samples))

    def blocks(self, read: Callable[[], Iterable[Wav]]) -> Iterator[Wav]:
        """Yield the piece as it is laid out, `[C, n]`.

        Args:
            read: gives the piece from its start, as often as it is called.
        """
        loop = Loop(self.again, self.samples)
        yield from _played(read, loop, before=self.lead)
        yield from read()
        yield from _played(read, loop, after=self.tail)

    def approach(self, read: Callable[[], Iterable[Wav]]) -> Iterator[Wav]:
        """Yield the start of a loop at its place in the piece, before it the end of the loop.

        Args:
            read: gives the piece from its start, as often as it is called.
        """
        loop = Loop(self.again, self.samples)
        yield from _played(read, loop, before=self.again)
        yield from _played(read, loop, after=self.tail)

    def piece(
        self, blocks: Iterable[Wav], *, sample_rate: int, before: Wav | None = None
    ) -> Iterator[Wav]:
        """Yield the piece alone, `[C, n]`, out of what was worked on.

        Two passes over the same music are not quite the same: noise that was added, frames and
        rates that do not divide the loop. So the last 10 ms go over into what comes before the
        loop's start where its end leads there, and run into it to the bit.

        Args:
            blocks: as `blocks` gave them, worked on.
            sample_rate: Hz.
            before: what that is, 10 ms, where other music comes before the loop.
        """
        leading = np.zeros((1, 0), np.float32) if before is None else before
        most = round(FADE_SECONDS * sample_rate)
        position = -self.lead
        for block in take(blocks, self.total):
            if position < 0:
                near = [leading] if leading.size else []
                leading = np.concatenate([*near, block[:, :-position]], axis=1)[:, -most:]
            inside = block[:, max(0, -position) : max(0, self.samples - position)]
            if inside.shape[1]:
                yield self._closed(inside, max(0, position), leading[:, -self.samples :])
            position += block.shape[1]

    def _closed(self, wav: Wav, first: int, leading: Wav) -> Wav:
        """Return samples of the piece from `first` on; its last go over into `leading`."""
        fade = leading.shape[1]
        begin = self.samples - fade
        if not fade or first + wav.shape[1] <= begin:
            return wav
        at = np.arange(max(first, begin), first + wav.shape[1]) - begin
        share = (0.5 - 0.5 * np.cos(np.pi * (at + 1) / (fade + 1))).astype(np.float32)
        closed = wav.copy()
        part = closed[:, -len(at) :]
        part += share * (leading[:, at] - part)
        return closed


def span(blocks: Iterable[Wav], first: int, last: int) -> Iterator[Wav]:
    """Yield the samples of a stream from `first` on up to `last`, which is not included."""
    position = 0
    for block in blocks:
        if position >= last:
            return
        part = block[:, max(0, first - position) : last - position]
        position += block.shape[1]
        if part.shape[1]:
            yield part


def _played(
    read: Callable[[], Iterable[Wav]], loop: Loop, *, before: int = 0, after: int = 0
) -> Iterator[Wav]:
    """Yield what is played so many samples before a loop begins again, and after that."""
    length = loop.end - loop.start
    left, start = before + after, loop.end - before % length if before % length else loop.start
    while left > 0:
        end = min(loop.end, start + left)
        yield from span(read(), start, end)
        left, start = left - (end - start), loop.start
