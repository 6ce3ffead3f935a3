"""Read what a file says about itself: tags as text, pictures, chunks that prove where it came from.

Provenance ("AI-GENERATED", a broadcast chunk, a C2PA manifest) is carried over to the result.
"""

from __future__ import annotations

import codecs
import importlib.util
import io
import logging
import re
import struct
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import soundfile as sf

from nitido.audio import ffmpeg
from nitido.audio.containers import boxes, chunks
from nitido.audio.pictures import Picture, usable
from nitido.audio.tag_blocks import id3_frames, id3_size, is_unsynchronised, synchronised

logger = logging.getLogger(__name__)

Tags: TypeAlias = dict[str, list[str]]

FLAC_MASK = "waveformatextensible_channel_mask"  # the speakers of a FLAC file, in hexadecimal
CREDENTIALS = b"C2PA"  # Content Credentials: a chunk of WAV; what other containers hold is one, too
PROVENANCE_CHUNKS = frozenset(
    {b"bext", b"iXML", b"axml", b"chna", CREDENTIALS, b"c2pa", b"id3 ", b"_PMX"}
)
MARK_CHUNKS = frozenset({b"smpl", b"cue ", b"plst", b"LIST", b"inst", b"acid"})
_TEXT_CHUNKS = frozenset({b"LIST", b"id3 ", b"ID3 ", b"_PMX"})
_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_SAID_FRAMES = frozenset({b"COMM", b"COM", b"USLT", b"ULT", b"APIC", b"PIC"})
_ID3V1_BYTES = 128
_APE_FOOTER = struct.Struct("<8sIIII8x")
_APE_NO_TEXT = 0b110  # flags of an item: binary, or a link
_APE_MAX_BYTES = 2**20
_CHUNK_MAX_BYTES = 16 * 2**20
_TAGS_MAX_BYTES = 64 * 2**20  # of all tags, or chunks, of a file
_READ_COSTS_BYTES = 256  # at least, of those: a million empty frames must not keep us busy
_VALUES_MAX = 1000  # of a file
_TIMED_LYRICS_MAX_BYTES = 2**15  # of one song
_TOO_MANY = f"they are more than {_VALUES_MAX}"
_NOT_TAGS = frozenset(
    {
        "filename", "filesize", "mime_type", "duration", "channels", "bitrate", "bitdepth",
        "samplerate", "is_lossless",
    }
)  # fmt: skip
_SOUNDFILE_NAMES = {"date": "year", "tracknumber": "track"}
_NUMBERS = frozenset({"track", "track_total", "disc", "disc_total"})
_PLAIN_NAMES = {
    "date": "year",
    "album_artist": "albumartist",
    "album artist": "albumartist",
    "part_number": "track",
    "tracknumber": "track",
    "total_parts": "track_total",
    "discnumber": "disc",
}
# What containers note of the stream that they hold, not of the music.
_OF_THE_STREAM = re.compile(
    r"(bps|duration|number_of_frames|number_of_bytes|source_id|_statistics_.*)(-\w+)?"
    r"|encoder|handler_name|vendor_id|language|(major|compatible)_brands?|minor_version"
)
# Double-byte characters as Japanese has them: kana, kanji, marks and wide letters.
_WIDE = re.compile("[\u3000-\u30ff\u4e00-\u9fff\uff00-\uff60]{2,}")
_KANA = re.compile("[\u3041-\u30fe]")
_KANJI_BESIDE_LETTER = re.compile("[A-Za-z][\u4e00-\u9fff]|[\u4e00-\u9fff][A-Za-z]")
_TELLING_LEADS = frozenset({0x82, 0x83, *range(0x88, 0x98)})  # kana and wide letters; common kanji


# Generators of music by the word with which they sign; longer words that hold it are others.
GENERATORS = {
    "MusicGen": "musicgen|audiocraft",
    "Suno": "suno",
    "Udio": "udio",
    "ACE-Step": "ace-?step",
    "Stable Audio": "stable[ -]?audio",
    "Mureka": "mureka",
    "Riffusion": "riffusion",
    "DiffRhythm": "diffrhythm",
    "HeartMuLa": "heartmula",
}
_THE_MUSIC_S = frozenset({"title", "artist", "album", "albumartist", "composer", "genre", "lyrics"})


