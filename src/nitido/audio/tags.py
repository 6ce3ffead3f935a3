"""Read what a file says about itself: tags as text, and RIFF chunks that prove where it came from.

Provenance ("AI-GENERATED", a broadcast chunk, a C2PA manifest) is carried over to the result.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import struct
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import soundfile as sf

from nitido.audio.containers import chunks

logger = logging.getLogger(__name__)

Tags: TypeAlias = dict[str, list[str]]

PROVENANCE_CHUNKS = frozenset({b"bext", b"iXML", b"axml", b"C2PA", b"c2pa", b"id3 ", b"_PMX"})
MARK_CHUNKS = frozenset({b"smpl", b"cue ", b"plst", b"LIST", b"inst", b"acid"})
_TEXT_CHUNKS = frozenset({b"LIST", b"id3 ", b"ID3 ", b"_PMX"})
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


class RawChunk(NamedTuple):
    """A RIFF chunk that is carried over byte for byte."""

    id: bytes
    content: bytes


def read_tags(path: str | Path) -> Tags:
    """Return the tags of an audio file, names in lower case; empty if there are none.

    Fields of one's own, such as ``AI-GENERATED``, are included; pictures are not. Tags that cannot
    be read are logged and left out: they are no reason not to restore the sound.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            riff = file.read(4) in (b"RIFF", b"RF64")
        if riff:
            return tags_in(_contents(path, _TEXT_CHUNKS))
        return _of(_File(io.FileIO(path)))
    except _tinytag().UnsupportedFormatError:
        return _from_soundfile(path)
    except Exception as error:  # a hostile tag may fail in any way
        logger.warning("The tags of %s cannot be read and are left out: %s", path.name, error)
        return {}


def read_chunks(path: str | Path) -> tuple[RawChunk, ...]:
    """Return the chunks of a WAV file that are carried over.

    Those of provenance, bext, iXML, axml, C2PA, id3, XMP; and loops and marks: smpl, cue, plst,
    adtl, inst, acid.
    """
    path = Path(path)
    with path.open("rb") as file:
        if file.read(4) not in (b"RIFF", b"RF64"):
            return ()
    found = _contents(path, PROVENANCE_CHUNKS | MARK_CHUNKS)
    return tuple(c for c in found if c.id != b"LIST" or c.content.startswith(b"adtl"))


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


@cache
def _tinytag() -> Any:
    """Return a tinytag of our own, for which time grows no faster than the file.

    As it is, it looks for each new value among all before, and for the end of each synchronised
    text through all that follow. The module that others import is left as it is.
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
    body = b"".join(pack_chunk(chunk) for chunk in found)
    return _of(_Bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body))


def _of(file: io.BufferedIOBase) -> Tags:
    with file:
        fields = _tinytag().TinyTag.get(file_obj=file, duration=False).as_dict()
    tags: Tags = {}
    for name, values in fields.items():
        if name in _NOT_TAGS or not isinstance(values, list):
            continue
        texts = [text for value in values if (text := str(value).replace("\0", "\n").strip())]
        if texts:
            tags[name] = texts
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
