"""Coded sound that is no result: played inside a page, or decoded to see what a codec did."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import soundfile as sf

from nitido.audio import ffmpeg
from nitido.audio.dither import TILE_SAMPLES, Quantiser
from nitido.audio.ogg import OggRewriter
from nitido.audio.sanitize import SanitizedBlocks
from nitido.audio.source import FileSource, Source
from nitido.dsp.chunks import reblock
from nitido.dsp.resample import resample
from nitido.dsp.wav import Wav
from nitido.errors import AudioWriteError

OPUS_RATE_HZ = 48_000  # what Opus works at inside, whatever it is given
_LOWEST_KBPS, _HIGHEST_KBPS = 6.0, 256.0  # per channel: libsndfile's compression levels 1 and 0
_MP3_LOWEST_KBPS, _MP3_HIGHEST_KBPS = 32.0, 320.0
_VORBIS_KBPS = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)  # stereo: quality 0, 0.1 … 1
CODECS: Mapping[str, str] = MappingProxyType(
    {"mp3": "MP3", "aac": "AAC", "opus": "Opus", "vorbis": "Vorbis"}
)
_CODED_RATES_HZ = (32_000, 44_100, 48_000)  # that all but Opus take as they are


def flac_bytes(wav: Wav, *, sample_rate: int) -> bytes:
    """Return a waveform `[C, T]`, C ≤ 8, as a FLAC file of 16 bit with TPDF dither."""
    buffer, quantise = io.BytesIO(), Quantiser(16)
    with sf.SoundFile(
        buffer, "w", samplerate=sample_rate, channels=len(wav), format="FLAC", subtype="PCM_16"
    ) as out:
        for start in range(0, wav.shape[1], TILE_SAMPLES):
            out.write(quantise(wav[:, start : start + TILE_SAMPLES]))
    return buffer.getvalue()


def opus_bytes(wav: Wav, *, kbps_per_channel: float) -> bytes:
    """Return a waveform `[C, T]` at 48 kHz as an Ogg Opus file; the same sound, the same bytes.

    Args:
        wav: waveform at `OPUS_RATE_HZ`.
        kbps_per_channel: bit rate that the encoder aims at, 6 to 256 kbit/s for each channel.
    """
    level = (_HIGHEST_KBPS - kbps_per_channel) / (_HIGHEST_KBPS - _LOWEST_KBPS)
    buffer = io.BytesIO()
    with sf.SoundFile(
        buffer,
        "w",
        samplerate=OPUS_RATE_HZ,
        channels=len(wav),
        format="OGG",
        subtype="OPUS",
        compression_level=level,
    ) as out:
        for start in range(0, wav.shape[1], TILE_SAMPLES):
            out.write(np.ascontiguousarray(wav[:, start : start + TILE_SAMPLES].T))
    return OggRewriter({}).feed(buffer.getvalue())


@contextmanager
def encoded(source: Source, codec: str, kbps: int) -> Iterator[FileSource]:
    """Give a piece as it sounds after a lossy codec, for as long as the context lasts.

    Args:
        source: of the sound; what is not at 32, 44.1 or 48 kHz is taken to 48 kHz.
        codec: one of `CODECS`.
        kbps: bit rate of all channels together, which the encoder aims at.

    Raises:
        AudioWriteError: the codec takes no such sound.
        MissingExtraError: AAC without the ffmpeg program.
    """
    rate, channels = source.sample_rate, source.channels
    rates = (OPUS_RATE_HZ,) if codec == "opus" else _CODED_RATES_HZ
    coded_hz = rate if rate in rates else OPUS_RATE_HZ
    stream = resample(
        SanitizedBlocks(source.blocks()),
        from_hz=rate,
        to_hz=coded_hz,
        samples=source.samples,
        channels=channels,
    )
    with tempfile.TemporaryDirectory(prefix="nitido-") as folder:
        if codec == "aac":
            path = Path(folder, "coded.m4a")
            ffmpeg.encode_aac(path, stream, sample_rate=coded_hz, channels=channels, kbps=kbps)
        else:
            path = Path(folder, "coded")
            form = _libsndfile_form(codec, kbps, channels)
            _encode(path, stream, CODECS[codec], samplerate=coded_hz, channels=channels, **form)
        yield FileSource(path, max_seconds=float("inf"))


def _libsndfile_form(codec: str, kbps: int, channels: int) -> dict[str, Any]:
    """Return what libsndfile calls such a codec at such a bit rate."""
    if codec == "mp3":
        level = (_MP3_HIGHEST_KBPS - kbps) / (_MP3_HIGHEST_KBPS - _MP3_LOWEST_KBPS)
        form = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"}
    elif codec == "opus":
        level = (_HIGHEST_KBPS - kbps / channels) / (_HIGHEST_KBPS - _LOWEST_KBPS)
        form = {"format": "OGG", "subtype": "OPUS"}
    else:
        qualities = np.linspace(0.0, 1.0, len(_VORBIS_KBPS))
        level = 1.0 - float(np.interp(2 * kbps / channels, _VORBIS_KBPS, qualities))
        form = {"format": "OGG", "subtype": "VORBIS"}
    return {**form, "compression_level": min(max(level, 0.0), 0.999)}


def _encode(path: Path, blocks: Iterable[Wav], codec: str, **form: Any) -> None:
    try:
        with sf.SoundFile(path, "w", **form) as out:
            for block in reblock(blocks, TILE_SAMPLES):
                out.write(np.ascontiguousarray(block.T))
    except sf.SoundFileError as error:
        raise AudioWriteError(
            f"{codec} takes no {form['channels']} channels at {form['samplerate']} Hz."
        ) from error
