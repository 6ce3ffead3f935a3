"""Containers made of chunks (WAV, RF64, AIFF, W64, CAF, MP4), and AU: where each lies, is it whole.

libsndfile reads a file that was cut short without a word, so the promise of the header is compared
with the size of the file here. Writers to a pipe cannot go back to fill in the size; what they put
there instead is known and accepted.

Source: Microsoft, WAVEFORMATEXTENSIBLE; Apple, Core Audio Format Specification, the channel layout
chunk; ISO/IEC 14496-12 sec. 4.2 (boxes).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from nitido.audio.limits import cut_short
from nitido.dsp.speakers import NAMES

# Left in the size field by ffmpeg, nothing at all, sox, arecord when they write to a pipe.
_UNKNOWN_SIZES = frozenset({0xFFFFFFFF, 0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000})
_HEADER_MAX_BYTES = 2**26  # that are held in memory where they have to be put right
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the object of its file properties
_ASF_HEAD_BYTES = 2**16
_CHUNKS_MAX = 10_000  # a file of empty chunks must not keep us busy
_SLACK_BYTES = 64  # that a header may promise too much: some writers count it in, or a pad byte
MPEG_IN_WAV = (0x50, 0x55)  # format tags: MP2 and MP3
UNCODED = (0, 1, 3, 6, 7)  # none, integers, floats, A-law, µ-law: no other program reads more
_EXTENSIBLE = 0xFFFE
_LAYOUT_MAX_BYTES = 12 + 20 * 64
_BY_NUMBERS, _BY_MASK = 0, 1 << 16  # Apple's tags of layouts
_APPLE_LAYOUTS = {  # the others whose channels stand otherwise than in WAVE
    113: (0, 1, 2),
    114: (2, 0, 1),
    115: (0, 1, 2, 8),
    116: (2, 0, 1, 8),
    117: (0, 1, 2, 4, 5),
    118: (0, 1, 4, 5, 2),
    119: (0, 2, 1, 4, 5),
    120: (2, 0, 1, 4, 5),
    121: (0, 1, 2, 3, 4, 5),
    122: (0, 1, 4, 5, 2, 3),
    123: (0, 2, 1, 4, 5, 3),
    124: (2, 0, 1, 4, 5, 3),
}


class Chunk(NamedTuple):
    """Where the content of a chunk lies in its file, in bytes."""

    id: bytes
    start: int
    size: int

    @property
    def end(self) -> int:
        """Position after the last byte."""
        return self.start + self.size


class _Layout(NamedTuple):
    """How a family of containers writes its chunks."""

    first: int  # position of the first chunk
    id_bytes: int
    size_format: str
    size_counts_header: bool
    alignment: int
    sound: bytes  # identifier of the chunk with the samples
    layout: bytes = b"chan"  # of the one with the speakers
    size_first: bool = False


_W64 = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_RIFF = _Layout(12, 4, "<I", False, 2, b"data", b"fmt ")
_AU = b"sound"  # which is all that it holds behind its header
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"RIFX": _RIFF._replace(size_format=">I"),
    b"FORM": _RIFF._replace(size_format=">I", sound=b"SSND", layout=b"CHAN"),
    b"riff": _Layout(40, 16, "<Q", True, 8, b"data" + _W64, b"fmt " + _W64),
    b"caff": _Layout(8, 4, ">Q", False, 1, b"data"),
    b".snd": _RIFF._replace(sound=_AU),
    b"dns.": _RIFF._replace(sound=_AU),
}
_BOXES = _Layout(0, 4, ">I", True, 1, b"mdat", size_first=True)
_LONG, _REST = 1, 0  # sizes of a box: 64 bits follow, and to the end of the file


def is_chunked(magic: bytes) -> bool:
    """Tell from the first four bytes of a file whether this module knows its container."""
    return magic[:4] in _LAYOUTS


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks of an open file in order; the last one may promise more than is there."""
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    magic = file.read(4)
    if magic in (b".snd", b"dns."):
        order = ">" if magic == b".snd" else "<"
        yield Chunk(_AU, *struct.unpack(order + "II", file.read(8).ljust(8, b"\0")))
    elif layout := _LAYOUTS.get(magic):
        yield from _walk(file, layout, layout.first, end, is_rf64=magic == b"RF64")


