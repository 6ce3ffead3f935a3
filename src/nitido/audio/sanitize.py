"""Samples that are no sound: NaN, Inf and the like are replaced, counted, and their places kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.chunks import reblock
from nitido.dsp.wav import Wav

_TILE_SAMPLES = 2**16
_SPANS_MAX = 1000
# +200 dBFS: larger numbers are no sound, and their squares would soon be infinite.
_LARGEST = np.float32(1e10)


class SanitizedBlocks:
    """The same stream with every NaN and Inf replaced; count and places are known afterwards.

    A sample beyond +200 dBFS counts as infinite.

    A gap inside a tile of 65 536 samples is bridged by a straight line between its neighbours; at
    the edge of a tile, where one neighbour is not in sight, it becomes 0. Tiles are counted from
    the start of the stream, so the result does not depend on how the stream was cut.

    Attributes:
        count: samples, over all channels, that have been replaced so far.
        spans: `(start, end)` in samples of the places where any channel was not finite; the
            first 1000.
    """

    def __init__(self, blocks: Iterable[Wav]) -> None:
        self.count = 0
        self.spans: list[tuple[int, int]] = []
        self._blocks = blocks

    def __iter__(self) -> Iterator[Wav]:
        start = 0
        for block in reblock(self._blocks, _TILE_SAMPLES):
            good = np.abs(block) <= _LARGEST  # not so for NaN
            yield block if good.all() else self._repaired(block, good, start)
            start += block.shape[1]

    def _repaired(self, block: Wav, good: NDArray[np.bool_], start: int) -> Wav:
        self.count += int(np.count_nonzero(~good))
        self._note(np.logical_not(np.all(good, axis=0)), start)
        repaired = block.copy()
        grid = np.arange(block.shape[1])
        for wav, known in zip(repaired, good, strict=True):
            if known.any():
                wav[~known] = np.interp(grid[~known], grid[known], wav[known], left=0, right=0)
            else:
                wav[:] = 0
        return repaired

    def _note(self, bad: NDArray[np.bool_], start: int) -> None:
        edges = np.flatnonzero(np.diff(bad, prepend=False, append=False)) + start
        for low, high in edges.reshape(-1, 2).tolist():
            if self.spans and self.spans[-1][1] == low:  # goes on from the tile before
                self.spans[-1] = (self.spans[-1][0], high)
            elif len(self.spans) < _SPANS_MAX:
                self.spans.append((low, high))
            else:
                return


def sanitize(blocks: Iterable[Wav]) -> SanitizedBlocks:
    """Return the stream with NaN and Inf replaced; iterate it once, then read `count`, `spans`."""
    return SanitizedBlocks(blocks)
