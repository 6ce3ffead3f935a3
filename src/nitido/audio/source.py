"""Where audio comes from: a file or an array, read in blocks, as often as needed.

A file is checked before its sound is used: libsndfile reads one that was cut short without a word.
"""

from __future__ import annotations

import hashlib
import io
import math
import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import soundfile as sf

from nitido.audio import ffmpeg
from nitido.audio.containers import (
    MPEG_IN_WAV,
    UNCODED,
    Content,
    Repair,
    Splice,
    check_chunked,
    is_chunked,
    read_content,
)
from nitido.audio.limits import (
    MAX_SECONDS,
    Damaged,
    check_damaged,
    check_max_seconds,
    cut_short,
    too_long,
)
from nitido.audio.marks import find_loop
from nitido.audio.mpeg import after_id3, check_mpeg, is_mpeg
from nitido.audio.ogg import check_ogg, speakers_in
from nitido.audio.pictures import Picture
from nitido.audio.tags import FLAC_MASK, RawChunk, Tags, read_chunks, read_pictures, read_tags
from nitido.audio.validation import check_regular, set_down
from nitido.dsp.loop import Loop
from nitido.dsp.speakers import arrange, default_mask
from nitido.dsp.wav import (
    CHANNELS_MAX,
    SAMPLE_RATE_MAX_HZ,
    SAMPLE_RATE_MIN_HZ,
    Wav,
    as_wav,
    check_sample_rate,
)
from nitido.errors import AudioReadError, AudioTooShortError, ConfigError, shown
from nitido.formats import HEAD_BYTES, READS, is_known, needs_ffmpeg

BLOCK_VALUES = 2**19  # read at once, over all channels: 2 MiB
_COUNT_SAMPLES = 2**16
_SAMPLES_PER_BYTE_MAX = 2**14  # no codec that we read packs silence tighter (FLAC: 65535 in 14)
_BYTES_PER_VALUE_MAX = 8
_OTHER_BYTES_MAX = 2**29  # tags, pictures and chunks beside the sound; more would keep us reading
_NO_NUMBER = 2**62  # libsndfile's length of a FLAC stream that does not say
_TAKEN_SAMPLES = 64  # at once where a file is damaged; frames of FLAC are multiples of it


