"""The stems of a piece, set down while it is restored, so that they can be written afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.loop import Unrolled
from nitido.dsp.wav import Wav
from nitido.restoration.scratch import Scratch


class StemStore:
    """The stems of one piece, all of the same length, sample by sample beside each other.

    Attributes:
        names: of the stems, in order; empty until something is kept.
        channels: of each stem.
        sample_rate: of all of them, Hz.
        layout: of the piece that is kept; only the piece itself is given back.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.channels = 0
        self.sample_rate = 0
        self.layout = Unrolled(0)
        self._scratch: Scratch | None = None

    @property
    def samples(self) -> int:
        """Length of each stem."""
        return self.layout.samples

    def open(self, names: Sequence[str], *, channels: int, sample_rate: int) -> None:
        """Make room for stems of these names, forgetting what was kept of an earlier try."""
        self.close()
        self.names, self.channels, self.sample_rate = tuple(names), channels, sample_rate
        self._scratch = Scratch(channels=len(names) * channels)

    def add(self, stems: NDArray[np.float32]) -> None:
        """Keep the next samples of all stems, `[S, C, n]`."""
        if self._scratch is not None:
            self._scratch.append(stems.reshape(-1, stems.shape[2]))

    def blocks(self, name: str) -> Iterator[Wav]:
        """Yield one stem block by block, `[C, n]`."""
        first = self.names.index(name) * self.channels
        if self._scratch is not None:
            stored = self._scratch.blocks()
            for block in self.layout.piece(stored, sample_rate=self.sample_rate):
                yield block[first : first + self.channels]

    def close(self) -> None:
        """Give back what the stems take up."""
        if self._scratch is not None:
            self._scratch.close()