def boxes(file: BinaryIO, inside: Chunk | None = None) -> Iterator[Chunk]:
    """Yield the boxes of an open MP4 file, or those inside one of them, in order."""
    end = file.seek(0, io.SEEK_END)
    start = 0
    if inside is not None:
        start, end = inside.start, min(inside.end, end)
    yield from _walk(file, _BOXES, start, end)


def missing_from(path: Path) -> str:
    """Return what is missing from an AVI or ASF (WMA) file by its header, in words; or nothing.

    Both may end anywhere between two packets, where no decoder sees that more was to come.

    Source: Microsoft, AVI RIFF File Reference; Advanced Systems Format Specification, sec. 3.2.
    """
    there = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_ASF_HEAD_BYTES)
    promised, position = 0, head.find(_ASF_FILE)
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        (size,) = struct.unpack_from("<I", head, 4)
        promised = 0 if size in _UNKNOWN_SIZES else size + 8
    elif head[:16] == _ASF and 0 <= position <= len(head) - 92:
        (promised,) = struct.unpack_from("<Q", head, position + 40)
        (flags,) = struct.unpack_from("<I", head, position + 88)
        promised = 0 if flags & 1 else promised  # of a broadcast nobody knew the end
    if promised <= there + _SLACK_BYTES:
        return ""
    return f"its header promises {promised} bytes, the file ends after {there}"