class Source(Protocol):
    """A piece of audio that can be read again and again.

    Its channels stand in the order of WAVE; for which speakers they are says `mask`, see
    `nitido.dsp.speakers`. `warnings` is what to know about how it was read, in sentences.
    """

    name: str
    sample_rate: int
    channels: int
    samples: int
    mask: int
    warnings: tuple[str, ...]
    tags: Tags
    chunks: tuple[RawChunk, ...]
    pictures: tuple[Picture, ...]
    files: tuple[Path, ...]

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was opened, in hexadecimal."""

    @property
    def loop(self) -> Loop | None:
        """The loop that its tags and chunks tell of, see `nitido.audio.marks`; None if none."""

    def blocks(self, block_samples: int | None = None) -> Iterator[Wav]:
        """Yield the waveform `[C, n]` from its start; samples may be NaN or Inf."""


class ArraySource:
    """A waveform in memory; `sha256` is that of its samples as little-endian float32, planar."""

    def __init__(
        self,
        wav: Wav,
        sample_rate: int,
        name: str = "array",
        *,
        mask: int | None = None,
        tags: Tags | None = None,
        chunks: tuple[RawChunk, ...] = (),
        pictures: tuple[Picture, ...] = (),
        files: tuple[Path, ...] = (),
    ) -> None:
        """Take a copy of a waveform `[C, T]`: what its owner does with it later changes nothing.

        Args:
            wav: `[C, T]`.
            sample_rate: Hz.
            name: of the piece.
            mask: for which speakers its channels are; None: the default layout.
            tags: that travel along, see `nitido.audio.read_tags`.
            chunks: likewise, see `nitido.audio.read_chunks`.
            pictures: likewise, see `nitido.audio.read_pictures`.
            files: that it was made of, which must never be written to.

        Raises:
            AudioTooShortError: no samples.
            SampleRateError: outside 8 kHz to 192 kHz.
        """
        self.name = name
        self.sample_rate = check_sample_rate(sample_rate)
        self.channels, self.samples = wav.shape
        self.mask = default_mask(self.channels) if mask is None else mask
        self.warnings: tuple[str, ...] = ()
        self.tags: Tags = tags or {}
        self.chunks = chunks
        self.pictures = pictures
        self.files = files
        if self.samples == 0:
            raise AudioTooShortError(f"{name} holds no samples; there is nothing to work on.")
        self._wav = np.array(wav, order="C")
        self._wav.flags.writeable = False

    @property
    def loop(self) -> Loop | None:
        """The loop that tags and chunks tell of; None if they tell of none."""
        piece = {"samples": self.samples, "sample_rate": self.sample_rate}
        return find_loop(self.tags, self.chunks, **piece)

    @cached_property
    def sha256(self) -> str:
        """Return the SHA-256 of the samples, in hexadecimal."""
        return hashlib.sha256(self._wav.astype("<f4", copy=False).data).hexdigest()

    def blocks(self, block_samples: int | None = None) -> Iterator[Wav]:
        """Yield the waveform `[C, n]` from its start."""
        block_samples = block_samples or BLOCK_VALUES // self.channels
        for start in range(0, self.samples, block_samples):
            yield self._wav[:, start : start + block_samples]


class FileSource:
    """An audio file, in one of the formats of `nitido.formats.READABLE`.

    What it is, is settled when it is opened. Whenever it is read again it has to be the same file
    still: one that was moved, replaced or written to meanwhile is an error.

    Attributes:
        path: of the file.
        name: its file name.
        sha256: of its bytes, in hexadecimal.
        mask: its speakers, see `nitido.dsp.speakers`; the default layout where it names none.
        warnings: what to know about how it was read, in sentences.
        tags: see `nitido.audio.read_tags`.
        chunks: see `nitido.audio.read_chunks`.
        pictures: see `nitido.audio.read_pictures`.
        files: the files that are read, which must never be written to.
        subtype: how the samples are stored, as libsndfile calls it, or ffmpeg if that reads them.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_seconds: float = MAX_SECONDS,
        damaged: Damaged = "refuse",
    ) -> None:
        """Open the file and check it.

        Args:
            path: of the file.
            max_seconds: the longest that is accepted; a small file can hold days of silence.
            damaged: ``take`` takes what is there of a file that is cut short or damaged: all that
                can be decoded from its start on.

        Raises:
            AudioReadError: missing, not a regular file, empty, not audio, cut short, or its sample
                rate, channels or length are out of range.
            ConfigError: `max_seconds` is not positive, or `damaged` is no such word.
        """
        self.path = Path(path)
        self._max_seconds = check_max_seconds(max_seconds)
        self._take = check_damaged(damaged)
        self.name = self.path.name
        self.files: tuple[Path, ...] = (self.path,)
        self._stream: ffmpeg.Stream | None = None
        self.subtype = ""
        self._repair: Repair | None = None
        self._content = Content()
        try:
            self._status = _status(check_regular(self.path))
            head = self._first_bytes()
            self._open(head)
            self.tags = read_tags(self.path)
            self._name_speakers(head)
            self.chunks = read_chunks(self.path)
            self.pictures = read_pictures(self.path)
            self.sha256 = _sha256(self.path)
            if _status(self.path.stat()) != self._status:
                raise self._changed()
        except AudioReadError:
            raise
        except OSError as error:
            raise AudioReadError(f"{self.path} cannot be read: {error.strerror}.") from error

    @property
    def loop(self) -> Loop | None:
        """The loop that tags and chunks tell of; None if they tell of none."""
        piece = {"samples": self.samples, "sample_rate": self.sample_rate}
        return find_loop(self.tags, self.chunks, **piece)

    def _check_same(self) -> None:
        """Refuse a file that is no longer the one that was opened."""
        try:
            now = _status(self.path.stat())
            if now == self._status or _sha256(self.path) == self.sha256:
                self._status = now
                return
        except OSError:
            pass
        raise self._changed()

    def _changed(self) -> AudioReadError:
        return AudioReadError(
            f"{self.path} was changed or moved after it was opened; run again on a file that stays "
            "as it is."
        )

    def blocks(self, block_samples: int | None = None) -> Iterator[Wav]:
        """Yield the waveform `[C, n]` from its start.

        Raises:
            AudioReadError: damaged inside, it ends before its header says, or it is not the file
                any more that was opened.
        """
        block_samples = block_samples or BLOCK_VALUES // self.channels
        self._check_same()
        yield from self._decoded(block_samples)
        self._check_same()

    def _decoded(self, block_samples: int) -> Iterator[Wav]:
        if self._stream is not None:
            yield from ffmpeg.decode(self.path, self._stream, block_samples, take=self._take)
            return
        left = self.samples
        with self._sound() as file:
            _never_seek(file)
            while left > 0:
                try:
                    wav = file.read(min(block_samples, left), dtype="float32", always_2d=True)
                except sf.SoundFileError as error:
                    raise self._ends_early(left) from error
                if not len(wav):
                    raise self._ends_early(left)
                left -= len(wav)
                yield np.ascontiguousarray(wav.T[self._order])

    def _first_bytes(self) -> bytes:
        """Return how the file begins, after any ID3 tags, and note where."""
        self._bytes = check_regular(self.path).st_size
        if self._bytes == 0:
            raise AudioReadError(f"{self.name} is empty: 0 bytes.")
        with (
            self.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view,
        ):
            self._start = after_id3(view)
            return view[self._start : self._start + HEAD_BYTES]

    def _open(self, head: bytes) -> None:
        warnings: list[str] = []
        if needs_ffmpeg(head):
            self._open_with_ffmpeg(warnings)
        else:
            self._repair = self._check_whole(head)
            try:
                with self._sound() as file:
                    self._look_at(file)
            except (sf.SoundFileError, TypeError, ValueError) as error:
                coded = head.startswith(b"RIFF") and self._content.codec not in UNCODED
                if not coded and not head.startswith((b"caff", b"OggS")):
                    raise self._bad_header() from error
                self._open_with_ffmpeg(warnings)
        self._check_range()
        if self.samples == 0:
            raise AudioReadError(f"{self.name} holds no samples; there is nothing to work on.")
        losses = [one.loss for one in (self._repair, self._stream) if one and one.loss]
        for loss in losses[:1]:
            seconds = self.samples / self.sample_rate
            warnings.append(
                f"{self.name} is cut short or damaged: {loss}; the {seconds:.2f} s that are there "
                "are taken."
            )
        self.warnings = tuple(warnings)

    def _open_with_ffmpeg(self, warnings: list[str]) -> None:
        self._stream = ffmpeg.probe(self.path, self._max_seconds, take=self._take)
        self.sample_rate, self.channels, self.samples = self._stream[:3]
        self.subtype = self._stream.codec.upper()
        warnings += self._stream.remarks

    def _check_whole(self, head: bytes) -> Repair | None:
        take, from_start, mpeg = self._take, self._start == 0, is_mpeg(self.path)
        if not mpeg and (not is_known(head) or head.startswith(b"\xff")):
            raise self._no_audio()
        if is_chunked(head) and from_start:
            self._content = read_content(self.path)
            repair = check_chunked(self.path, self._content, take=take)
            sound = self._content.sound
            if sound is None or self._content.codec not in MPEG_IN_WAV:
                return repair
            end = sound.end if sound.size else None
            inside = check_mpeg(self.path, self._max_seconds, start=sound.start, end=end, take=take)
            return inside or repair
        if head.startswith(b"OggS") and from_start:
            return check_ogg(self.path, take=take)
        if mpeg:
            return check_mpeg(self.path, self._max_seconds, take=take)
        return None if from_start else Repair(offset=self._start)

    def _look_at(self, file: sf.SoundFile) -> None:
        """Note rate, channels and length, after checking them."""
        self.sample_rate, self.channels = file.samplerate, file.channels
        self.subtype = file.subtype
        said = self._repair and self._repair.samples
        self.samples = file.frames if said is None else said
        self._check_range()
        if self._take:
            self._count_what_is_there()
        elif self.samples >= _NO_NUMBER:
            self.samples, self._repair = self._counted(file)
        elif file.format == "FLAC":
            self._check_last_sample(file)

    def _name_speakers(self, head: bytes) -> None:
        """Note for which speakers the channels are, and where each stands in the file."""
        tagged = self.tags.pop(FLAC_MASK, [""])[0]
        self.mask = default_mask(self.channels)
        self._order: slice | list[int] = slice(None)
        if self.channels <= 2:
            return
        numbers = self._content.speakers
        if self._stream is not None:
            self.mask = self._stream.mask
            return
        if head.startswith(b"OggS"):
            numbers = speakers_in(self.path, self.channels)
        elif head.startswith(b"fLaC"):
            with suppress(ValueError):
                self.mask = int(tagged, 16)
        if numbers is not None:
            self.mask, self._order = arrange(numbers, self.channels)

    @contextmanager
    def _sound(self) -> Iterator[sf.SoundFile]:
        if self._repair is None:
            # Without its name: that need not be text, and must not say what kind of file it is.
            with self.path.open("rb") as opened:
                posix = os.name == "posix"
                with sf.SoundFile(opened.fileno() if posix else opened, closefd=not posix) as file:
                    yield file
        else:
            with Splice(self.path, self._repair) as spliced, sf.SoundFile(spliced) as file:
                yield file

    def _check_range(self) -> None:
        if not SAMPLE_RATE_MIN_HZ <= self.sample_rate <= SAMPLE_RATE_MAX_HZ:
            raise AudioReadError(
                f"{self.name} has a sample rate of {self.sample_rate} Hz, outside the "
                f"{SAMPLE_RATE_MIN_HZ} to {SAMPLE_RATE_MAX_HZ} Hz that nitido accepts."
            )
        if not 0 < self.channels <= CHANNELS_MAX:
            raise AudioReadError(
                f"{self.name} has {self.channels} channels; 1 to {CHANNELS_MAX} are accepted."
            )
        if self._bytes * _SAMPLES_PER_BYTE_MAX < self.samples < _NO_NUMBER:
            raise AudioReadError(
                f"{self.name} promises {self.samples} samples, more than its {self._bytes} bytes "
                "can hold; its header is wrong."
            )
        is_film = self._stream is not None  # which may be as large as it likes
        if not is_film and self.samples < _NO_NUMBER:
            most = _OTHER_BYTES_MAX + self.samples * self.channels * _BYTES_PER_VALUE_MAX
            if self._bytes > most:
                raise AudioReadError(
                    f"{self.name} holds {self._bytes} bytes for {self.samples} samples, of which "
                    f"{most} can be sound and tags; its header is wrong."
                )
        seconds = self.samples / self.sample_rate
        if self._max_seconds < seconds and self.samples < _NO_NUMBER:
            raise too_long(self.name, seconds, self._max_seconds)

    def _check_last_sample(self, file: sf.SoundFile) -> None:
        """Read the last sample of a FLAC file: quick, and impossible if the file was cut short."""
        if self.samples == 0:
            return
        try:
            file.seek(self.samples - 1)
            there = len(file.read(1))
        except sf.SoundFileError:
            there = 0
        if not there:
            raise self._ends_early(None)

    def _counted(self, file: sf.SoundFile) -> tuple[int, Repair]:
        """Count the samples of a FLAC stream written to a pipe; return them, and a right header."""
        samples, whole = self._count(file, _COUNT_SAMPLES)
        if not whole:
            raise self._ends_early(None)
        return samples, self._flac_header(samples)

    def _flac_header(self, samples: int) -> Repair:
        with self.path.open("rb") as opened:
            opened.seek(self._start)
            head = bytearray(opened.read(2**16))
        at = head.index(b"fLaC") + 21  # the low 36 bits of 5 bytes in STREAMINFO
        head[at : at + 5] = ((head[at] & 0xF0) << 32 | samples).to_bytes(5, "big")
        return Repair(bytes(head), self._start + len(head))

    def _count_what_is_there(self) -> None:
        """Set the length to what can be decoded, from the start to the end or the first damage."""
        promised = self.samples
        with self._sound() as file:
            samples, whole = self._count(file, _COUNT_SAMPLES)
        if not whole:  # near the damage in small steps: a step that fails is lost
            with self._sound() as file:
                self._count(file, _COUNT_SAMPLES, most=samples)
                samples += self._count(file, _TAKEN_SAMPLES, most=_COUNT_SAMPLES)[0]
        repair = self._repair or Repair()
        if promised >= _NO_NUMBER:
            repair = self._flac_header(samples)
        if not repair.loss and (samples < promised or not whole):
            loss = f"after {samples / self.sample_rate:.2f} s nothing more can be decoded"
            if whole and promised < _NO_NUMBER:
                loss = f"its header promises {promised / self.sample_rate:.2f} s"
            repair = repair._replace(loss=loss)
        self.samples = samples
        self._repair = repair if repair != Repair() else None

    def _count(self, file: sf.SoundFile, step: int, most: float = math.inf) -> tuple[int, bool]:
        """Return how many samples can be read on, in steps, up to `most`, and whether to the end.

        Raises:
            AudioReadError: too many.
        """
        _never_seek(file)
        samples, limit = 0, self._max_seconds * self.sample_rate
        if (said := self._repair and self._repair.samples) is not None:
            most = min(most, said)
        try:
            while samples < most:
                size = int(min(step, most - samples))
                count = len(file.read(size, dtype="float32", always_2d=True))
                if not count:
                    break
                samples += count
                if samples > limit:
                    raise too_long(self.name, samples / self.sample_rate, self._max_seconds)
        except sf.SoundFileError:
            return samples, False
        return samples, True

    def _no_audio(self) -> AudioReadError:
        return AudioReadError(f"{self.name} is not an audio file that nitido can read; {READS}.")

    def _bad_header(self) -> AudioReadError:
        return AudioReadError(
            f"{self.name} begins like an audio file, but its header cannot be read; get the file "
            "again from where it came from."
        )

    def _ends_early(self, left: int | None) -> AudioReadError:
        promise = f"its header promises {self.samples / self.sample_rate:.2f} s"
        if left is not None:
            promise += f", it ends after {(self.samples - left) / self.sample_rate:.2f} s"
        return cut_short(self.name, promise)


