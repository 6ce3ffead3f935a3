"""A piece set down between two passes: in memory while short, in an unnamed file when long."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Iterator

import numpy as np

from nitido.audio import no_room
from nitido.dsp.chunks import reblock
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError, ConfigError

BLOCK_VALUES = 2**19  # handed on at once, over all channels: 2 MiB
MEMORY_MAX_BYTES = 8 * 2**20  # 22 s of 48 kHz stereo: a clip stays in memory


class Scratch:
    """Float32 samples that are written once and can be read many times.

    The file has no name, so the system removes it even if the process is killed.

    Attributes:
        channels: of the piece.
        samples: stored so far.
        peak: the highest of them, without its sign.
    """

    def __init__(self, *, channels: int) -> None:
        self.channels = channels
        self.samples = 0
        self.peak = 0.0
        self._lengths: list[int] = []  # of what was stored at once, each channel after the other
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY_MAX_BYTES)  # noqa: SIM115
        self.close = weakref.finalize(self, self._file.close)  # gives memory or file back

    def append(self, block: Wav) -> None:
        """Store the next samples `[C, n]`.

        Raises:
            AudioShapeError: another number of channels than announced.
            AudioWriteError: the temporary folder has no room.
        """
        if block.shape[0] != self.channels:
            raise AudioShapeError(f"{self.channels} channels were announced, {len(block)} came.")
        most = max(1, BLOCK_VALUES // self.channels)
        try:
            self._file.seek(0, 2)
            for start in range(0, block.shape[1], most):
                part = np.ascontiguousarray(block[:, start : start + most], np.float32)
                self._file.write(part.data)
                self._lengths.append(part.shape[1])
        except OSError as error:
            raise no_room(error) from error
        self.samples += block.shape[1]
        self.peak = max(self.peak, float(block.max(initial=0)), -float(block.min(initial=0)))

    def fill(self, blocks: Iterable[Wav]) -> Iterator[Wav]:
        """Append the blocks, handing each on after it was stored."""
        for block in blocks:
            self.append(block)
            yield block

    def blocks(self, block_samples: int | None = None) -> Iterator[Wav]:
        """Yield the stored samples from the start, `[C, n]`, as they were stored if not told.

        Raises:
            ConfigError: it was closed.
        """
        stored = self._stored()
        return stored if block_samples is None else reblock(stored, block_samples)

    def _stored(self) -> Iterator[Wav]:
        position = 0
        for length in self._lengths:
            if not self.close.alive:
                raise ConfigError("The restoration was closed: its sound is gone; restore again.")
            block = np.empty((self.channels, length), np.float32)
            self._file.seek(position)
            position += self._file.readinto(block.data)
            yield block