def _walk(
    file: BinaryIO, layout: _Layout, position: int, end: int, *, is_rf64: bool = False
) -> Iterator[Chunk]:
    length = layout.id_bytes + struct.calcsize(layout.size_format)
    long_size = None
    for _ in range(_CHUNKS_MAX):
        if position + length > end:
            return
        file.seek(position)
        head, header = file.read(length), length
        name, packed = head[: layout.id_bytes], head[layout.id_bytes :]
        if layout.size_first:
            packed, name = head[: -layout.id_bytes], head[-layout.id_bytes :]
        (size,) = struct.unpack(layout.size_format, packed)
        if layout.size_first and size == _LONG:
            (size,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            header += 8
        elif layout.size_first and size == _REST:
            size = end - position
        if layout.size_counts_header:
            size = max(size - header, 0)
        if is_rf64 and name == b"ds64":
            long_size = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
        if name == b"data" and size == 0xFFFFFFFF and long_size is not None:
            size = long_size
        yield Chunk(name, position + header, size)
        position += header + size
        position += -position % layout.alignment


class Content(NamedTuple):
    """What the chunks of a file say about its sound.

    Attributes:
        sound: where it lies; None if it does not.
        codec: WAVE's format tag; 0 in other containers.
        speakers: numbers of the speakers, in the order of the channels; None if nothing is said.
    """

    sound: Chunk | None = None
    codec: int = 0
    speakers: tuple[int, ...] | None = None


def read_content(path: Path) -> Content:
    """Return what the chunks of a file say about its sound."""
    sound, codec, speakers = None, 0, None
    with path.open("rb") as file:
        magic = file.read(4)
        layout = _LAYOUTS[magic]
        for chunk in chunks(file):
            if chunk.id == layout.sound:
                sound = sound or chunk
            elif chunk.id == layout.layout:
                file.seek(chunk.start)
                content = file.read(min(chunk.size, _LAYOUT_MAX_BYTES))
                if chunk.id[:4] == b"fmt ":
                    codec, speakers = wave_format(content, ">" if magic == b"RIFX" else "<")
                else:
                    speakers = _apple_layout(content)
    return Content(sound, codec, speakers)


def wave_format(content: bytes, order: str = "<") -> tuple[int, tuple[int, ...] | None]:
    """Return the format tag and the speakers that a WAVE `fmt ` chunk names.

    Args:
        content: of the chunk.
        order: of the bytes, ``<`` or ``>``.
    """
    (tag,) = struct.unpack_from(order + "H", content.ljust(2, b"\0"))
    if tag != _EXTENSIBLE or len(content) < 26:
        return tag, None
    mask, tag = struct.unpack_from(order + "IH", content, 20)
    return tag, tuple(bit for bit in range(32) if mask >> bit & 1)


def _apple_layout(content: bytes) -> tuple[int, ...] | None:
    """Return the speakers that the layout chunk of a CAF or AIFF file names, None if it does not.

    Apple numbers them as WAVE does, from 1 on.
    """
    if len(content) < 12:
        return None
    tag, mask, count = struct.unpack_from(">III", content)
    if tag == _BY_MASK:
        return tuple(bit for bit in range(32) if mask >> bit & 1)
    if tag == _BY_NUMBERS and len(content) >= 12 + 20 * count:
        labels = [struct.unpack_from(">I", content, 12 + 20 * i)[0] for i in range(count)]
        known = all(1 <= label <= len(NAMES) for label in labels)
        return tuple(label - 1 for label in labels) if known else ()
    return _APPLE_LAYOUTS.get(tag >> 16)


def apple_layout(mask: int) -> bytes:
    """Return the content of the chunk that names the speakers in an AIFF file."""
    return struct.pack(">III", _BY_MASK, mask, 0)


class Splice(io.RawIOBase):
    """A file as it should have been: `head`, then the bytes of `path` from `offset` on; read-only.

    libsndfile believes headers; where one is known to be wrong it is shown a right one.
    """

    def __init__(self, path: Path, repair: Repair) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._head = repair.head
        self._offset = repair.offset
        self._end = path.stat().st_size if repair.end is None else repair.end
        self._size = len(self._head) + max(self._end - self._offset, 0) + repair.padding
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:  # noqa: D102
        return self._position

    def read(self, size: int = -1) -> bytes:  # noqa: D102
        left = max(self._size - self._position, 0)
        size = left if size < 0 else min(size, left)
        found = self._head[self._position : self._position + size]
        inside = self._offset + self._position + len(found) - len(self._head)
        if (rest := min(size - len(found), self._end - inside)) > 0:
            self._file.seek(inside)
            found += self._file.read(rest)
        self._position += size
        return found.ljust(size, b"\0")

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # noqa: D102
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:  # noqa: D102
        self._file.close()
        super().close()


class Repair(NamedTuple):
    """How libsndfile is shown a file, where not as it is.

    Attributes:
        head: what it is to begin with.
        offset: where the file itself goes on, bytes.
        end: where it ends; None: at its end.
        padding: zeros after that, which are never decoded, bytes.
        samples: that it has; None: as many as libsndfile finds.
        loss: what is missing from a damaged file, in words; empty if it is whole.
    """

    head: bytes = b""
    offset: int = 0
    end: int | None = None
    padding: int = 0
    samples: int | None = None
    loss: str = ""


def check_chunked(path: Path, content: Content, *, take: bool = False) -> Repair | None:
    """Check that all the sound that the header promises is in the file.

    Args:
        path: of the file.
        content: of it.
        take: whether what is there of a file that was cut short is taken.

    Returns:
        a header with the right size, for a WAV file written to a pipe that says 0.

    Raises:
        AudioReadError: the file ends before the sound does.
    """
    size = path.stat().st_size
    sound = content.sound
    with path.open("rb") as file:
        magic = file.read(4)
        (declared,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
        if sound is None or sound.end <= size + _SLACK_BYTES:
            unfinished = declared in _UNKNOWN_SIZES or sound is None or declared + 8 < sound.start
            held = sound is not None and sound.start < _HEADER_MAX_BYTES
            if magic == b"RIFF" and sound is not None and sound.size == 0 and unfinished and held:
                file.seek(0)
                head = bytearray(file.read(sound.start))
                struct.pack_into("<I", head, 4, min(size - 8, 0xFFFFFFFE))
                struct.pack_into("<I", head, sound.start - 4, min(size - sound.start, 0xFFFFFFFE))
                return Repair(bytes(head), sound.start)
            return None
        file.seek(0)
        head = bytearray(file.read(min(sound.start, _HEADER_MAX_BYTES)))
    unknown = sound.size >= 2**63 if magic == b"caff" else sound.size in _UNKNOWN_SIZES
    if unknown:
        return None
    there = max(size - sound.start, 0)
    loss = f"its header promises {sound.size} bytes of sound, the file ends after {there}"
    if not take:
        raise cut_short(path.name, loss)
    if magic == b"caff" and len(head) == sound.start:  # of which libsndfile would open nothing
        struct.pack_into(">Q", head, sound.start - 8, there)
        return Repair(bytes(head), sound.start, loss=loss)
    return Repair(loss=loss)
