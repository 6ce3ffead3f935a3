"""A piece set down between two passes: in memory while short, in an unnamed file when long."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable, Iterator

import numpy as np

from nitido.audio import no_room
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError, ConfigError

BLOCK_VALUES = 2**19  # handed on at once, over all channels: 2 MiB
MEMORY_MAX_BYTES = 16 * 2**20  # 43 s of 48 kHz stereo: what generators give stays in memory


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
        try:
            self._file.seek(0, 2)
            self._file.write(np.ascontiguousarray(block.T, np.float32).tobytes())
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
        """Yield the stored samples from the start, `[C, n]`.

        Raises:
            ConfigError: it was closed.
        """
        if not self.close.alive:
            raise ConfigError("The restoration was closed: its sound is gone; restore again.")
        block_samples = block_samples or BLOCK_VALUES // self.channels
        size = 4 * self.channels
        position = 0
        while position < self.samples:
            self._file.seek(position * size)
            raw = self._file.read(block_samples * size)
            block = np.frombuffer(raw, np.float32).reshape(-1, self.channels)
            position += len(block)
            yield np.ascontiguousarray(block.T)