def generator(tags: Tags) -> str:
    """Return the generator of music that signed in the tags, ``""`` if none did.

    What the piece and its makers are called does not count.

    >>> generator({"comment": ["made with suno; created=2025-01-01"], "title": ["Udio"]})
    'Suno'
    >>> generator({"encoder": ["LAME 3.100, audio"]})
    ''
    """
    said = "\n".join(v for name, values in tags.items() if name not in _THE_MUSIC_S for v in values)
    for name, word in GENERATORS.items():
        if re.search(rf"(?<![a-z0-9])({word})(?![a-z0-9])", said, re.IGNORECASE):
            return name
    return ""


class RawChunk(NamedTuple):
    """A RIFF chunk that is carried over byte for byte."""

    id: bytes
    content: bytes


def read_tags(path: str | Path) -> Tags:
    """Return the tags of an audio file, names in lower case; empty if there are none.

    Fields of one's own, such as ``AI-GENERATED``, are included; pictures are not. Text in no stated
    encoding is read as `local_text` does. Tags that cannot be read are logged and left out: they
    are no reason not to restore the sound.
    """
    path = Path(path)
    try:
        return _found_tags(path)
    except Exception as error:  # a hostile tag may fail in any way
        logger.warning("The tags of %s cannot be read and are left out: %s", path.name, error)
        return {}


def _found_tags(path: Path) -> Tags:
    with path.open("rb") as file:
        riff = file.read(4) in (b"RIFF", b"RF64")
    if riff:
        return tags_in(_contents(path, _TEXT_CHUNKS))
    try:
        tags = _of(_opened(path))
    except _tinytag().UnsupportedFormatError:
        return _from_ffmpeg(path) or _from_soundfile(path)
    numbered = not all(name.isprintable() for name in tags)  # keys of QuickTime, by number
    return _from_ffmpeg(path) if numbered else {**_from_ape(path), **tags}


def read_chunks(path: str | Path) -> tuple[RawChunk, ...]:
    """Return the chunks of a WAV file that are carried over.

    Those of provenance, bext, iXML, axml, chna, C2PA, id3, XMP; and loops and marks: smpl, cue,
    plst, adtl, inst, acid. The Content Credentials of a file of another kind (MP3, FLAC, MP4) are
    such a chunk as well.

    Source: C2PA Technical Specification 2.1 sec. A.3, embedding manifests into files.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] in (b"RIFF", b"RF64"):
        found = _contents(path, PROVENANCE_CHUNKS | MARK_CHUNKS)
        return tuple(c for c in found if c.id != b"LIST" or c.content.startswith(b"adtl"))
    store = b""
    if head.startswith(b"ID3"):
        with path.open("rb") as file:
            size = id3_size(head)
            frames = id3_frames(file.read(size) if size <= _TAGS_MAX_BYTES else b"")
            store = b"".join(_jumbf(frame.content) for frame in frames if frame.id == b"GEOB")
    elif head[4:8] == b"ftyp":
        with path.open("rb") as file:
            for box in boxes(file):
                if box.id == b"uuid" and box.size <= _CHUNK_MAX_BYTES:
                    file.seek(box.start)
                    content = file.read(box.size)
                    store = store or (_jumbf(content) if content.startswith(_C2PA_UUID) else b"")
    return (RawChunk(CREDENTIALS, store),) if store else ()


def _jumbf(content: bytes) -> bytes:
    """Return the store of C2PA manifests in a frame or box, by its own header; empty without."""
    start = content.find(b"jumb", 0, 2**10) - 4
    if start < 0 or b"c2pa" not in content[start + 16 : start + 48]:
        return b""
    return content[start : start + int.from_bytes(content[start : start + 4], "big")]


def read_pictures(path: str | Path) -> tuple[Picture, ...]:
    """Return the pictures of an audio file; what is none, or too large, is logged and left out."""
    path = Path(path)
    try:
        return usable(_found_pictures(path), name=path.name)
    except Exception as error:  # as with tags
        logger.warning("The pictures of %s are left out: %s", path.name, error)
        return ()


def _found_pictures(path: Path) -> list[Picture]:
    with path.open("rb") as file:
        riff = file.read(4) in (b"RIFF", b"RF64")
    with _in_riff(_contents(path, _TEXT_CHUNKS)) if riff else _opened(path) as file:
        try:
            images = _tinytag().TinyTag.get(file_obj=file, duration=False, image=True).images
        except _tinytag().UnsupportedFormatError:
            picture = Picture(ffmpeg.read_picture(path))
            return [picture] if picture.mime_type else []
    kinds = _tinytag()._ID3._IMAGE_TYPES
    return [
        Picture(image.data, _kind(name, kinds), image.description or "")
        for name, several in images.as_dict().items()
        for image in several
    ]


def _kind(name: str, names: Sequence[str]) -> int:
    """Return what a picture shows as ID3 and FLAC number it, by tinytag's name of it."""
    kinds = [kind for kind, known in enumerate(names) if known.removeprefix("other.") == name]
    return kinds[0] if kinds else 0


