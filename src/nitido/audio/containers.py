"""Containers made of chunks (WAV, RF64, AIFF, W64, CAF): where each chunk lies, is the sound whole.

libsndfile reads a file that was cut short without a word, so the promise of the header is compared
with the size of the file here. Writers to a pipe cannot go back to fill in the size; what they put
there instead is known and accepted.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from nitido.errors import AudioReadError

# Left in the size field by ffmpeg, nothing at all, sox, arecord when they write to a pipe.
_UNKNOWN_SIZES = frozenset({0xFFFFFFFF, 0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000})
_HEADER_MAX_BYTES = 2**26  # that are held in memory where they have to be put right
_CHUNKS_MAX = 10_000  # a file of empty chunks must not keep us busy


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


_RIFF = _Layout(12, 4, "<I", False, 2, b"data")
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RF64": _RIFF,
    b"RIFX": _RIFF._replace(size_format=">I"),
    b"FORM": _RIFF._replace(size_format=">I", sound=b"SSND"),
    b"riff": _Layout(40, 16, "<Q", True, 8, bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")),
    b"caff": _Layout(8, 4, ">Q", False, 1, b"data"),
}


def is_chunked(magic: bytes) -> bool:
    """Tell from the first four bytes of a file whether this module knows its container."""
    return magic[:4] in _LAYOUTS


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks of an open file in order; the last one may promise more than is there."""
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    magic = file.read(4)
    layout = _LAYOUTS.get(magic)
    if layout is None:
        return
    header = layout.id_bytes + struct.calcsize(layout.size_format)
    position, long_size = layout.first, None
    for _ in range(_CHUNKS_MAX):
        if position + header > end:
            return
        file.seek(position)
        head = file.read(header)
        name = head[: layout.id_bytes]
        (size,) = struct.unpack(layout.size_format, head[layout.id_bytes :])
        if layout.size_counts_header:
            size = max(size - header, 0)
        if magic == b"RF64" and name == b"ds64":
            long_size = struct.unpack("<8xQ", file.read(16).ljust(16, b"\0"))[0]
        if name == b"data" and size == 0xFFFFFFFF and long_size is not None:
            size = long_size
        yield Chunk(name, position + header, size)
        position += header + size
        position += -position % layout.alignment


def boxes(file: BinaryIO, inside: Chunk | None = None) -> Iterator[Chunk]:
    """Yield the boxes of an open MP4 file, or those inside one of them, in order."""
    end = file.seek(0, io.SEEK_END)
    position = 0
    if inside is not None:
        position, end = inside.start, min(inside.end, end)
    for _ in range(_CHUNKS_MAX):
        if position + 8 > end:
            return
        file.seek(position)
        size, name = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:  # it stands in 64 bits behind the name
            (size,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            header = 16
        elif size == 0:
            size = end - position
        yield Chunk(name, position + header, max(size - header, 0))
        position += max(size, header)


class Splice(io.RawIOBase):
    """A file as it should have been: `head`, then the bytes of `path` from `offset` on; read-only.

    libsndfile believes headers; where one is known to be wrong it is shown a right one.
    """

    def __init__(self, path: Path, head: bytes, offset: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._head = head
        self._offset = offset
        self._size = len(head) + path.stat().st_size - offset
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def tell(self) -> int:  # noqa: D102
        return self._position

    def read(self, size: int = -1) -> bytes:  # noqa: D102
        size = self._size - self._position if size < 0 else size
        found = self._head[self._position : self._position + size]
        rest = size - len(found)
        if rest > 0:
            inside = self._position + len(found) - len(self._head)
            self._file.seek(self._offset + inside)
            found += self._file.read(rest)
        self._position += len(found)
        return found

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # noqa: D102
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:  # noqa: D102
        self._file.close()
        super().close()


class Repair(NamedTuple):
    """What `Splice` needs to show a file with a right header."""

    head: bytes
    offset: int


def check_chunked(path: Path) -> Repair | None:
    """Check that all the sound that the header promises is in the file.

    Returns:
        a header with the right size, for a WAV file written to a pipe that says 0.

    Raises:
        AudioReadError: the file ends before the sound does.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
        (declared,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
        layout = _LAYOUTS[magic]
        sound = next((chunk for chunk in chunks(file) if chunk.id == layout.sound), None)
        if sound is None or sound.end <= size:
            unfinished = declared in _UNKNOWN_SIZES or sound is None or declared + 8 < sound.start
            held = sound is not None and sound.start < _HEADER_MAX_BYTES
            if magic == b"RIFF" and sound is not None and sound.size == 0 and unfinished and held:
                file.seek(0)
                head = bytearray(file.read(sound.start))
                struct.pack_into("<I", head, 4, min(size - 8, 0xFFFFFFFE))
                struct.pack_into("<I", head, sound.start - 4, min(size - sound.start, 0xFFFFFFFE))
                return Repair(bytes(head), sound.start)
            return None
    unknown = sound.size >= 2**63 if magic == b"caff" else sound.size in _UNKNOWN_SIZES
    if not unknown:
        raise AudioReadError(
            f"{path.name} is cut short: its header promises {sound.size} bytes of sound, the file "
            f"ends after {max(size - sound.start, 0)}; get the file again from where it came from."
        )
    return None
