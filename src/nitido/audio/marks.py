"""Positions in a piece: loop points and markers, in the chunks of a WAV file and in tags.

A result at another sample rate has them at the same moments: `resampled`. Loop points go from
chunks to tags and back, as the format of a result holds them: `as_held`.

Source: Multimedia Programming Interface and Data Specifications 1.0, IBM and Microsoft 1991 (cue,
plst, adtl); Multimedia Data Standards Update 3.0, Microsoft 1994 (smpl, inst); ACID's own chunk as
libsndfile reads it; LOOPSTART and LOOPLENGTH as RPG Maker and SDL_mixer read them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from functools import reduce

from nitido.audio.tags import RawChunk, Tags, tags_in
from nitido.dsp.loop import Loop, nearest

_SMPL_HEAD, _SMPL_LOOP = struct.Struct("<9I"), struct.Struct("<6I")
_CUE = struct.Struct("<II4sIII")
_PLAYED = struct.Struct("<III")  # an entry of a playlist: cue, samples, times
_FORWARD = 0  # kind of a loop: the others turn round at its end
_ONE_SHOT, _BEATMAPPED = 0x01, 0x08  # flags of ACID's chunk: no loop, and a whole song
_NAMES = ("loopstart", "looplength", "loopend")
_TIME = r"(\d{1,4}:){1,2}\d{1,2}(\.\d{1,9})?"  # as SDL_mixer reads it: HH:MM:SS.ss
_LARGEST = 2**32 - 1
_MIDDLE_C = 60


def find_loop(
    tags: Tags, chunks: Sequence[RawChunk], *, samples: int, sample_rate: int
) -> Loop | None:
    """Return the loop that a piece says it has; None if it says nothing, or what cannot be.

    Asked in this order: a `smpl` chunk, LOOPSTART, LOOPLENGTH and LOOPEND (exclusive) in any
    spelling, an `acid` chunk that is neither of a one-shot nor of a beatmapped song.

    Args:
        tags: of the piece.
        chunks: of the piece.
        samples: of the piece; points after its end are taken for its end.
        sample_rate: of the piece, Hz.
    """
    for chunk in chunks:
        if chunk.id == b"smpl" and (points := _sampler_loop(chunk.content)):
            return _checked(*points, samples)
    if points := _tagged_loop(tags, samples, sample_rate):
        return _checked(*points, samples)
    for chunk in chunks:
        if chunk.id == b"acid" and len(chunk.content) >= 24:
            flags, beats = struct.unpack_from("<I8xI", chunk.content)
            if beats and not flags & (_ONE_SHOT | _BEATMAPPED):
                return Loop(0, samples)
    return None


def _checked(start: int, end: int, samples: int) -> Loop | None:
    end = min(end, samples)
    return Loop(start, end) if start < end else None


def _sampler_loop(content: bytes) -> tuple[int, int] | None:
    """Return start and end, exclusive, of the first forward loop in a `smpl` chunk."""
    for offset in _loop_offsets(content):
        _, kind, start, last, _, _ = _SMPL_LOOP.unpack_from(content, offset)
        if kind == _FORWARD:
            return start, last + 1
    return None


def _loop_offsets(content: bytes) -> range:
    """Return where the loops in a `smpl` chunk stand, as many as are there."""
    count = _SMPL_HEAD.unpack_from(content)[7] if len(content) >= _SMPL_HEAD.size else 0
    there = (len(content) - _SMPL_HEAD.size) // _SMPL_LOOP.size
    first, size = _SMPL_HEAD.size, _SMPL_LOOP.size
    return range(first, first + min(count, max(there, 0)) * size, size)


def _plain(name: str) -> str:
    """Return a name as it is spelt in `_NAMES`, if it is one of them.

    >>> _plain("Loop-Start"), _plain("LOOP_LENGTH")
    ('loopstart', 'looplength')
    """
    return re.sub(r"[\s_-]", "", name).lower()


def _positions(tags: Tags, sample_rate: int) -> dict[str, int]:
    """Return the loop points among the tags, in samples: they are that, or times with a colon.

    Where one of them is something else, none can be believed.
    """
    found = {}
    for name, values in tags.items():
        if values and _plain(name) in _NAMES:
            text = values[0].strip()
            if text.isascii() and text.isdigit():
                found[_plain(name)] = int(text)
            elif re.fullmatch(_TIME, text):
                parts = map(float, text.split(":"))
                seconds = reduce(lambda whole, part: 60 * whole + part, parts)
                found[_plain(name)] = round(seconds * sample_rate)
            elif text:
                return {}
    return found


def _tagged_loop(tags: Tags, samples: int, sample_rate: int) -> tuple[int, int] | None:
    """Return start and end, exclusive, of the loop that tags tell of."""
    found = _positions(tags, sample_rate)
    if not found:
        return None
    start = found.get("loopstart", 0)
    length = found.get("looplength", samples - start)
    return start, found.get("loopend", start + length)


def resampled(
    tags: Tags, chunks: Sequence[RawChunk], *, samples: int, from_hz: int, to_hz: int
) -> tuple[Tags, tuple[RawChunk, ...]]:
    """Return tags and chunks with their positions told for another sample rate.

    At the same rate nothing changes. A loop stays as long as it was, to the nearest sample; times
    stay as they are.

    Args:
        tags: of the piece.
        chunks: of the piece.
        samples: of the piece.
        from_hz: sample rate of the piece, Hz.
        to_hz: sample rate of the result, Hz.
    """
    if from_hz == to_hz:
        return tags, tuple(chunks)

    def moved(position: int) -> int:
        return min(nearest(position, from_hz, to_hz), _LARGEST)

    def looped(start: int, end: int) -> tuple[int, int]:
        if start >= min(end, samples):  # no loop that could be kept as long as it was
            return moved(start), moved(end)
        loop = Loop(start, min(end, samples)).resampled(samples, from_hz, to_hz)
        return loop.start, loop.end

    told = {}
    if points := _tagged_loop(tags, samples, from_hz):
        start, end = looped(*points)
        told = dict(zip(_NAMES, map(str, (start, end - start, end)), strict=True))
    new = {
        name: [told[_plain(name)]] if _plain(name) in told and values[0].isdigit() else values
        for name, values in tags.items()
    }
    rewritten: dict[bytes, Callable[[bytearray], None]] = {
        b"smpl": lambda content: _move_sampler(content, looped, to_hz),
        b"cue ": lambda content: _move_entries(content, _CUE, moved),
        b"plst": lambda content: _move_entries(content, _PLAYED, moved),
        b"LIST": lambda content: _move_regions(content, moved),
    }
    kept = []
    for chunk in chunks:
        content = bytearray(chunk.content)
        if chunk.id in rewritten:
            rewritten[chunk.id](content)
        elif told and chunk.id == b"id3 " and _tagged_loop(tags_in([chunk]), samples, from_hz):
            continue  # written anew, from the tags
        kept.append(RawChunk(chunk.id, bytes(content)))
    return new, tuple(kept)


def as_held(
    tags: Tags, chunks: Sequence[RawChunk], *, wav: bool, samples: int, sample_rate: int
) -> tuple[Tags, tuple[RawChunk, ...]]:
    """Return tags and chunks with the loop as the file can hold it.

    A WAV file gets a `smpl` chunk where tags tell of the loop, a sound of middle C that is looped
    for ever; every other file gets tags for what chunks tell, and keeps the chunks that tell more.
    """
    loop = find_loop(tags, chunks, samples=samples, sample_rate=sample_rate)
    if loop is None:
        return tags, tuple(chunks)
    if wav:
        if any(chunk.id == b"smpl" for chunk in chunks):
            return tags, tuple(chunks)
        head = _SMPL_HEAD.pack(0, 0, _period_ns(sample_rate), _MIDDLE_C, 0, 0, 0, 1, 0)
        body = _SMPL_LOOP.pack(0, _FORWARD, loop.start, loop.end - 1, 0, 0)
        return tags, (*chunks, RawChunk(b"smpl", head + body))
    if not _tagged_loop(tags, samples, sample_rate):
        points = {"loopstart": loop.start, "looplength": loop.end - loop.start}
        tags = {**tags, **{name: [str(value)] for name, value in points.items()}}
    return tags, tuple(c for c in chunks if c.id != b"smpl" or len(_loop_offsets(c.content)) > 1)


def _period_ns(sample_rate: int) -> int:
    return round(1e9 / sample_rate)


def _move_sampler(
    content: bytearray, looped: Callable[[int, int], tuple[int, int]], to_hz: int
) -> None:
    if len(content) >= _SMPL_HEAD.size and any(content[8:12]):
        struct.pack_into("<I", content, 8, _period_ns(to_hz))
    for offset in _loop_offsets(bytes(content)):
        start, last = struct.unpack_from("<II", content, offset + 8)
        start, end = looped(start, last + 1)
        struct.pack_into("<II", content, offset + 8, start, max(end - 1, 0))


def _move_entries(content: bytearray, entry: struct.Struct, moved: Callable[[int], int]) -> None:
    """Move what is counted in samples in the entries of a `cue ` or `plst` chunk."""
    (count,) = struct.unpack_from("<I", content.ljust(4, b"\0"))
    for offset in range(4, 4 + count * entry.size, entry.size):
        if offset + entry.size > len(content):
            return
        fields = list(entry.unpack_from(content, offset))
        fields[1] = moved(fields[1])
        if entry is _CUE:  # the sample in the order of play, and in the chunk `data`
            fields[4], fields[5] = 0, moved(fields[5])
        entry.pack_into(content, offset, *fields)


def _move_regions(content: bytearray, moved: Callable[[int], int]) -> None:
    """Move the lengths of the regions in an `adtl` list."""
    position = 4
    while content.startswith(b"adtl") and position + 16 <= len(content):
        name, size, _, length = struct.unpack_from("<4sIII", content, position)
        if name == b"ltxt":
            struct.pack_into("<I", content, position + 12, moved(length))
        position += 8 + size + size % 2