def local_text(raw: bytes) -> str:
    r"""Return text in the encoding of some computer: UTF-8, Shift-JIS, or else cp1252.

    Shift-JIS is told by two wide characters in a row, one of them kana or a common kanji; without
    kana no letter may touch a kanji, as in words with accents. Where it cannot be told nothing is
    lost: each byte is a character of cp1252, or all are of Latin-1 where cp1252 has a gap, and can
    be turned back. Half a character at the end, where a field was cut, is left out.

    >>> local_text("夜の海".encode("cp932")), local_text(b"Caf\xe9 \x93live\x94, it\x92s")
    ('夜の海', 'Café “live”, it’s')
    """
    if raw.isascii():
        return raw.decode()
    if text := _decoded(raw, "utf-8"):
        return text
    text = _decoded(raw, "cp932")
    wide = "".join(_WIDE.findall(text))
    accents = not _KANA.search(wide) and _KANJI_BESIDE_LETTER.search(text)
    if not accents and any(mark.encode("cp932", "replace")[0] in _TELLING_LEADS for mark in wide):
        return text
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _decoded(raw: bytes, encoding: str) -> str:
    """Return the text, less half a character at its end; empty if it is nothing but ASCII, or not.

    Characters for private use count as none: no text has them.
    """
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(raw)
    except UnicodeDecodeError:
        return ""
    return "" if text.isascii() or re.search("[\ue000-\uf8ff]", text) else text


class _Text(bytes):
    """Bytes that tinytag takes for UTF-8 and that may be in the encoding of some computer."""

    def decode(self, *_: str) -> str:
        return local_text(bytes(self))

    def split(self, *by: Any) -> list[bytes]:
        return [_Text(piece) for piece in super().split(*by)]


class _TextFile:
    """A file of which all that is read is `_Text`."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        return _Text(self._file.read(size))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Rationed(io.BufferedIOBase):
    """A file of which no more is read than tags can take."""

    _left = _TAGS_MAX_BYTES

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes.

        Raises:
            ValueError: more than 64 MiB in all.
        """
        wanted = self._left + 1 if size is None or size < 0 else size
        found = super().read(min(wanted, self._left + 1))
        self._left -= max(len(found), _READ_COSTS_BYTES)
        if self._left < 0:
            raise ValueError(f"they take more than {_TAGS_MAX_BYTES} bytes")
        return found


class _File(_Rationed, io.BufferedReader):
    pass


class _Bytes(_Rationed, io.BytesIO):
    pass


