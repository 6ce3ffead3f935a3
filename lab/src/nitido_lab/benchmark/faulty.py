"""A piece with the faults that the default stages are for, of any length: speed and memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nitido.audio import write
from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav

SAMPLE_RATE = 48_000
CEILING_HZ = 16_000.0
QUIET_DB = -12.0
LOOP_SECONDS = 30.0  # rendered once, then repeated: it is the length that costs, not the music


def faulty_piece(seconds: float) -> Wav:
    """Return 48 kHz stereo with the faults that the default stages are for, `[2, T]`."""
    samples = round(seconds * SAMPLE_RATE)
    clean = render(seconds=min(seconds, LOOP_SECONDS), sample_rate=SAMPLE_RATE)
    repeated = np.tile(clean, (1, -(-samples // clean.shape[1]) + 1))
    cut = repeated[:, clean.shape[1] // 3 :][:, :samples]  # neither starts nor ends by itself
    narrow = lower_ceiling(cut, sample_rate=SAMPLE_RATE, ceiling_hz=CEILING_HZ)
    return add_comb(narrow, sample_rate=SAMPLE_RATE) * np.float32(10 ** (QUIET_DB / 20))


def write_piece(path: Path, minutes: float) -> None:
    """Write faulty 48 kHz stereo of that length, without holding it."""
    samples = round(minutes * 60 * SAMPLE_RATE)
    loop = faulty_piece(min(LOOP_SECONDS, minutes * 60))

    def blocks() -> Iterator[Wav]:
        for start in range(0, samples, loop.shape[1]):
            yield loop[:, : samples - start]

    write(path, blocks(), sample_rate=SAMPLE_RATE, channels=2, samples=samples)
