"""A loop has no ends: after its last sample comes its first.

Resampler, stages and limiter look around each sample, and take what is outside the piece for
silence. So a loop is laid out with more of itself before and after (`Unrolled.blocks`), worked on
as if it were a longer piece, and cut out again (`Unrolled.piece`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from nitido.dsp.chunks import take
from nitido.dsp.resample import resampled_length
from nitido.dsp.wav import Wav

FADE_SECONDS = 0.01
_HELD_SAMPLES = 2**16


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
        loop: in the piece; None: it is none.
        lead: samples of the loop's end that are laid before the piece.
        tail: samples of the loop's start that are laid after it.
    """

    samples: int
    loop: Loop | None = None
    lead: int = 0
    tail: int = 0

    @classmethod
    def of(cls, loop: Loop | None, samples: int, *, reach: int, grid: int = 1) -> Unrolled:
        """Return the layout of a piece: where it begins, or ends, with the loop, it runs on.

        Args:
            loop: in the piece; None: it is none.
            samples: of the piece.
            reach: how many samples around a sample the work depends on.
            grid: that many samples before the piece, or a multiple, are whole at the other rate.
        """
        if loop is None:
            return cls(samples)
        reach = math.ceil(reach / grid) * grid
        return cls(samples, loop, 0 if loop.start else reach, reach if loop.end == samples else 0)

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
        tail = max(0, resampled_length(self.total, from_hz, to_hz) - lead - samples)
        loop = self.loop and self.loop.resampled(self.samples, from_hz, to_hz)
        return Unrolled(samples, loop, lead, tail)

    def blocks(self, read: Callable[[], Iterable[Wav]]) -> Iterator[Wav]:
        """Yield the piece as it is laid out, `[C, n]`.

        Args:
            read: gives the piece from its start, as often as it is called.
        """
        loop = self.loop or Loop(0, self.samples)
        yield from _played(read, loop, before=self.lead)
        yield from read()
        yield from _played(read, loop, after=self.tail)

    def piece(
        self, blocks: Iterable[Wav], *, sample_rate: int, before: Wav | None = None
    ) -> Iterator[Wav]:
        """Yield the piece alone, `[C, n]`, out of what was worked on.

        Two passes over the same music are not quite the same: noise that was added, frames and
        rates that do not divide the loop. So the last 10 ms of the loop go over into what comes
        before its start where its end leads there, and run into it to the bit.

        Args:
            blocks: as `blocks` gave them, worked on.
            sample_rate: Hz.
            before: what that is, 10 ms, where other music comes before the loop; see `approach`.
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
                yield self._closed(inside, max(0, position), leading)
            position += block.shape[1]

    def _closed(self, wav: Wav, first: int, leading: Wav) -> Wav:
        """Return samples of the piece from `first` on; the loop's last go over into `leading`."""
        if self.loop is None or not leading.shape[1]:
            return wav
        leading = leading[:, -(self.loop.end - self.loop.start) :]
        fade = leading.shape[1]
        begin = self.loop.end - fade
        at = np.arange(max(first, begin), min(first + wav.shape[1], self.loop.end))
        if not at.size:
            return wav
        share = (0.5 - 0.5 * np.cos(np.pi * (at - begin + 1) / (fade + 1))).astype(np.float32)
        closed = wav.copy()
        closed[:, at - first] += share * (leading[:, at - begin] - closed[:, at - first])
        return closed


def approach(
    read: Callable[[], Iterable[Wav]], loop: Loop, *, channels: int, reach: int
) -> Iterator[Wav]:
    """Yield the start of a loop at its place in the piece, `[C, n]`, before it the loop's end.

    Args:
        read: gives the piece from its start, as often as it is called.
        loop: in the piece.
        channels: of the piece, C.
        reach: how many samples to yield before the loop's start, and after; further back is 0.
    """
    before = min(loop.start, reach)
    for first in range(0, loop.start - before, _HELD_SAMPLES):
        yield np.zeros((channels, min(_HELD_SAMPLES, loop.start - before - first)), np.float32)
    yield from _played(read, loop, before=before)
    yield from _played(read, loop, after=reach)


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
    length, left = loop.end - loop.start, before + after
    start = -before % length
    if left and length < _HELD_SAMPLES:  # a file is not read again for each round of a short loop
        held = np.concatenate(list(span(read(), loop.start, loop.end)), axis=1)
        for first in range(start, start + left, _HELD_SAMPLES):
            last = min(first + _HELD_SAMPLES, start + left)
            yield held[:, np.arange(first, last) % length]
        return
    while left > 0:
        stop = min(length, start + left)
        yield from span(read(), loop.start + start, loop.start + stop)
        left, start = left - (stop - start), 0
