"""Formats that libsndfile does not read (AAC, M4A, WMA, …), through the ffmpeg program if present.

ffmpeg writes float32 to a pipe; no shell, no temporary file, no network: only the one file is open
to it. Of several streams of sound it takes the default one.

Source: ISO/IEC 14496-12 sec. 8 (movie, track and media header, edit list) for the length of M4A.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from nitido.audio.containers import Chunk, boxes, missing_from, wave_format
from nitido.audio.limits import cut_short, too_long
from nitido.dsp.speakers import arrange, default_mask
from nitido.dsp.wav import CHANNELS_MAX, Wav
from nitido.errors import AudioReadError, AudioWriteError, MissingExtraError
from nitido.optional import available, load

# No other demuxer is let near the file: some follow names that stand in it.
_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,ape,wv,tta,aac,amr,amrnb,amrwb,ac3,eac3,dts,wav,"
    "w64,aiff,caf,flac,ogg,mpegts,mpeg,avi,flv,mpc,mpc8,dsf"
)
# Noise in place of noise, and one side in place of the other, decode to peaks up to 4 dB higher.
_AAC = ("-aac_coder", "fast", "-aac_pns", "0", "-aac_is", "0")
_M4A_SECONDS_MIN = 0.001  # its edit list counts in ms, and of less nothing would be played
_CPU_SECONDS_MAX = 1800  # six hours of AAC take one minute
_LATE_SECONDS_MIN = 0.05  # behind its picture; less is the delay of a coder
_BOX_MAX_BYTES = 2**20
# What ffmpeg says of a file; a cover is no film.
_LISTED = re.compile(
    r"^ +Stream #0:(\d+)[^\n]*?: (Audio|Video): (?![^\n]*attached pic)(\w+)", re.MULTILINE
)
_CUT = re.compile("partial file|ended prematurely")  # said of a file without calling it an error
_WHO = re.compile(r"^\[\S+ @ 0x[0-9a-f]+\] ")  # the part of ffmpeg that speaks
_NO_DECODER = re.compile(r"Decoder \(codec [^)]*\) not found")
_TAKEN = re.compile(r"^Stream mapping:\n +Stream #0:(\d+) -> #0:0", re.MULTILINE)
DSD_RATE_HZ = 88_200  # at which DSD is read: above, it holds next to nothing but its own noise
_SAID_MAX_BYTES = 2**24  # of tags, or of a picture


class Stream(NamedTuple):
    """What ffmpeg found in a file.

    Attributes:
        sample_rate: Hz.
        channels: number of channels.
        samples: the silence before the sound included.
        late_samples: silence before it, where the picture of a film begins earlier.
        mask: its speakers.
        remarks: what to know about the choice that was made, in sentences.
        loss: what is missing from a damaged file, in words; empty if it is whole.
        codec: of the sound, as ffmpeg calls it.
    """

    sample_rate: int
    channels: int
    samples: int
    late_samples: int
    mask: int
    remarks: tuple[str, ...]
    loss: str
    codec: str


class _Sound(NamedTuple):
    """The stream of sound that ffmpeg takes from a file."""

    number: int = 0  # among all streams, from 0
    late_seconds: float = 0.0
    remarks: tuple[str, ...] = ()
    codec: str = ""


def program() -> str | None:
    """Return the ffmpeg program: on the PATH, or what `nitido[m4a]` brought; None without both."""
    if (found := shutil.which("ffmpeg")) or not available("imageio_ffmpeg"):
        return found
    try:
        return str(load("imageio_ffmpeg").get_ffmpeg_exe())
    except RuntimeError:  # a wheel without a program, for a rare system
        return None


def probe(path: Path, max_seconds: float, *, take: bool = False) -> Stream:
    """Return what is in a file, by decoding it once.

    Args:
        path: of the file.
        max_seconds: the longest that is accepted.
        take: whether what can be decoded of a damaged file is taken.

    Raises:
        AudioReadError: ffmpeg is not installed, there is no sound in the file, it cannot be decoded
            to its end, or it is longer than `max_seconds`.
    """
    sound = _find_sound(path)
    with _decoding(path, sound.codec, take=take) as (pipe, form, losses):
        frame, count = 4 * form.channels, 0
        while piece := pipe.read(2**20):
            count += len(piece)
            if count > max_seconds * form.sample_rate * frame:
                raise too_long(path.name, count / frame / form.sample_rate, max_seconds)
    if not losses and (loss := missing_from(path)):
        losses.append(loss)
        if not take:
            raise cut_short(path.name, loss)
    played = _samples_by_edit_list(path, sound.number, form.sample_rate)
    samples = count // frame if played is None else min(count // frame, round(played))
    late = round(sound.late_seconds * form.sample_rate)
    return Stream(
        form.sample_rate, form.channels, late + samples, late, form.mask, sound.remarks,
        "; ".join(losses), sound.codec,
    )  # fmt: skip


def decode(path: Path, stream: Stream, block_samples: int, *, take: bool = False) -> Iterator[Wav]:
    """Yield the waveform `[C, n]` of what `probe` found, in blocks.

    Raises:
        AudioReadError: as `probe`.
    """
    channels, left = stream.channels, stream.samples - stream.late_samples
    for start in range(0, stream.late_samples, block_samples):
        size = min(block_samples, stream.late_samples - start)
        yield np.zeros((channels, size), np.float32)
    with _decoding(path, stream.codec, take=take) as (pipe, _, _):
        while piece := pipe.read(4 * channels * block_samples):
            whole = min(len(piece) // (4 * channels), left)
            left -= whole
            if whole:
                wav = np.frombuffer(piece, "<f4", count=whole * channels).reshape(-1, channels)
                yield np.ascontiguousarray(wav.T, dtype=np.float32)


def encode_aac(
    path: Path, blocks: Iterable[Wav], *, sample_rate: int, channels: int, kbps: int
) -> None:
    """Write waveforms `[C, n]` as AAC-LC in an M4A file; the same sound, the same bytes.

    Raises:
        AudioWriteError: ffmpeg cannot do it, or the sound is shorter than 1 ms.
        MissingExtraError: ffmpeg is not installed.
    """
    command = [
        required(), "-nostdin", "-v", "error", "-y",
        "-f", "f32le", "-ar", str(sample_rate), "-ac", str(channels), "-i", "pipe:0",
        "-c:a", "aac", "-b:a", f"{kbps}k", *_AAC, "-map_metadata", "-1", "-bitexact",
        "-f", "ipod", f"file:{path.resolve()}",
    ]  # fmt: skip
    samples = 0
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said)
        try:
            with cast(BinaryIO, running.stdin) as pipe, suppress(BrokenPipeError):
                for block in blocks:
                    samples += block.shape[1]
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
    if samples < _M4A_SECONDS_MIN * sample_rate:
        raise AudioWriteError(
            f"M4A holds no piece as short as {samples} samples at {sample_rate} Hz, "
            "less than 1 ms; write wav or flac."
        )


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
    command = [ffmpeg, "-v", "error", *_reading(path), *wanted, "-bitexact", "pipe:1"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as running:
        said = cast(BinaryIO, running.stdout).read(_SAID_MAX_BYTES)
        running.kill()  # does nothing to one that has finished
    return said


def _command(path: Path, *options: str) -> list[str]:
    """Return the command for the default stream of sound.

    Raises:
        AudioReadError: ffmpeg is not installed.
    """
    ffmpeg = program()
    if ffmpeg is None:
        raise AudioReadError(
            f"{path.name} is in a format that needs the ffmpeg program, which is not installed; "
            "pip install 'nitido[m4a]' brings it, or convert the file to FLAC or WAV."
        )
    only_sound = ["-vn", "-sn", "-dn", "-map_metadata", "-1", "-bitexact"]
    return [ffmpeg, "-hide_banner", "-nostats", *options, *_reading(path), *only_sound]


def _reading(path: Path) -> list[str]:
    """Return the options with which ffmpeg reads this one file and nothing else."""
    return [
        "-nostdin", "-timelimit", str(_CPU_SECONDS_MAX), "-protocol_whitelist", "file,pipe",
        "-format_whitelist", _DEMUXERS, "-i", f"file:{path.resolve()}",
    ]  # fmt: skip


def _find_sound(path: Path) -> _Sound:
    """Return which stream ffmpeg takes for the sound, without decoding it.

    Raises:
        AudioReadError: there is none, or ffmpeg is not installed.
    """
    command = [*_command(path), "-frames:a", "1", "-c:a", "copy", "-f", "framecrc", "pipe:1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    said = done.stderr.decode("utf-8", "replace")
    listed = re.split("^(?:Output #0|Stream mapping:)", said, maxsplit=1, flags=re.MULTILINE)[0]
    found = _LISTED.findall(listed)
    kinds = {index: kind for index, kind, _ in found}
    sounds = [index for index, kind in kinds.items() if kind == "Audio"]
    if said.startswith("Input #0") and not sounds:
        raise AudioReadError(
            f"{path.name} holds no sound, only {'a picture' if kinds else 'other things'}."
        )
    taken = _TAKEN.search(said)
    if taken is None:  # what is wrong with it shows when it is decoded
        return _Sound()
    remarks: list[str] = []
    if len(sounds) > 1:
        remarks.append(
            f"{path.name} holds {len(sounds)} streams of sound; the default one is taken, number "
            f"{sounds.index(taken[1]) + 1}."
        )
    late = _first_packet_seconds(done.stdout.decode("utf-8", "replace"))
    if late < _LATE_SECONDS_MIN or "Video" not in kinds.values():
        late = 0.0
    else:
        remarks.append(
            f"The sound of {path.name} begins {late:.2f} s after its picture; silence stands there."
        )
    codec = next((codec for index, _, codec in found if index == taken[1]), "")
    if codec.startswith("dsd_"):
        remarks.append(f"{path.name} is DSD, which is read at {DSD_RATE_HZ / 1000:g} kHz.")
    return _Sound(int(taken[1]), late, tuple(remarks), codec)


def _first_packet_seconds(framecrc: str) -> float:
    """Return when the first packet is to be heard."""
    unit = re.search(r"^#tb 0: (\d+)/(\d+)", framecrc, re.MULTILINE)
    packet = re.search(r"^0,\s*-?\d+,\s*(-?\d+),", framecrc, re.MULTILINE)
    if unit is None or packet is None or not int(unit[2]):
        return 0.0
    return int(packet[1]) * int(unit[1]) / int(unit[2])


def _samples_by_edit_list(path: Path, number: int, sample_rate: int) -> float | None:
    """Return how long a track of an MP4 file is to be played, None where that is not said.

    Movies count in coarser units than their tracks, most often in ms. So where one edit plays the
    track from some sample to its end, as far as that unit can tell, it is played to its end.
    """
    try:
        with path.open("rb") as file:
            if file.read(8)[4:] != b"ftyp":
                return None
            movie = _box(file, None, b"moov")
            tracks = (box for box in boxes(file, movie) if box.id == b"trak")
            track = next(islice(tracks, number, None))
            media = _box(file, track, b"mdia")
            per_second, _ = _times(file, _box(file, movie, b"mvhd"))
            units, length = _times(file, _box(file, media, b"mdhd"))
            edits = _edits(file, _box(file, _box(file, track, b"edts"), b"elst"))
    except (StopIteration, struct.error):  # a part is not there
        return None
    played = [(duration, start) for duration, start in edits if start >= 0]
    if not played or not per_second or not units:
        return None
    seconds = sum(duration for duration, _ in played) / per_second
    if len(played) == 1:
        rest = (length - played[0][1]) / units
        if abs(rest - seconds) <= 1 / per_second:
            seconds = rest
    return seconds * sample_rate if seconds > 0 else None


def _box(file: BinaryIO, inside: Chunk | None, name: bytes) -> Chunk:
    return next(box for box in boxes(file, inside) if box.id == name)


def _content(file: BinaryIO, box: Chunk) -> tuple[int, bytes]:
    """Return version and content of a box that has one."""
    file.seek(box.start)
    content = file.read(min(box.size, _BOX_MAX_BYTES))
    return content[0] if content else 0, content[4:]


def _times(file: BinaryIO, header: Chunk) -> tuple[int, int]:
    """Return the units in a second and the length, of a movie or a media header."""
    version, content = _content(file, header)
    units, length = struct.unpack_from(">IQ" if version else ">II", content, 16 if version else 8)
    return units, length


def _edits(file: BinaryIO, box: Chunk) -> list[tuple[int, int]]:
    """Return length and start of each edit; the start of an empty one is −1."""
    version, content = _content(file, box)
    form = struct.Struct(">QqI" if version else ">IiI")
    (count,) = struct.unpack_from(">I", content)
    count = min(count, (len(content) - 4) // form.size)
    return [form.unpack_from(content, 4 + form.size * i)[:2] for i in range(count)]


class _Form(NamedTuple):
    """What the header of a WAV stream says."""

    sample_rate: int = 0
    channels: int = 0
    mask: int = 0


@contextmanager
def _decoding(path: Path, codec: str, *, take: bool) -> Iterator[tuple[BinaryIO, _Form, list[str]]]:
    """Run ffmpeg; give its pipe from the first sample on, and its header; check its end.

    What is missing from a damaged file that is taken stands in the list afterwards.
    """
    losses: list[str] = []
    strict = [] if take else ["-xerror"]
    command = [
        *_command(path, "-v", "error", *strict), *_rate(codec), "-c:a", "pcm_f32le",
        "-f", "wav", "pipe:1",
    ]  # fmt: skip
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        try:
            pipe = cast(BinaryIO, running.stdout)
            form = _wav_header(pipe)
            if form.channels:
                yield pipe, form, losses
            failed = running.wait() != 0
        finally:
            running.kill()
            cast(BinaryIO, running.stdout).close()
            running.wait()
        said.seek(0)
        words = said.read(4096).decode("utf-8", "replace").strip()
    if _NO_DECODER.search(words):
        raise AudioReadError(
            f"{path.name} holds sound in a codec that cannot be decoded here; convert it to FLAC "
            "with the program that made it."
        )
    reason = _WHO.sub("", words.splitlines()[0]) if words else "no sound in it"
    if take and not form.channels:
        raise AudioReadError(
            f"Nothing of {path.name} can be decoded; get the file again from where it came from "
            f"(ffmpeg says: {reason.rstrip('.')})."
        )
    if failed or not form.channels or _CUT.search(words) or (take and words):
        losses.append(f"ffmpeg cannot decode it to its end and says: {reason}")
        if not take:
            raise cut_short(path.name, losses[0])


def _rate(codec: str) -> list[str]:
    """Return the option for the sample rate: bits of DSD are no samples yet."""
    return ["-ar", str(DSD_RATE_HZ)] if codec.startswith("dsd_") else []


def _wav_header(pipe: BinaryIO) -> _Form:
    """Read as far as the samples; return what is said of them, no channels if there are none."""
    form = _Form()
    if pipe.read(12)[8:] != b"WAVE":
        return form
    while len(head := pipe.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            return form if 0 < form.channels <= CHANNELS_MAX else _Form()
        content = pipe.read(min(size + size % 2, 2**20))
        if name == b"fmt " and len(content) >= 8:
            channels, sample_rate = struct.unpack_from("<HI", content, 2)
            _, numbers = wave_format(content)
            mask = default_mask(channels) if numbers is None else arrange(numbers, channels)[0]
            form = _Form(sample_rate, channels, mask)
    return _Form()
