"""Sound as bytes, for a page that carries its sound inside: short, and made to be played."""

from __future__ import annotations

import io

import numpy as np
import soundfile as sf

from nitido.audio.dither import TILE_SAMPLES, Quantiser
from nitido.audio.ogg import OggRewriter
from nitido.dsp.wav import Wav

OPUS_RATE_HZ = 48_000  # what Opus works at inside, whatever it is given
_LOWEST_KBPS, _HIGHEST_KBPS = 6.0, 256.0  # per channel: libsndfile's compression levels 1 and 0


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
