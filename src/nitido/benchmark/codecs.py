"""Codecs that music goes through before it is restored: lossy files, and MusicGen's decoder.

Each takes clean music `[C, T]` at 48 kHz and returns what is left of it, aligned to the sample.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module, util
from typing import Any

import numpy as np
import soundfile as sf

from nitido.audio import resample
from nitido.chunks import join
from nitido.degradation import add_comb
from nitido.errors import MissingExtraError
from nitido.wav import Wav

SAMPLE_RATE = 48_000
DECODER_HZ = 32_000
ENCODEC = "facebook/encodec_32khz"  # weights CC-BY-NC 4.0
ENCODEC_KBPS = 2.2
LAG_MAX_SECONDS = 0.1  # coders start late by some thousand samples at most


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


def _by_libsndfile(container: str, subtype: str, **options: Any) -> Callable[[Wav], Wav]:
    def apply(wav: Wav) -> Wav:
        file = io.BytesIO()
        sf.write(
            file, wav.T, SAMPLE_RATE, format=container, subtype=subtype, closefd=False, **options
        )
        file.seek(0)
        decoded, _ = sf.read(file, dtype="float32", always_2d=True)
        return _in_place(np.ascontiguousarray(decoded.T), wav)

    return apply


def _by_ffmpeg(*encoder: str) -> Callable[[Wav], Wav]:
    def apply(wav: Wav) -> Wav:
        raw = ("-f", "f32le", "-ar", str(SAMPLE_RATE), "-ac", str(wav.shape[0]))
        coded = _run_ffmpeg(*raw, "-i", "pipe:0", *encoder, "pipe:1", given=wav.T.tobytes())
        decoded = _run_ffmpeg("-i", "pipe:0", *raw, "pipe:1", given=coded)
        samples = np.frombuffer(decoded, "<f4").reshape(-1, wav.shape[0])
        return _in_place(np.ascontiguousarray(samples.T), wav)

    return apply


def _run_ffmpeg(*arguments: str, given: bytes) -> bytes:
    program = shutil.which("ffmpeg")
    if program is None:
        raise MissingExtraError("The ffmpeg program is not installed; install ffmpeg.")
    command = [program, "-v", "error", "-bitexact", *arguments]
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout


def _in_place(decoded: Wav, wav: Wav) -> Wav:
    """Return what was decoded where it belongs, as long as the original."""
    from nitido.metrics.alignment import find_alignment

    found = find_alignment(
        estimate=decoded, reference=wav, sample_rate=SAMPLE_RATE, max_lag_seconds=LAG_MAX_SECONDS
    )
    late = found.lag_samples
    moved = decoded[:, late:] if late >= 0 else np.pad(decoded, ((0, 0), (-late, 0)))
    moved = np.pad(moved, ((0, 0), (0, max(0, wav.shape[1] - moved.shape[1]))))
    return np.ascontiguousarray(moved[:, : wav.shape[1]])


def _at_decoder_rate(wav: Wav) -> Wav:
    mono = wav.mean(axis=0, keepdims=True)
    stream = resample(
        [mono], from_hz=SAMPLE_RATE, to_hz=DECODER_HZ, samples=mono.shape[1], channels=1
    )
    return join(stream, channels=1)


def _simulated_decoder(wav: Wav) -> Wav:
    return add_comb(_at_decoder_rate(wav), sample_rate=DECODER_HZ)


def _encodec(wav: Wav) -> Wav:
    torch = import_module("torch")
    model = import_module("transformers").EncodecModel.from_pretrained(
        ENCODEC, local_files_only=True
    )
    narrow = _at_decoder_rate(wav)
    with torch.inference_mode():
        coded = model.eval().encode(torch.from_numpy(narrow)[None], bandwidth=ENCODEC_KBPS)
        decoded = model.decode(coded.audio_codes, coded.audio_scales)[0]
    out = decoded[0].numpy()[:, : narrow.shape[1]]
    return np.pad(out, ((0, 0), (0, narrow.shape[1] - out.shape[1]))).astype(np.float32)


def _encodec_missing() -> str | None:
    for module in ("torch", "transformers", "huggingface_hub"):
        if util.find_spec(module) is None:
            return f"{module} is not installed: pip install 'nitido[generate]'"
    cached = import_module("huggingface_hub").try_to_load_from_cache(ENCODEC, "config.json")
    return None if isinstance(cached, str) else f"the weights of {ENCODEC} are not cached here"


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
            _encodec_missing,
        ),
        Codec(
            "mp3-64",
            "MP3 (LAME), 64 kbit/s",
            SAMPLE_RATE,
            _by_libsndfile(
                "MP3", "MPEG_LAYER_III", compression_level=0.89, bitrate_mode="CONSTANT"
            ),
        ),
        Codec(
            "aac-64",
            "AAC (ffmpeg), 64 kbit/s",
            SAMPLE_RATE,
            _by_ffmpeg("-c:a", "aac", "-b:a", "64k", "-f", "adts"),
            _ffmpeg_missing,
        ),
        Codec(
            "opus-48",
            "Opus, about 48 kbit/s",
            SAMPLE_RATE,
            _by_libsndfile("OGG", "OPUS", compression_level=0.928),
        ),
        Codec(
            "vorbis-64",
            "Vorbis, about 64 kbit/s",
            SAMPLE_RATE,
            _by_libsndfile("OGG", "VORBIS", compression_level=0.99),
        ),
    )
}
