"""What a page shows of a sound: spectrograms as small PNG files, the average spectrum."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nitido.spectral import Frames, fft_size
from nitido.wav import Wav

Array = NDArray[np.float32]

COLUMNS, ROWS = 1200, 288
FRAME_SECONDS = 0.043  # 2048 samples at 48 kHz: shows both a hi-hat and a bass note
FINE_SECONDS = 0.512  # shows the single lines of a comb
CURVE_POINTS = 600
RANGE_DB = 90.0  # shown below the loudest point
DIFFERENCE_DB = 24.0
SILENCE = 1e-12  # frames without any power above, −120 dB, are left out of the average
SHADES = 97  # of a picture; odd, so that there is one for "no difference"

_Colour = tuple[int, int, int]
# Dark to light, equal steps look equal. Source: "magma" of matplotlib (CC0), nine of its colours.
HEAT: tuple[_Colour, ...] = (
    (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
    (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
)  # fmt: skip
# Blue for less, black for equal, orange for more: told apart by all kinds of colour vision.
CHANGE: tuple[_Colour, ...] = (
    (190, 225, 255), (84, 160, 232), (30, 84, 150), (8, 10, 18),
    (140, 66, 20), (236, 140, 60), (255, 222, 170),
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """What is shown of one sound.

    Attributes:
        spec_db: level over frequency (rows, low first) and time, `[ROWS, N]`, dB re a full-scale
            sine, N at most `COLUMNS`.
        curve_db: mean over time of the level at a fine resolution, silence left out, the highest
            of each of `CURVE_POINTS` steps of frequency, dB.
    """

    spec_db: Array
    curve_db: Array

    @classmethod
    def of(cls, wav: Wav, *, sample_rate: int, high_hz: float) -> View:
        """Return the view of `wav` `[C, T]` from 0 to `high_hz`."""
        share = high_hz / (sample_rate / 2)
        n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        power = np.concatenate(list(_powers(wav, Frames(n_fft, n_fft // 2))))
        shown = power[:, : round(share * (n_fft // 2)) + 1]
        columns = min(COLUMNS, len(shown))
        spec = _steps(_steps(shown, columns, axis=0), ROWS, axis=1)
        fine = fft_size(FINE_SECONDS, sample_rate=sample_rate)
        total, count = np.zeros(fine // 2 + 1, np.float32), 0
        for part in _powers(wav, Frames(fine, fine // 2)):
            sounding = part[part.max(axis=1) > SILENCE]
            total += _decibel(sounding).sum(axis=0)
            count += len(sounding)
        average = (total / count if count else _decibel(total))[: round(share * (fine // 2)) + 1]
        starts = _starts(len(average), CURVE_POINTS)
        return cls(_decibel(spec).T, np.maximum.reduceat(average, starts))


def spectrogram_png(view: View, *, top_db: float) -> bytes:
    """Return a spectrogram as a PNG file, `RANGE_DB` down from `top_db`."""
    return png((view.spec_db - top_db) / RANGE_DB + 1, HEAT)


def difference_png(before: View, after: View, *, top_db: float) -> bytes:
    """Return where `after` has more and where less level, as a PNG file, ±`DIFFERENCE_DB`.

    What lies further than `RANGE_DB` below `top_db` in both is no difference.
    """
    floor = top_db - RANGE_DB
    columns = min(before.spec_db.shape[1], after.spec_db.shape[1])
    old, new = (np.maximum(view.spec_db[:, :columns], floor) for view in (before, after))
    return png(np.asarray((new - old) / (2 * DIFFERENCE_DB) + 0.5, np.float32), CHANGE)


def png(values: Array, colours: Sequence[_Colour]) -> bytes:
    """Return an array `[rows, columns]`, 0 to 1, row 0 at the bottom, as a PNG with a palette."""
    rows, columns = values.shape
    shades = np.rint(values[::-1].clip(0, 1) * (SHADES - 1)).astype(np.uint8)
    lines = np.zeros((rows, columns + 1), np.uint8)  # the first byte of each row: no filter
    lines[:, 1:] = shades
    at = np.linspace(0, len(colours) - 1, SHADES)
    parts = np.array(colours, float).T
    palette = np.stack([np.interp(at, np.arange(len(colours)), part) for part in parts], axis=1)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", np.rint(palette).astype(np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content)
    )  # fmt: skip


def _powers(wav: Wav, frames: Frames) -> Iterator[Array]:
    """Yield the power of the frames, mean of the channels, `[N, F]`, 1 for a full-scale sine."""
    half = frames.n_fft // 2
    count = max(1, 2**18 // frames.hop_length)  # frames at once
    padded = np.pad(wav, ((0, 0), (half, half)))
    for start in range(0, wav.shape[1] + 1, count * frames.hop_length):
        part = padded[:, start : start + (count - 1) * frames.hop_length + frames.n_fft]
        spec = frames.analyse(part, first=start - half)
        yield (spec.real**2 + spec.imag**2).mean(axis=0) / np.float32(half / 2) ** 2


def _starts(length: int, steps: int) -> NDArray[np.intp]:
    return (np.arange(min(steps, length)) * length / min(steps, length)).astype(np.intp)


def _steps(power: Array, steps: int, *, axis: int) -> Array:
    """Return the means over `steps` equal parts along an axis."""
    starts = _starts(power.shape[axis], steps)
    sizes = np.diff([*starts, power.shape[axis]]).astype(np.float32)
    shape = (-1, 1) if axis == 0 else (1, -1)
    return np.asarray(np.add.reduceat(power, starts, axis=axis) / sizes.reshape(shape), np.float32)


def _decibel(power: Array) -> Array:
    return np.asarray(10 * np.log10(power + np.float32(1e-14)), np.float32)