def _never_seek(file: sf.SoundFile) -> None:
    """Keep soundfile from seeking after each read, which some codecs and damaged files cannot."""
    file._info.seekable = 0


def _status(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file from another, and from itself after it was written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class HasSource(Protocol):
    """What is a piece of audio by itself: a `Generation`, a `Restoration`."""

    def source(self) -> Source:
        """Return the piece with its tags."""


def open_source(
    audio: Any,
    sample_rate: int | None = None,
    *,
    max_seconds: float = MAX_SECONDS,
    damaged: Damaged = "refuse",
) -> Source:
    """Return a source of whatever is a piece of audio.

    Args:
        audio: path; binary file, which is read from where it stands, and left there; waveform as
            `nitido.dsp.wav.as_wav` takes it; pair of waveform and rate, in either order, as
            soundfile and Gradio give it (`[T]` or `[T, C]`); `Generation` or `Restoration`, whose
            tags travel along; or a source, which stays as it is.
        sample_rate: of a waveform, Hz; all else knows its own.
        max_seconds: the longest file that is accepted.
        damaged: ``take`` takes what is there of a file that is cut short or damaged.

    Raises:
        AudioReadError: see `FileSource`.
        AudioShapeError: see `nitido.dsp.wav.as_wav`.
        ConfigError: an array without a sample rate, a sample rate for what knows its own, or
            `max_seconds` is not positive, or `damaged` is no such word.
    """
    limits: dict[str, Any] = {"max_seconds": max_seconds, "damaged": damaged}
    if is_waveform(audio):
        if sample_rate is None:
            raise ConfigError("An array does not know its sample rate; give sample_rate= in Hz.")
        return ArraySource(as_wav(audio), sample_rate)
    if sample_rate is not None:
        raise ConfigError(
            f"sample_rate={shown(sample_rate)} is only for arrays; {shown(audio)} knows its own, "
            "leave it out."
        )
    if isinstance(audio, FileSource | ArraySource):
        return audio
    if isinstance(audio, str | os.PathLike):
        return FileSource(audio, **limits)
    if isinstance(audio, tuple):
        wav, rate = audio if _is_rate(audio[1]) else audio[::-1]
        return ArraySource(_channels_first(wav), int(rate))
    if hasattr(audio, "source"):
        return cast(HasSource, audio).source()
    return _StreamSource(audio, **limits)


def is_waveform(audio: Any) -> bool:
    """Return whether audio is an array or tensor, which does not know its sample rate."""
    is_pair = isinstance(audio, tuple) and len(audio) == 2 and sum(map(_is_rate, audio)) == 1
    known = isinstance(audio, str | os.PathLike | FileSource | ArraySource)
    return not (is_pair or known or hasattr(audio, "source") or hasattr(audio, "read"))


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _channels_first(wav: Any) -> Wav:
    """Return a waveform `[T, C]`, as soundfile and Gradio give it, as `[C, T]`."""
    array = np.asarray(wav)
    last = array.ndim == 2 and array.shape[1] <= CHANNELS_MAX and array.shape[0] > array.shape[1]
    return as_wav(array.T if last else array)


class _StreamSource(FileSource):
    """An open binary file, from where it stands to its end; it is copied, and left as it was."""

    def __init__(self, stream: Any, *, max_seconds: float, damaged: Damaged) -> None:
        name = getattr(stream, "name", None)
        if isinstance(stream, io.TextIOBase):
            raise AudioReadError(f"{name or 'The stream'} is open as text; open it with mode 'rb'.")
        folder = tempfile.mkdtemp(prefix="nitido-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder, "stream")
        start = stream.tell() if stream.seekable() else None
        try:
            set_down(stream, path, max_seconds=max_seconds)
        finally:
            if start is not None:
                stream.seek(start)
        super().__init__(path, max_seconds=max_seconds, damaged=damaged)
        if isinstance(name, str):
            self.name = Path(name).name
            self.files = (*self.files, Path(name))
