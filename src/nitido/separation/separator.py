"""One loaded model: the stems of a stream, segment by segment, cut and joined as Demucs does.

Demucs takes a piece apart in segments that begin every three quarters of a segment, and fades from
each to the next by weights that rise and fall in a triangle. Here the same segments lie on the same
grid of the whole piece, but only one is at work at a time, and its neighbours' overlap is all that
is kept. So the stems equal those of `demucs.apply.apply_model` (``shifts=0``, because shifting by
chance is not repeatable), and memory does not grow with the length of the piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.chunks import windows
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError, DeviceMemoryError
from nitido.optional import load
from nitido.separation.demucs_model import NEED, REMEDY, load_model

Stems = NDArray[np.float32]  # [S, C, n]

OVERLAP = 0.25  # of a segment, Demucs's default


class Separator(Protocol):
    """What takes a stream apart.

    Attributes:
        stems: their names, in order.
        sample_rate: that it works at, Hz.
        channels: that it takes and gives.
    """

    stems: tuple[str, ...]
    sample_rate: int
    channels: int

    def separate(self, blocks: Iterable[Wav], *, samples: int) -> Iterator[Stems]:
        """Yield the stems of a stream from its start on, `[S, C, n]`, `samples` in all."""


class Demucs:
    """A Demucs model, or several that work together."""

    def __init__(self, model: Any, device: str = "cpu") -> None:
        """Take a `demucs.apply.BagOfModels`; computes on `device`."""
        self.stems: tuple[str, ...] = tuple(model.sources)
        self.sample_rate = int(model.samplerate)
        self.channels = int(model.audio_channels)
        self._model = model.to(device)
        self._device = device
        self._segment = int(self.sample_rate * model.models[0].segment)

    def separate(self, blocks: Iterable[Wav], *, samples: int) -> Iterator[Stems]:
        """Yield the stems of a stream from its start on, `[S, C, n]`, at the model's sample rate.

        Args:
            blocks: waveforms `[C, n]` of any length.
            samples: length of the whole stream.
        """
        size = self._segment
        stride = int((1 - OVERLAP) * size)
        weight = triangle(size)
        shape = (len(self.stems), self.channels)
        total, weights = np.zeros((*shape, 0), np.float32), np.zeros(0, np.float32)
        # The last segments are shorter and see the sound before them: a segment's length of it.
        for window, start in windows(blocks, size=stride, context=size):
            length = min(size, samples - start)
            part = self._apply(window, size, length)
            total = np.pad(total, ((0, 0), (0, 0), (0, length - total.shape[2])))
            weights = np.pad(weights, (0, length - len(weights)))
            total += weight[:length] * part
            weights += weight[:length]
            count = min(stride, length)
            yield total[:, :, :count] / weights[:count]
            total, weights = total[:, :, count:], weights[count:]

    def _apply(self, window: Wav, start: int, length: int) -> Stems:
        """Return the stems of `length` samples from `start` on, `[S, C, length]`."""
        torch = load("torch", need=NEED, remedy=REMEDY)
        apply = load("demucs.apply", need=NEED, remedy=REMEDY)
        mix = torch.from_numpy(np.ascontiguousarray(window))[None]
        chunk = apply.TensorChunk(mix, start, length)
        try:
            stems = apply.apply_model(
                self._model, chunk, shifts=0, split=False, device=self._device
            )
        except RuntimeError as error:
            if "out of memory" in str(error):
                raise DeviceMemoryError(
                    f"The model does not fit into the memory of {self._device}; compute on the cpu "
                    "(device 'cpu'), or take a smaller model."
                ) from error
            raise
        return np.asarray(stems[0].cpu().numpy(), np.float32)


@lru_cache(maxsize=1)  # for all the pieces of a run; two models at once would only cost memory
def open_separator(name: str, folder: Path | None = None, device: str = "auto") -> Separator:
    """Return the separator of that name, loaded.

    Args:
        name: see `nitido.separation.demucs_model.load_model`.
        folder: likewise.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        ConfigError: no such model, or no such device here.
        MissingExtraError: Demucs is not installed.
        WeightsError: its files cannot be had or must not be used.
    """
    device = find_device(device)
    return Demucs(load_model(name, folder), device)


def find_device(wanted: str) -> str:
    """Return the device to compute on; ``auto`` is the fastest that is here.

    Raises:
        ConfigError: it is not here.
    """
    torch = load("torch", need=NEED, remedy=REMEDY)
    here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(name for name, there in here.items() if there)
    kind, _, number = wanted.partition(":")
    if not here.get(kind) or (number and not number.isdecimal()):
        there = ", ".join(name for name, found in here.items() if found)
        raise ConfigError(f"There is no device {wanted!r} here; there is {there}.")
    return wanted


def triangle(size: int) -> NDArray[np.float32]:
    """Return the weights of a segment `[size]`, 1 in the middle, falling to either end.

    Source: `demucs.apply.apply_model` with `transition_power` 1.
    """
    rise = np.arange(1, size // 2 + 1, dtype=np.float32)
    fall = np.arange(size - size // 2, 0, -1, dtype=np.float32)
    weight = np.concatenate([rise, fall])
    return np.asarray(weight / weight.max(), np.float32)
