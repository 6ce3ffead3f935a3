"""Formats that libsndfile does not read (AAC, M4A, WMA, …), through the ffmpeg program if present.

ffmpeg writes float32 to a pipe; no shell, no temporary file, no network: only the one file is open
to it.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from nitido.audio.limits import too_long
from nitido.dsp.wav import CHANNELS_MAX, Wav
from nitido.errors import AudioReadError, AudioWriteError, MissingExtraError
from nitido.optional import available, load

_MAGICS = {
    b"ftyp": "MP4/M4A",
    b"\x1a\x45\xdf\xa3": "Matroska/WebM",
    b"\x30\x26\xb2\x75": "WMA",
    b"MAC ": "Monkey's Audio",
    b"wvpk": "WavPack",
    b"TTA1": "True Audio",
    b"ADIF": "AAC",
    b"\xff\xf1": "AAC",
    b"\xff\xf9": "AAC",
    b"#!AM": "AMR",
}
# No other demuxer is let near the file: some follow names that stand in it.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,ape,wv,tta,aac,amr,amrnb,amrwb"
# Noise in place of noise, and one side in place of the other, decode to peaks up to 4 dB higher.
_AAC = ("-aac_coder", "fast", "-aac_pns", "0", "-aac_is", "0")
_CPU_SECONDS_MAX = 1800  # six hours of AAC take one minute
_SAID_MAX_BYTES = 2**24  # of tags, or of a picture


class Probe(NamedTuple):
    """What ffmpeg found in a file."""

    sample_rate: int
    channels: int
    samples: int


def program() -> str | None:
    """Return the ffmpeg program: on the PATH, or what `nitido[m4a]` brought; None without both."""
    if (found := shutil.which("ffmpeg")) or not available("imageio_ffmpeg"):
        return found
    try:
        return str(load("imageio_ffmpeg").get_ffmpeg_exe())
    except RuntimeError:  # a wheel without a program, for a rare system
        return None


def kind_of(head: bytes) -> str | None:
    """Return the name of a format that ffmpeg is needed for, from the first bytes of a file."""
    for magic, name in _MAGICS.items():
        if head.startswith(magic) or (magic == b"ftyp" and head[4:8] == magic):
            return name
    return None


def probe(path: Path, max_seconds: float) -> Probe:
    """Return rate, channels and length, by decoding the file once.

    Raises:
        AudioReadError: ffmpeg is not installed, or cannot decode the file to its end, or it is
            longer than `max_seconds`.
    """
    with _decoding(path) as (pipe, sample_rate, channels):
        frame, count = 4 * channels, 0
        while piece := pipe.read(2**20):
            count += len(piece)
            if count > max_seconds * sample_rate * frame:
                raise too_long(path.name, count / frame / sample_rate, max_seconds)
    return Probe(sample_rate, channels, count // frame)


def decode(path: Path, block_samples: int) -> Iterator[Wav]:
    """Yield the waveform `[C, n]` in blocks, as the file has it.

    Raises:
        AudioReadError: as `probe`.
    """
    with _decoding(path) as (pipe, _, channels):
        while piece := pipe.read(4 * channels * block_samples):
            whole = len(piece) // (4 * channels) * channels
            wav = np.frombuffer(piece, "<f4", count=whole).reshape(-1, channels)
            yield np.ascontiguousarray(wav.T, dtype=np.float32)


def encode_aac(
    path: Path, blocks: Iterable[Wav], *, sample_rate: int, channels: int, kbps: int
) -> None:
    """Write waveforms `[C, n]` as AAC-LC in an M4A file; the same sound, the same bytes.

    Raises:
        AudioWriteError: ffmpeg cannot do it.
        MissingExtraError: ffmpeg is not installed.
    """
    command = [
        required(), "-nostdin", "-v", "error", "-y",
        "-f", "f32le", "-ar", str(sample_rate), "-ac", str(channels), "-i", "pipe:0",
        "-c:a", "aac", "-b:a", f"{kbps}k", *_AAC, "-map_metadata", "-1", "-bitexact",
        "-f", "ipod", f"file:{path.resolve()}",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said)
        try:
            with cast(BinaryIO, running.stdin) as pipe, suppress(BrokenPipeError):
                for block in blocks:
                    pipe.write(block.T.astype("<f4").tobytes())
            failed = running.wait() != 0
        finally:
            running.kill()
            running.wait()
        said.seek(0)
        words = said.read(4096).decode("utf-8", "replace").strip().splitlines()
    if failed:
        reason = f"; ffmpeg says: {words[0]}" if words else ""
        raise AudioWriteError(f"AAC takes no {channels} channels at {sample_rate} Hz{reason}.")


def required() -> str:
    """Return the ffmpeg program, for what cannot be done without.

    Raises:
        MissingExtraError: it is not installed.
    """
    ffmpeg = program()
    if ffmpeg is None:
        raise MissingExtraError(
            "AAC needs the ffmpeg program, which is not installed; pip install 'nitido[m4a]' "
            "brings it."
        )
    return ffmpeg


def read_metadata(path: Path) -> list[tuple[str, str]]:
    """Return what a container and its sound say about themselves: names and values as they stand.

    Empty where ffmpeg is not installed, or cannot say.

    Source: ffmpeg-formats, Metadata: a backslash stands before ``=``, ``;``, ``#``, itself, and the
    end of a line that is no end.
    """
    said = _output(path, "-map", "0:a:0", "-c", "copy", "-f", "ffmetadata")
    text = said.decode("utf-8", "replace").partition("\n[CHAPTER]\n")[0]
    lines = re.findall(r"((?:[^\\\n=]|\\[\s\S])+)=((?:[^\\\n]|\\[\s\S])*)", text)
    return [(_unescaped(name), _unescaped(value)) for name, value in lines]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\s\S])", r"\1", text)


def read_picture(path: Path) -> bytes:
    """Return the first picture of a container, or the first frame of a film; empty without one."""
    return _output(path, "-map", "0:v:0", "-c", "copy", "-frames:v", "1", "-f", "image2pipe")


def _output(path: Path, *wanted: str) -> bytes:
    """Return what ffmpeg writes of a file; empty without ffmpeg, or where that fails."""
    ffmpeg = program()
    if ffmpeg is None:
        return b""
    command = [
        ffmpeg, "-nostdin", "-v", "error",
        "-timelimit", str(_CPU_SECONDS_MAX), "-protocol_whitelist", "file,pipe",
        "-format_whitelist", _DEMUXERS, "-i", f"file:{path.resolve()}",
        *wanted, "-bitexact", "pipe:1",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as running:
        said = cast(BinaryIO, running.stdout).read(_SAID_MAX_BYTES)
        running.kill()  # does nothing to one that has finished
    return said


@contextmanager
def _decoding(path: Path) -> Iterator[tuple[BinaryIO, int, int]]:
    """Run ffmpeg; give its pipe from the first sample on, sample rate, channels; check its end."""
    ffmpeg = program()
    if ffmpeg is None:
        raise AudioReadError(
            f"{path.name} is in a format that needs the ffmpeg program, which is not installed; "
            "pip install 'nitido[m4a]' brings it, or convert the file to FLAC or WAV."
        )
    command = [
        ffmpeg, "-nostdin", "-v", "error", "-xerror",
        "-timelimit", str(_CPU_SECONDS_MAX), "-protocol_whitelist", "file,pipe",
        "-format_whitelist", _DEMUXERS, "-i", f"file:{path.resolve()}",
        "-map", "0:a:0", "-map_metadata", "-1", "-bitexact",
        "-c:a", "pcm_f32le", "-f", "wav", "pipe:1",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        try:
            pipe = cast(BinaryIO, running.stdout)
            sample_rate, channels = _wav_header(pipe)
            if channels:
                yield pipe, sample_rate, channels
            failed = running.wait() != 0
        finally:
            running.kill()
            cast(BinaryIO, running.stdout).close()
            running.wait()
        said.seek(0)
        words = said.read(4096).decode("utf-8", "replace").strip()
    if failed or not channels or "partial file" in words:
        reason = words.splitlines()[0] if words else "no sound in it"
        raise AudioReadError(f"{path.name} cannot be decoded to its end; ffmpeg says: {reason}.")


def _wav_header(pipe: BinaryIO) -> tuple[int, int]:
    """Read as far as the samples; return sample rate and channels, 0 and 0 if there are none."""
    sample_rate = channels = 0
    if pipe.read(12)[8:] != b"WAVE":
        return 0, 0
    while len(head := pipe.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            return (sample_rate, channels) if 0 < channels <= CHANNELS_MAX else (0, 0)
        content = pipe.read(min(size + size % 2, 2**20))
        if name == b"fmt " and len(content) >= 8:
            channels, sample_rate = struct.unpack_from("<HI", content, 2)
    return 0, 0
