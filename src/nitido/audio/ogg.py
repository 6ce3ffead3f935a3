"""Ogg pages: checksum, one whole stream, and comments rewritten while libsndfile writes.

Source: RFC 3533 (Ogg), RFC 7845 sec. 5 (Opus headers), the Vorbis I specification sec. 4.2, 5.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from nitido.audio.containers import Repair
from nitido.audio.limits import cut_short
from nitido.audio.tag_blocks import vorbis_comment
from nitido.dsp.speakers import VORBIS
from nitido.errors import AudioReadError

_HEADER = struct.Struct("<4sBBqIIIB")
_PAGE_MAX = 27 + 255 + 255 * 255
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_PAGES_MAX = 2**20  # that are looked at: 6 h in pages of 20 ms
_SERIAL = 0x6E697469  # "niti"; libsndfile draws one by the clock, so no two files were the same
_NO_PACKET_ENDS = -1
_VORBIS_HEADERS, _HEADERS_MAX_BYTES = 3, 2**22  # packets; their comments may hold pictures

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def checksum(page: bytes) -> int:
    """Return the CRC-32 of a page whose checksum field is 0.

    Ogg shifts bits out at the left and starts from 0, zlib at the right and from all ones: zlib's
    CRC of the mirrored bytes, mirrored, is Ogg's.
    """
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


class Page(NamedTuple):
    """One page of an Ogg stream."""

    flags: int
    granule: int
    serial: int
    sequence: int
    lacing: bytes
    body: bytes

    def pack(self) -> bytes:
        """Return the page as bytes, with its checksum."""
        head = _HEADER.pack(
            b"OggS", 0, self.flags, self.granule, self.serial, self.sequence, 0, len(self.lacing)
        )
        page = head + self.lacing + self.body
        return page[:22] + struct.pack("<I", checksum(page)) + page[26:]


def read_page(buffer: bytes | bytearray | mmap.mmap, start: int = 0) -> tuple[Page, int] | None:
    """Return the page at `start` and the position after it; None if it is not (wholly) there."""
    if len(buffer) < start + _HEADER.size:
        return None
    magic, _, flags, granule, serial, sequence, _, count = _HEADER.unpack_from(buffer, start)
    body = start + _HEADER.size + count
    lacing = bytes(buffer[start + _HEADER.size : body])
    end = body + sum(lacing)
    if magic != b"OggS" or len(lacing) < count or len(buffer) < end:
        return None
    return Page(flags, granule, serial, sequence, lacing, bytes(buffer[body:end])), end


def check_ogg(path: Path, *, take: bool = False) -> Repair | None:
    """Check that the last page is whole and marked as the last, and that no other stream follows.

    Args:
        path: of the file.
        take: whether what is there of a file that was cut short is taken.

    Returns:
        a Vorbis file whose headers have their pages for themselves, where they had not: of sound on
        the page where they end libsndfile reads nothing. None if the file is right as it is.

    Raises:
        AudioReadError: the file ends before the stream does, or is several joined to one, of which
            libsndfile reads the first.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 2 * _PAGE_MAX, 0))
        tail = file.read()
    if (position := _second_stream(path)) is not None:
        raise AudioReadError(
            f"{path.name} is several Ogg streams one after the other, the second from byte "
            f"{position} on; split it, or convert it to FLAC, so that none is lost."
        )
    last = max(tail.rfind(b"OggS"), 0)
    found = read_page(tail, last)
    repair = _headers_alone(path)
    if found is not None and found[0].flags & _LAST:
        return repair
    loss = "the last page of its Ogg stream is missing"
    if not take:
        raise cut_short(path.name, loss)
    end = size - len(tail) + last if found is None else size
    return (repair or Repair())._replace(end=end, loss=loss)


def speakers_in(path: Path, channels: int) -> tuple[int, ...]:
    """Return the numbers of the speakers of a Vorbis or Opus file, as its channels follow.

    None are known beyond eight channels, and where Opus says that they have none.
    """
    with path.open("rb") as file:
        found = read_page(file.read(_PAGE_MAX))
    head = found[0].body if found else b""
    if head.startswith(b"OpusHead") and head[18:19] > b"\x01":
        return ()
    return VORBIS.get(channels, ())


