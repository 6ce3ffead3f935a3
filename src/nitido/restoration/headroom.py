"""Headroom for lossy formats: what is decoded from the written file has to stay under the ceiling.

An encoder keeps the spectrum, not the waveform: of a piece that peaks at −1.1 dBTP it makes one
that peaks 0.1 to 1 dB higher, and more at low bit rates. So the file is decoded and measured, and
made again from a lower ceiling where it went over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from typing import Protocol

from nitido.audio import open_source
from nitido.diagnosis.analysis import Analysable
from nitido.dsp.chunks import block_length
from nitido.dsp.loudness import stream_true_peak_dbtp
from nitido.dsp.wav import Wav
from nitido.restoration.resources import Resources
from nitido.restoration.stage import Settings, Step
from nitido.restoration.stages.loudness import MARGIN_DB as LIMITER_MARGIN_DB
from nitido.restoration.stages.loudness import LevelProfile, Loudness

# A pass each: by how much more than it was over the ceiling is lowered, as an encoder makes other
# peaks from others; and whether the level gives way, too, as dense music is over by its body.
PASSES = ((0.2, False), (0.3, True))
LEVEL_MARGIN_DB = 0.1
LIMITING_MAX_DB = 2.0  # what an encoder adds beyond that is taken from the level, not from peaks
BLOCK_SECONDS = 6.0


class Write(Protocol):
    """Writes a stream to a file of its own."""

    def __call__(self, blocks: Iterable[Wav], *, overwrite: bool = False) -> Path:
        """Write the stream `[C, n]` and return the path."""


def write_under_ceiling(write: Write, piece: Analysable, loudness: Step) -> float | None:
    """Write a finished piece in a lossy format; return the ceiling that it was made with, dBTP.

    None where the level was kept: then no ceiling was asked for. The loudness stays what it was,
    unless the plan forbids to limit peaks, the encoder adds more than `LIMITING_MAX_DB`, or the
    second pass fails. The same piece gives the same bytes.

    Args:
        write: the file.
        piece: as its loudness stage left it.
        loudness: that stage, as carried out.
    """
    path = write(piece.blocks())
    if not loudness.on:
        return None
    asked = ceiling = float(loudness.settings["ceiling_dbtp"])
    profile: LevelProfile | None = None
    for margin_db, gives_way in PASSES:
        peak_dbtp = file_true_peak_dbtp(path)
        if peak_dbtp is None or peak_dbtp <= asked:
            break
        if profile is None:
            profile = _profile(piece)
            ceiling = min(ceiling, profile.peak_dbtp + LIMITER_MARGIN_DB)
        over_db = peak_dbtp - asked
        ceiling = round(ceiling - over_db - margin_db, 3)
        settings = {
            **loudness.settings,
            "target_lufs": (profile.lufs or 0.0) - gives_way * (over_db + LEVEL_MARGIN_DB),
            "ceiling_dbtp": ceiling,
            "max_limiting_db": min(loudness.settings["max_limiting_db"], LIMITING_MAX_DB),
        }
        path = write(_at(piece, profile.resolve(settings)[0]), overwrite=True)
    return ceiling


def file_true_peak_dbtp(path: Path) -> float | None:
    """Return the true peak of a file as it decodes, dBTP; None in silence."""
    decoded = open_source(path, max_seconds=inf)
    return stream_true_peak_dbtp(
        decoded.blocks(), sample_rate=decoded.sample_rate, channels=decoded.channels
    )


def _profile(piece: Analysable) -> LevelProfile:
    profile = LevelProfile(piece.sample_rate, piece.channels, limiting_max_db=LIMITING_MAX_DB)
    for block in piece.blocks():
        profile.update(block)
    return profile


def _at(piece: Analysable, settings: Settings) -> Iterator[Wav]:
    """Yield the piece at the gain and under the ceiling of these settings."""
    form = {"sample_rate": piece.sample_rate, "channels": piece.channels}
    stage = Loudness(settings, samples=piece.samples, **form)
    size = block_length(BLOCK_SECONDS, **form)
    for _, result in stage.stream(piece.blocks(), block_samples=size, resources=Resources()):
        yield result
