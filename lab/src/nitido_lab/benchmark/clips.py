"""Clips: which pieces a task takes, which part of each, and what is read of it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nitido.audio import SanitizedBlocks, Source, open_source
from nitido.batch.names import AUDIO_SUFFIXES
from nitido.dsp.chunks import join, take
from nitido.dsp.resample import resample
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError

SAMPLE_RATE = 48_000  # at which everything is judged
INDEX = "index.csv"
FADE_IN_SECONDS, FADE_OUT_SECONDS = 0.05, 1.0  # an excerpt is cut out of its piece; it has an end


@dataclass(frozen=True)
class Clip:
    """One clip of a task, as plain data: it goes to another process.

    Attributes:
        name: unlike all others; a system's file has it as its stem.
        path: of the file.
        group: part of the task that it belongs to, such as a codec.
        start_seconds: where the part that is used begins.
        seconds: how long it is at most.
        reference: file of the clean original.
        lag_seconds: how much later the file is than its reference.
    """

    name: str
    path: Path
    group: str = ""
    start_seconds: float = 0.0
    seconds: float = 60.0
    reference: Path | None = None
    lag_seconds: float = 0.0


@dataclass(frozen=True)
class Case:
    """What is given to the systems, and what their results are held against.

    Attributes:
        name: of the clip.
        wav: as every system gets it, `[C, T]`.
        sample_rate: of `wav`, Hz.
        reference: mono at 48 kHz, `[1, U]`.
        about: further numbers that the judging needs.
        visqol: False where ViSQOL is left out, which takes longer than all else together.
    """

    name: str
    wav: Wav
    sample_rate: int
    reference: Wav
    about: dict[str, Any] = field(default_factory=dict)
    visqol: bool = True


def audio_below(folder: Path) -> list[Path]:
    """Return the audio files of a folder and below, sorted by name.

    Raises:
        ConfigError: no such folder, or no audio in it.
    """
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder}; give the one that holds the clips.")
    found = sorted(
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith(".")
    )
    if not found:
        raise ConfigError(f"The folder {folder} holds no audio.")
    return found


def name_of(path: Path, folder: Path) -> str:
    """Return the name of a clip: where it lies in the folder, without its suffix.

    >>> name_of(Path("clips/rock/loud.wav"), Path("clips"))
    'rock_loud'
    """
    return "_".join(path.relative_to(folder).with_suffix("").parts)


def spread(paths: Sequence[Path], limit: int | None) -> list[Path]:
    """Return at most `limit` of the files, evenly over the list."""
    if limit is None or limit >= len(paths):
        return list(paths)
    return [paths[index * len(paths) // limit] for index in range(limit)]


def excerpt_of(path: Path, seconds: float) -> tuple[float, float]:
    """Return start and length of the part of a file that is used: from its third on, s."""
    source = open_source(path)
    length = source.samples / source.sample_rate
    return max(0.0, min(length / 3, length - seconds)), min(seconds, length)


def index_rows(folder: Path) -> Iterator[tuple[dict[str, str], Path]]:
    """Yield the rows of the `index.csv` of a folder or of the one above, and where it lies."""
    for place in (folder, folder.absolute().parent):
        path = place / INDEX
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    yield row, place
            return


def read(
    path: Path, *, start_seconds: float = 0.0, seconds: float = 60.0, sample_rate: int | None = None
) -> tuple[Wav, int]:
    """Return a part of a file `[C, T]` and its sample rate, resampled if `sample_rate` is given."""
    source = open_source(path)
    rate = source.sample_rate
    start, samples = round(start_seconds * rate), round(seconds * rate)
    samples = min(samples, source.samples - start)
    wav = join(take(_from(source, start), samples), channels=source.channels)
    if sample_rate is None or sample_rate == rate:
        return wav, rate
    return at_rate(wav, from_hz=rate, to_hz=sample_rate), sample_rate


def at_rate(wav: Wav, *, from_hz: int, to_hz: int = SAMPLE_RATE) -> Wav:
    """Return a waveform `[C, T]` at another sample rate."""
    channels, samples = wav.shape
    stream = resample([wav], from_hz=from_hz, to_hz=to_hz, samples=samples, channels=channels)
    return join(stream, channels=channels)


def mono(wav: Wav) -> Wav:
    """Return the mean of the channels, `[1, T]`."""
    return np.asarray(wav.mean(axis=0, keepdims=True, dtype=np.float64), np.float32)


def faded(wav: Wav, *, sample_rate: int) -> Wav:
    """Return an excerpt that comes and goes, so that it has no click and no cut end."""
    envelope = np.ones(wav.shape[1], np.float32)
    for seconds, where in (
        (FADE_IN_SECONDS, slice(None)),
        (FADE_OUT_SECONDS, slice(None, None, -1)),
    ):
        length = min(round(seconds * sample_rate), wav.shape[1] // 2)
        envelope[where][:length] *= (
            np.sin(np.linspace(0, np.pi / 2, length)).astype(np.float32) ** 2
        )
    return wav * envelope


def _from(source: Source, start: int) -> Iterator[Wav]:
    """Yield the samples of a source from `start` on."""
    for block in SanitizedBlocks(source.blocks()):
        if start < block.shape[1]:
            yield block[:, start:]
        start = max(0, start - block.shape[1])
