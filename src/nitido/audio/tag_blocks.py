"""Tags as bytes: Vorbis comments, an ID3v2.4 tag, a RIFF INFO list.

Each is written so that `read_tags` finds the same names and values again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from nitido.audio.pictures import FRONT_COVER, Picture

_VORBIS_NAMES = {
    "year": "DATE",
    "track": "TRACKNUMBER",
    "track_total": "TRACKTOTAL",
    "disc": "DISCNUMBER",
    "disc_total": "DISCTOTAL",
}
_ID3_FRAMES = {
    "title": "TIT2",
    "artist": "TPE1",
    "album": "TALB",
    "albumartist": "TPE2",
    "composer": "TCOM",
    "genre": "TCON",
    "year": "TDRC",
    "copyright": "TCOP",
    "publisher": "TPUB",
    "isrc": "TSRC",
    "bpm": "TBPM",
    "language": "TLAN",
    "lyricist": "TEXT",
    "conductor": "TPE3",
    "media": "TMED",
    "encoded_by": "TENC",
    "encoder_settings": "TSSE",
}
_ID3_NUMBERED = {"track": "TRCK", "disc": "TPOS"}
_ID3_WITH_LANGUAGE = {"comment": "COMM", "lyrics": "USLT"}
_MP4_ITEMS = {
    "title": b"\xa9nam",
    "artist": b"\xa9ART",
    "album": b"\xa9alb",
    "albumartist": b"aART",
    "composer": b"\xa9wrt",
    "genre": b"\xa9gen",
    "year": b"\xa9day",
    "comment": b"\xa9cmt",
    "copyright": b"cprt",
    "description": b"desc",
    "grouping": b"\xa9grp",
    "lyrics": b"\xa9lyr",
    "publisher": b"\xa9pub",
    "encoded_by": b"\xa9too",
}
_MP4_NUMBERED = {"track": b"trkn", "disc": b"disk"}
_MP4_TEXT = 1
_MP4_PICTURES = {"image/gif": 12, "image/jpeg": 13, "image/png": 14, "image/bmp": 27}
_UTF8 = b"\x03"
_FRAMES_MAX = 10_000  # of an ID3v2 tag: a million empty ones must not keep us busy
_UNSYNCHRONISED, _EXTENDED = 0x80, 0x40  # flags of an ID3v2 tag
_INFO_NAMES = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "comment": b"ICMT",
    "composer": b"IMUS",
    "copyright": b"ICOP",
    "year": b"ICRD",
    "genre": b"IGNR",
    "language": b"ILNG",
    "isrc": b"ISRC",
    "publisher": b"IPUB",
    "track": b"ITRK",
    "lyricist": b"IWRI",
    "encoded_by": b"IENC",
    "media": b"IMED",
    **{
        name.lower(): name.encode()
        for name in (
            *("IARL", "ICMS", "ICRP", "IDIM", "IDIT", "IDPI", "IENG", "IKEY", "ILGT", "IPAL"),
            *("ISBJ", "ISFT", "ISHP", "ISMP", "ISRF", "ITCH"),
        )
    },
}


def vorbis_comment(tags: Mapping[str, Sequence[str]], *, like: bytes) -> bytes:
    """Return a Vorbis comment with these tags and the vendor string of another, `like`.

    Source: Vorbis I specification, sec. 5.2.1; RFC 9639 sec. 8.6.
    """
    (length,) = struct.unpack_from("<I", like)
    pairs = [
        f"{_vorbis_name(name)}={value}".encode("utf-8", "replace")
        for name, values in tags.items()
        for value in values
    ]
    packed = b"".join(struct.pack("<I", len(pair)) + pair for pair in pairs)
    return like[: 4 + length] + struct.pack("<I", len(pairs)) + packed


def _vorbis_name(name: str) -> str:
    name = _VORBIS_NAMES.get(name, name.upper())
    return "".join(c if " " <= c <= "}" and c != "=" else "_" for c in name) or "_"


def id3v2(tags: Mapping[str, Sequence[str]], pictures: Sequence[Picture] = ()) -> bytes:
    """Return an ID3v2.4 tag in UTF-8; empty without tags and pictures.

    Source: id3.org, ID3 tag version 2.4.0, structure and native frames.
    """
    frames = b"".join(
        [
            *(_id3_frames(name, values, tags) for name, values in tags.items()),
            *(_id3_frame("APIC", picture.id3_frame()) for picture in pictures),
        ]
    )
    return b"ID3\x04\x00\x00" + _synchsafe(len(frames)) + frames if frames else b""


def _id3_frames(name: str, values: Sequence[str], tags: Mapping[str, Sequence[str]]) -> bytes:
    texts = [value.encode("utf-8", "replace") for value in values]
    if frame := _ID3_FRAMES.get(name):
        return _id3_frame(frame, _UTF8 + b"\0".join(texts))
    number = name.removesuffix("_total")
    if frame := _ID3_NUMBERED.get(number):  # "3/12": written once, with the number if there is one
        if name != number and number in tags:
            return b""
        total = "".join(f"/{value}" for value in tags.get(f"{number}_total", [])[:1]).encode()
        texts = texts if name == number else [b""]
        return b"".join(_id3_frame(frame, _UTF8 + text + total) for text in texts)
    if frame := _ID3_WITH_LANGUAGE.get(name):
        return b"".join(_id3_frame(frame, _UTF8 + b"und\0" + text) for text in texts)
    label = _UTF8 + name.upper().encode("utf-8", "replace") + b"\0"
    return b"".join(_id3_frame("TXXX", label + text) for text in texts)


def _id3_frame(name: str, content: bytes) -> bytes:
    return name.encode() + _synchsafe(len(content)) + b"\0\0" + content


def _synchsafe(number: int) -> bytes:
    """Return four bytes of seven bits each: none looks like the start of an MP3 frame."""
    return bytes((number >> shift) & 0x7F for shift in (21, 14, 7, 0))


class Id3Frame(NamedTuple):
    """A frame of an ID3v2 tag.

    Attributes:
        id: three or four letters.
        packed: the frame with its header.
        content: of the frame.
    """

    id: bytes
    packed: bytes
    content: bytes

    @property
    def label(self) -> str:
        """Return what the field is called, where it has a name of its own; else nothing."""
        start = {b"TXXX": 1, b"TXX": 1, b"COMM": 4, b"COM": 4}.get(self.id)
        if start is None or len(self.content) <= start:
            return ""
        codec, end = ("utf-16", b"\0\0") if self.content[0] in (1, 2) else ("latin-1", b"\0")
        text = self.content[start:]
        stop = next(
            (at for at in range(0, len(text), len(end)) if text[at : at + len(end)] == end), 0
        )
        return text[:stop].decode(codec, "replace")


def id3_frames(tag: bytes) -> Iterator[Id3Frame]:
    """Yield the frames of an ID3v2 tag, of version 2.2, 2.3 or 2.4: its first 10 000.

    Source: id3.org, ID3 tag version 2.2.0, 2.3.0 and 2.4.0, structure.
    """
    if len(tag) < 10 or not tag.startswith(b"ID3"):
        return
    major, flags = tag[3], tag[5]
    body = tag[10 : 10 + _plain(tag[6:10])]
    if flags & _UNSYNCHRONISED and major < 4:
        body = body.replace(b"\xff\0", b"\xff")
    position = 0
    if flags & _EXTENDED and major > 2:
        position = _plain(body[:4]) if major == 4 else 4 + int.from_bytes(body[:4], "big")
    letters, header = (3, 6) if major == 2 else (4, 10)
    for _ in range(_FRAMES_MAX):
        if not body[position : position + 1].strip(b"\0"):
            return
        size_bytes = body[position + letters : position + 2 * letters]
        size = _plain(size_bytes) if major == 4 else int.from_bytes(size_bytes, "big")
        start = position + header
        if start + size > len(body):
            return
        content = body[start : start + size]
        frame_flags = body[start - 1] if major == 4 else 0
        if frame_flags & 1:  # an indicator of its length stands before it
            content = content[4:]
        if frame_flags & 2:
            content = content.replace(b"\xff\0", b"\xff")
        name = body[position : position + letters]
        yield Id3Frame(name, body[position : start + size], content)
        position = start + size


def id3_size(head: bytes) -> int:
    """Return the size of an ID3v2 tag with its header, from its first ten bytes."""
    return 10 + _plain(head[6:10])


def is_unsynchronised(head: bytes) -> bool:
    """Return whether there are zeros between the bytes of an ID3v2 tag, from its first ten."""
    return head.startswith(b"ID3") and bool(head[5] & _UNSYNCHRONISED)


def synchronised(tag: bytes) -> bytes:
    """Return an ID3v2 tag with its frames as they were before zeros were put between bytes.

    Unsynchronisation kept old players from taking a picture for sound.
    """
    packed = []
    for frame in id3_frames(tag):
        size = len(frame.content)
        if tag[3] == 2:
            packed.append(frame.id + size.to_bytes(3, "big") + frame.content)
        else:
            of_size = _synchsafe(size) if tag[3] == 4 else struct.pack(">I", size)
            packed.append(frame.id + of_size + b"\0\0" + frame.content)
    body = b"".join(packed)
    return tag[:5] + b"\0" + _synchsafe(len(body)) + body


def without_frames(tag: bytes, drop: Callable[[Id3Frame], bool]) -> bytes:
    """Return an ID3v2 tag without some of its frames, else as it is; empty if none is left."""
    frames = list(id3_frames(tag))
    kept = [frame.packed for frame in frames if not drop(frame)]
    if len(kept) == len(frames):
        return tag
    body = b"".join(kept)
    flags = tag[5] & ~(_UNSYNCHRONISED | _EXTENDED)
    return tag[:5] + bytes([flags]) + _synchsafe(len(body)) + body if body else b""


def _plain(number: bytes) -> int:
    """Return a number of seven bits in each byte."""
    value = 0
    for byte in number:
        value = value << 7 | byte & 0x7F
    return value


def mp4_user_data(tags: Mapping[str, Sequence[str]], pictures: Sequence[Picture] = ()) -> bytes:
    """Return a box `udta` for the end of the box `moov` of an MP4 file, as iTunes writes it.

    Source: Apple, QuickTime File Format Specification, metadata; iTunes' own items as TagLib and
    AtomicParsley describe them.
    """
    items = [_mp4_item(name, values, tags) for name, values in tags.items()]
    if pictures:
        first = sorted(pictures, key=lambda picture: picture.kind != FRONT_COVER)
        kinds = (_MP4_PICTURES.get(picture.mime_type, 0) for picture in first)
        data = (
            _mp4_data(kind, picture.content) for kind, picture in zip(kinds, first, strict=True)
        )
        items.append(_box(b"covr", *data))
    handler = _box(b"hdlr", bytes(8), b"mdirappl", bytes(9))
    return _box(b"udta", _box(b"meta", bytes(4), handler, _box(b"ilst", *items)))


def _mp4_item(name: str, values: Sequence[str], tags: Mapping[str, Sequence[str]]) -> bytes:
    data = [_mp4_data(_MP4_TEXT, value.encode("utf-8", "replace")) for value in values]
    if code := _MP4_ITEMS.get(name):
        return _box(code, *data)
    number = name.removesuffix("_total")
    if code := _MP4_NUMBERED.get(number):
        if name != number and number in tags:
            return b""
        pair = [
            int(v[0]) if (v := tags.get(n)) and v[0].isdecimal() else 0
            for n in (number, f"{number}_total")
        ]
        if max(pair) < 2**16:
            return _box(code, _mp4_data(0, struct.pack(">4H", 0, *pair, 0)))
    label = _box(b"name", bytes(4), name.upper().encode("utf-8", "replace"))
    return _box(b"----", _box(b"mean", bytes(4), b"com.apple.iTunes"), label, *data)


def _mp4_data(kind: int, content: bytes) -> bytes:
    return _box(b"data", struct.pack(">II", kind, 0), content)


def _box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def info_list(tags: Mapping[str, Sequence[str]]) -> tuple[bytes, dict[str, list[str]]]:
    """Return the content of a RIFF `LIST` chunk of type INFO, and the tags without a place in it.

    Source: Multimedia Programming Interface and Data Specifications 1.0, IBM and Microsoft 1991.
    """
    packed, left = [], {}
    for name, values in tags.items():
        code = _INFO_NAMES.get(name)
        if code is None or (name == "track" and "track_total" in tags):
            left[name] = list(values)
            continue
        for value in values:
            text = value.encode("utf-8", "replace") + b"\0"
            packed += [code, struct.pack("<I", len(text)), text, b"\0" * (len(text) % 2)]
    return (b"".join([b"INFO", *packed]) if packed else b""), left