def _headers_alone(path: Path) -> Repair | None:
    """Return how a Vorbis file begins with its headers on pages of their own; None if they are.

    As many pages as before, so that the numbers of those that follow are right: the headers are
    laid on all but the last.
    """
    pages: list[Page] = []
    position, ended = 0, 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        while ended < _VORBIS_HEADERS:
            found = read_page(view, position) if position < _HEADERS_MAX_BYTES else None
            if found is None or (pages and found[0].serial != pages[0].serial):
                return None
            pages.append(found[0])
            position = found[1]
            ended += sum(size < 255 for size in found[0].lacing)
    first, last = pages[0], pages[-1]
    lacing, body = b"".join(page.lacing for page in pages), b"".join(page.body for page in pages)
    ends = [number + 1 for number, size in enumerate(lacing) if size < 255]
    count = ends[_VORBIS_HEADERS - 1]
    if not first.body.startswith(b"\x01vorbis") or count == len(lacing) or len(pages) == 1:
        return None
    share = count / (len(pages) - 1)
    if not 1 <= share <= 255:
        return None
    cuts = [count * number // (len(pages) - 1) for number in range(len(pages))]
    head = bytearray()
    for number, (start, stop) in enumerate(pairwise(cuts)):
        flags = _FIRST if number == 0 else _CONTINUED if lacing[start - 1] == 255 else 0
        granule = 0 if any(start < end <= stop for end in ends) else _NO_PACKET_ENDS
        part = body[sum(lacing[:start]) : sum(lacing[:stop])]
        sequence = (first.sequence + number) % 2**32
        head += Page(flags, granule, first.serial, sequence, lacing[start:stop], part).pack()
    sound = last._replace(
        flags=last.flags & ~_CONTINUED, lacing=lacing[count:], body=body[sum(lacing[:count]) :]
    )
    return Repair(bytes(head + sound.pack()), position)


def _second_stream(path: Path) -> int | None:
    """Return where a stream begins after the sound of the first; None where there is one only."""
    sounding, position = False, 0
    with path.open("rb") as file:
        for _ in range(_PAGES_MAX):
            file.seek(position)
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size or not head.startswith(b"OggS"):
                return None
            flags, count = head[5], head[26]
            if flags & _FIRST and sounding:
                return position
            sounding = sounding or not flags & _FIRST
            position += _HEADER.size + count + sum(file.read(count))
    return None


def paginate(packets: Iterable[bytes], *, serial: int, sequence: int) -> Iterator[Page]:
    """Yield header packets as pages, of which the last ends with the last packet."""
    lacing, body, ends, continued = bytearray(), bytearray(), False, False
    for packet in packets:
        for start in range(0, len(packet) + 1, 255):
            if len(lacing) == 255:
                flags = _CONTINUED if continued else 0
                granule = 0 if ends else _NO_PACKET_ENDS
                yield Page(flags, granule, serial, sequence, bytes(lacing), bytes(body))
                sequence += 1
                lacing, body, ends, continued = bytearray(), bytearray(), False, start > 0
            piece = packet[start : start + 255]
            lacing.append(len(piece))
            body += piece
        ends = True
    flags = _CONTINUED if continued else 0
    yield Page(flags, 0 if ends else _NO_PACKET_ENDS, serial, sequence, bytes(lacing), bytes(body))


class OggRewriter:
    """Rewrites a Vorbis or Opus stream as it passes: all comments in it, always the same serial."""

    def __init__(self, comments: dict[str, list[str]]) -> None:
        self._comments = comments
        self._buffer = bytearray()
        self._packets: list[bytes] = []
        self._packet = bytearray()
        self._headers: int | None = None  # packets that make the header, once the codec is known
        self._shift: int | None = None  # pages added by the longer comment, once it is written

    def feed(self, received: bytes) -> bytes:
        """Take what the encoder wrote, in any pieces; return what goes to the file."""
        self._buffer += received
        done = bytearray()
        position = 0
        while found := read_page(self._buffer, position):
            page, position = found
            done += self._rewritten(page._replace(serial=_SERIAL))
        del self._buffer[:position]
        return bytes(done)

    def _rewritten(self, page: Page) -> bytes:
        if self._shift is not None:
            return page._replace(sequence=page.sequence + self._shift).pack()
        start = 0
        for size in page.lacing:
            self._packet += page.body[start : start + size]
            start += size
            if size < 255:
                self._packets.append(bytes(self._packet))
                self._packet.clear()
        if self._headers is None:  # the first page holds one packet, which names the codec
            self._headers = 2 if self._packets[0].startswith(b"OpusHead") else 3
            return page.pack()
        if len(self._packets) < self._headers:
            return b""
        self._packets[1] = self._commented(self._packets[1])
        pages = list(paginate(self._packets[1:], serial=_SERIAL, sequence=1))
        self._shift = len(pages) - page.sequence
        return b"".join(header.pack() for header in pages)

    def _commented(self, packet: bytes) -> bytes:
        name = b"OpusTags" if packet.startswith(b"OpusTags") else b"\x03vorbis"
        framing = b"" if name == b"OpusTags" else b"\x01"
        return name + vorbis_comment(self._comments, like=packet[len(name) :]) + framing