class _Values(list[str]):
    """The values of a tag, each once; found at once among however many there are."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()

    def __contains__(self, value: object) -> bool:
        return value in self._known

    def append(self, value: str) -> None:
        super().append(value)
        self._known.add(value)
        if len(self) > _VALUES_MAX:
            raise ValueError(_TOO_MANY)


def _opened(path: Path) -> io.BufferedIOBase:
    """Return a file as tinytag can read it: it knows of no unsynchronised ID3 tags."""
    with path.open("rb") as file:
        head = file.read(10)
        if is_unsynchronised(head) and id3_size(head) <= _TAGS_MAX_BYTES:
            tag = head + file.read(id3_size(head) - 10)
            if file.read(4) != b"fLaC":
                end = file.seek(0, io.SEEK_END)
                file.seek(max(end - _ID3V1_BYTES, len(tag)))
                return _Bytes(synchronised(tag) + file.read())
    return _File(io.FileIO(path))


@cache
def _tinytag() -> Any:
    """Return a tinytag of our own, for which time grows no faster than the file.

    As it is, it looks for each new value among all before, and for the end of each synchronised
    text through all that follow; and it takes text for Latin-1 or UTF-8 that often is in another
    encoding. The module that others import is left as it is.
    """
    spec = importlib.util.find_spec("tinytag.tinytag")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("tinytag is not installed", name="tinytag")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    class Fields(module.OtherFields):  # type: ignore[misc]
        def __setitem__(self, name: str, _: list[str]) -> None:
            super().__setitem__(name, _Values())

    find = module._ID3._find_string_end_pos

    def find_end(content: bytes, encoding: int = 0, start_pos: int = 0) -> int:
        found: int = find(content, encoding, start_pos)
        return found if found > start_pos else len(content)

    timed = module._ID3._parse_synced_lyrics

    def timed_lyrics(self: Any, content: bytes) -> str:
        return timed(self, content) if len(content) <= _TIMED_LYRICS_MAX_BYTES else ""

    decode = module._ID3._decode_string

    def decode_string(self: Any, content: bytes, encoding: int | None = None) -> str:
        if encoding in (1, 2):  # UTF-16
            return str(decode(self, content, encoding))
        return local_text(content.rstrip(b"\0"))

    first_version = module._ID3._parse_id3v1

    def id3v1(self: Any, file: Any) -> bool:
        names = ("title", "artist", "album", "comment")
        before = {name: getattr(self, name) for name in names}
        found = bool(first_version(self, file))
        for name in names:
            if before[name] is None and (text := getattr(self, name)):
                setattr(self, name, local_text(text.encode("latin-1")))
        return found

    comments = module._Ogg._parse_vorbis_comment.__func__

    def vorbis_comments(cls: Any, file: Any, *args: Any, **options: Any) -> Any:
        return comments(cls, _TextFile(file), *args, **options)

    module._ID3._decode_string = decode_string
    module._ID3._parse_id3v1 = id3v1
    module._Ogg._parse_vorbis_comment = classmethod(vorbis_comments)
    module.TinyTag._unpad_bytes = staticmethod(lambda content: _Text(content.rstrip(b"\0")))
    module.OtherFields, module.BytesIO = Fields, _Bytes
    module._ID3._find_string_end_pos = staticmethod(find_end)
    module._ID3._parse_synced_lyrics = timed_lyrics
    return module


def _contents(path: Path, wanted: frozenset[bytes]) -> list[RawChunk]:
    found, left = [], _TAGS_MAX_BYTES
    with path.open("rb") as file:
        size = file.seek(0, 2)
        for chunk in chunks(file):
            if chunk.id not in wanted or chunk.end > size:
                continue
            if chunk.size > min(_CHUNK_MAX_BYTES, left):
                logger.warning("A chunk %r of %d bytes is left out.", chunk.id, chunk.size)
                continue
            file.seek(chunk.start)
            found.append(RawChunk(chunk.id, file.read(chunk.size)))
            left -= chunk.size
    return found


def pack_chunk(chunk: RawChunk, *, size_format: str = "<I") -> bytes:
    """Return the bytes of a chunk with its header, padded to an even length."""
    size = struct.pack(size_format, len(chunk.content))
    return chunk.id + size + chunk.content + b"\0" * (len(chunk.content) % 2)


def tags_in(found: Iterable[RawChunk]) -> Tags:
    """Return the tags in RIFF chunks, read from a WAV file made of nothing else.

    So the size of the sound plays no part: RF64, and files written to a pipe, are read as well.
    """
    return _of(_in_riff(found))


def said_by_tags(chunk: RawChunk) -> bool:
    """Return whether all that a chunk says is among the tags and pictures of its file."""
    if chunk.id == b"id3 ":
        return all(f.id[:1] == b"T" or f.id in _SAID_FRAMES for f in id3_frames(chunk.content))
    return chunk.id == b"_PMX"


def _in_riff(found: Iterable[RawChunk]) -> io.BufferedIOBase:
    body = b"".join(pack_chunk(chunk) for chunk in found)
    return _Bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body)


def _of(file: io.BufferedIOBase) -> Tags:
    with file:
        found = _tinytag().TinyTag.get(file_obj=file, duration=False)
    tags: Tags = {}
    for name, values in found.as_dict().items():
        if name in _NOT_TAGS or not isinstance(values, list):
            continue
        texts = [text for value in values if (text := str(value).replace("\0", "\n").strip())]
        # A field of one's own with a name that tinytag has a place for: ffmpeg's comment in MP3.
        plain = name.removeprefix("_")
        name = plain if plain in vars(found) and plain not in _NUMBERS else name
        known = tags.get(name, [])
        if new := [text for text in texts if text not in known]:
            tags[name] = known + new
    if sum(map(len, tags.values())) > _VALUES_MAX:
        raise ValueError(_TOO_MANY)
    return tags


def _from_ffmpeg(path: Path) -> Tags:
    """Return the tags of containers that only ffmpeg reads, such as Matroska; empty without it."""
    return _named(ffmpeg.read_metadata(path))


def _from_ape(path: Path) -> Tags:
    """Return the tags at the end of an MP3 file that MP3Gain and others write; most often none.

    Source: APEv2 specification, hydrogenaud.io wiki.
    """
    with path.open("rb") as file:
        end = file.seek(0, io.SEEK_END)
        file.seek(max(end - _ID3V1_BYTES - _APE_FOOTER.size, 0))
        tail = file.read()
        at = tail.rfind(b"APETAGEX")
        if at not in (len(tail) - _APE_FOOTER.size, len(tail) - _ID3V1_BYTES - _APE_FOOTER.size):
            return {}
        _, _, size, count, _ = _APE_FOOTER.unpack_from(tail, at)
        start = end - len(tail) + at + _APE_FOOTER.size - size
        if size > _APE_MAX_BYTES or count > _VALUES_MAX or start < 0:
            return {}
        file.seek(start)
        content = file.read(size - _APE_FOOTER.size)
    pairs = []
    for _ in range(count):
        length, flags = struct.unpack("<II", content[:8].ljust(8, b"\0"))
        name, _, content = content[8:].partition(b"\0")
        if not flags & _APE_NO_TEXT:
            values = content[:length].decode("utf-8", "replace").split("\0")
            pairs += [(name.decode("latin-1"), value) for value in values]
        content = content[length:]
    return _named(pairs)


def _named(pairs: Iterable[tuple[str, str]]) -> Tags:
    """Return tags by the names that tinytag has for them, without what is of the stream alone."""
    tags: Tags = {}
    for key, value in pairs:
        name = _PLAIN_NAMES.get(key.lower(), key.lower())
        number, slash, total = value.partition("/")
        if name in _NUMBERS and slash:
            tags[f"{name}_total"], value = [total.strip()], number
        if name and not _OF_THE_STREAM.fullmatch(name) and (text := value.strip()):
            tags.setdefault(name, []).append(text)
    if sum(map(len, tags.values())) > _VALUES_MAX:
        raise ValueError(_TOO_MANY)
    return tags


def _from_soundfile(path: Path) -> Tags:
    """Return the ten fields that libsndfile knows, for containers that tinytag does not (CAF)."""
    try:
        with sf.SoundFile(path) as file:
            fields = file.copy_metadata()
    except (sf.SoundFileError, TypeError, ValueError):
        return {}
    return {_SOUNDFILE_NAMES.get(name, name): [text] for name, text in fields.items() if text}
