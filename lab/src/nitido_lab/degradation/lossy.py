"""Lossy coders, there and back: what is left of the music, in its place to the sample.

MP3 (LAME), Vorbis and Opus are in libsndfile and work in memory; AAC needs the ffmpeg program.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from typing import Any, Final

import numpy as np
import soundfile as sf

from nitido.dsp.chunks import join
from nitido.dsp.resample import resample, resampled_length
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError, MissingExtraError

OPUS_RATES_HZ: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
# Bit rates from highest to lowest, kbit/s: libsndfile takes a place between them, 0 to 1.
MP3_KBPS = (320, 32)
MP3_LOW_RATE_KBPS = (160, 8)  # MPEG-2, below 32 kHz
MP3_LOW_RATE_HZ = 24_000
OPUS_KBPS_PER_CHANNEL = (256, 6)
_BLOCK_SAMPLES = 16_384
_LAG_MAX_SECONDS = 0.1  # coders start late by some thousand samples at most


def mp3(wav: Wav, *, sample_rate: int, kbps: int) -> Wav:
    """Return `wav` `[C, T]` after MP3 at a constant bit rate; below 32 kbit/s at 24 kHz.

    Args:
        wav: waveform of one or two channels.
        sample_rate: Hz; 32, 44.1 or 48 kHz.
        kbps: 8 to 320 kbit/s, of all channels together.

    Raises:
        ConfigError: the bit rate is out of range.
    """
    rate, (high, low) = sample_rate, MP3_KBPS
    if kbps < low:
        rate, (high, low) = MP3_LOW_RATE_HZ, MP3_LOW_RATE_KBPS
    level = _level(kbps, high, low)
    options = {"compression_level": level, "bitrate_mode": "CONSTANT"}
    return _libsndfile(wav, sample_rate, rate, "MP3", "MPEG_LAYER_III", options)


def opus(wav: Wav, *, sample_rate: int, kbps: int) -> Wav:
    """Return `wav` `[C, T]` after Opus at about `kbps` kbit/s, of all channels together.

    Args:
        wav: waveform `[C, T]`.
        sample_rate: Hz; 8, 12, 16, 24 or 48 kHz.
        kbps: 6 to 256 kbit/s per channel.

    Raises:
        ConfigError: the bit rate or the sample rate is out of range.
    """
    if sample_rate not in OPUS_RATES_HZ:
        raise ConfigError(f"Opus does not know {sample_rate} Hz; resample to 48000 Hz.")
    level = _level(kbps / wav.shape[0], *OPUS_KBPS_PER_CHANNEL)
    return _libsndfile(wav, sample_rate, sample_rate, "OGG", "OPUS", {"compression_level": level})


def vorbis(wav: Wav, *, sample_rate: int, quality: float) -> Wav:
    """Return `wav` `[C, T]` after Vorbis; quality 0 is about 64 kbit/s stereo, 1 about 500.

    Raises:
        ConfigError: the quality is outside 0 to 1.
    """
    level = _level(quality, 1.0, 0.0)
    return _libsndfile(wav, sample_rate, sample_rate, "OGG", "VORBIS", {"compression_level": level})


def aac(wav: Wav, *, sample_rate: int, kbps: int) -> Wav:
    """Return `wav` `[C, T]` after AAC-LC by the ffmpeg program, of all channels together.

    Raises:
        MissingExtraError: ffmpeg is not installed.
    """
    channels = wav.shape[0]
    raw = ("-f", "f32le", "-ar", str(sample_rate), "-ac", str(channels))
    encoder = ("-c:a", "aac", "-b:a", f"{kbps}k", "-f", "adts")
    coded = run_ffmpeg(*raw, "-i", "pipe:0", *encoder, "pipe:1", given=wav.T.tobytes())
    decoded = run_ffmpeg("-i", "pipe:0", *raw, "pipe:1", given=coded)
    samples = np.frombuffer(decoded, "<f4").reshape(-1, channels)
    return in_place(np.ascontiguousarray(samples.T), wav, sample_rate=sample_rate)


def in_place(decoded: Wav, wav: Wav, *, sample_rate: int) -> Wav:
    """Return what was decoded where it belongs, as long as the original."""
    from nitido.dsp.alignment import find_alignment

    found = find_alignment(
        estimate=decoded, reference=wav, sample_rate=sample_rate, max_lag_seconds=_LAG_MAX_SECONDS
    )
    late = found.lag_samples
    moved = decoded[:, late:] if late >= 0 else np.pad(decoded, ((0, 0), (-late, 0)))
    moved = np.pad(moved, ((0, 0), (0, max(0, wav.shape[1] - moved.shape[1]))))
    return np.ascontiguousarray(moved[:, : wav.shape[1]])


def at_rate(wav: Wav, *, from_hz: int, to_hz: int) -> Wav:
    """Return `wav` `[C, T]` at another sample rate."""
    if from_hz == to_hz:
        return wav
    channels, samples = wav.shape
    stream = resample([wav], from_hz=from_hz, to_hz=to_hz, samples=samples, channels=channels)
    return join(stream, channels=channels)[:, : resampled_length(samples, from_hz, to_hz)]


def _level(value: float, high: float, low: float) -> float:
    """Return the place of a rate between the highest (0) and the lowest (1, which is refused)."""
    if not low <= value <= high:
        raise ConfigError(f"A coder's rate of {value:g} is outside {low:g} to {high:g}.")
    return min(0.999, (high - value) / (high - low))


def _libsndfile(
    wav: Wav, sample_rate: int, coded_hz: int, container: str, subtype: str, options: dict[str, Any]
) -> Wav:
    file = io.BytesIO()
    narrow = at_rate(wav, from_hz=sample_rate, to_hz=coded_hz)
    kind = {"format": container, "subtype": subtype, "closefd": False, **options}
    with sf.SoundFile(file, "w", coded_hz, narrow.shape[0], **kind) as coder:
        for start in range(0, narrow.shape[1], _BLOCK_SAMPLES):  # Vorbis crashes on long ones
            coder.write(narrow[:, start : start + _BLOCK_SAMPLES].T)
    file.seek(0)
    decoded, _ = sf.read(file, dtype="float32", always_2d=True)
    wide = at_rate(np.ascontiguousarray(decoded.T), from_hz=coded_hz, to_hz=sample_rate)
    return in_place(wide, wav, sample_rate=sample_rate)


def run_ffmpeg(*arguments: str, given: bytes) -> bytes:
    """Return what ffmpeg makes of the bytes on its standard input.

    Raises:
        MissingExtraError: the program is not installed.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise MissingExtraError("The ffmpeg program is not installed; install ffmpeg.")
    command = [program, "-v", "error", "-bitexact", *arguments]
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout
