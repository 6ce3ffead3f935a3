"""Codecs that music goes through before it is restored: lossy files, and MusicGen's decoder.

Each takes clean music `[C, T]` at 48 kHz and returns what is left of it, aligned to the sample.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nitido.demo.comb import add_comb
from nitido.dsp.wav import Wav
from nitido_lab.degradation import lossy
from nitido_lab.degradation.encodec import ENCODEC, encodec, encodec_missing
from nitido_lab.degradation.lossy import at_rate

SAMPLE_RATE = 48_000
DECODER_HZ = 32_000


@dataclass(frozen=True)
class Codec:
    """A way to lose sound.

    Attributes:
        name: short, for tables and file names.
        what: in words.
        sample_rate: of what comes out, Hz.
        apply: clean `[C, T]` at 48 kHz → degraded.
        missing: why it cannot be used here; None if it can.
    """

    name: str
    what: str
    sample_rate: int
    apply: Callable[[Wav], Wav]
    missing: Callable[[], str | None] = lambda: None


def _at_decoder_rate(wav: Wav) -> Wav:
    mono = wav.mean(axis=0, keepdims=True)
    return at_rate(mono, from_hz=SAMPLE_RATE, to_hz=DECODER_HZ)


def _simulated_decoder(wav: Wav) -> Wav:
    return add_comb(_at_decoder_rate(wav), sample_rate=DECODER_HZ)


def _encodec(wav: Wav) -> Wav:
    return encodec(_at_decoder_rate(wav), sample_rate=DECODER_HZ)


def _mp3(kbps: int) -> Codec:
    def apply(wav: Wav) -> Wav:
        return lossy.mp3(wav, sample_rate=SAMPLE_RATE, kbps=kbps)

    return Codec(f"mp3-{kbps}", f"MP3 (LAME), {kbps} kbit/s", SAMPLE_RATE, apply)


def _opus(kbps: int) -> Codec:
    def apply(wav: Wav) -> Wav:
        return lossy.opus(wav, sample_rate=SAMPLE_RATE, kbps=kbps)

    return Codec(f"opus-{kbps}", f"Opus, about {kbps} kbit/s", SAMPLE_RATE, apply)


def _aac(kbps: int) -> Codec:
    def apply(wav: Wav) -> Wav:
        return lossy.aac(wav, sample_rate=SAMPLE_RATE, kbps=kbps)

    what = f"AAC (ffmpeg), {kbps} kbit/s"
    return Codec(f"aac-{kbps}", what, SAMPLE_RATE, apply, _ffmpeg_missing)


def _vorbis(wav: Wav) -> Wav:
    return lossy.vorbis(wav, sample_rate=SAMPLE_RATE, quality=0.01)


def _ffmpeg_missing() -> str | None:
    return None if shutil.which("ffmpeg") else "the ffmpeg program is not installed"


CODECS: Mapping[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec(
            "musicgen-simulated",
            "mono at 32 kHz with the comb of MusicGen's decoder",
            DECODER_HZ,
            _simulated_decoder,
        ),
        Codec(
            "encodec-32khz",
            f"{ENCODEC}, MusicGen's own codec, 2.2 kbit/s mono (weights CC-BY-NC 4.0)",
            DECODER_HZ,
            _encodec,
            encodec_missing,
        ),
        *(_mp3(kbps) for kbps in (24, 48, 64, 128)),
        *(_aac(kbps) for kbps in (48, 64)),
        *(_opus(kbps) for kbps in (24, 48)),
        Codec("vorbis-64", "Vorbis, about 64 kbit/s", SAMPLE_RATE, _vorbis),
    )
}
