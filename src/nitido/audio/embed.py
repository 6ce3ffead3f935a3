"""Tags put into a file that libsndfile has written: chunks at the end, or a comment in place."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from nitido.audio.containers import chunks
from nitido.audio.tag_blocks import id3v2, info_list, vorbis_comment
from nitido.audio.tags import RawChunk, Tags, pack_chunk, tags_in
from nitido.errors import AudioWriteError

_FLAC_COMMENT, _FLAC_PADDING, _FLAC_LAST = 4, 1, 0x80
_FLAC_BLOCK_MAX = 2**24 - 1


def wav_chunks(tags: Tags, carried: Sequence[RawChunk]) -> list[RawChunk]:
    """Return the chunks to append to a WAV file: those carried over, and the tags.

    What has no place in the INFO list goes into an ID3 tag; where one is carried over already, it
    becomes comments ``name=value``. What the carried chunks say is not said again.
    """
    info, left = info_list(tags)
    known = tags_in(carried)
    left = {
        name: rest
        for name, values in left.items()
        if (rest := [value for value in values if value not in known.get(name, [])])
    }
    if left and any(chunk.id == b"id3 " for chunk in carried):
        lines = [f"{name}={value}" for name, values in left.items() for value in values]
        info, _ = info_list({**tags, "comment": [*tags.get("comment", []), *lines]})
    elif left:
        carried = [*carried, RawChunk(b"id3 ", id3v2(left))]
    return [*([RawChunk(b"LIST", info)] if info else []), *carried]


def append_chunks(file: BinaryIO, new: Sequence[RawChunk], mask: int | None = None) -> None:
    """Append chunks to a WAV, RF64 or AIFF file, and set its size and PEAK time stamp right.

    libsndfile writes the time of day into a PEAK chunk; it is set to 0, so that the same sound
    always gives the same bytes. It guesses at the speakers: those of `mask` are put in their place
    where the format of a WAV file is extensible.
    """
    file.seek(0)
    magic = file.read(4)
    order = ">I" if magic == b"FORM" else "<I"
    for chunk in list(chunks(file)):
        if chunk.id == b"PEAK":
            file.seek(chunk.start + 4)
            file.write(bytes(4))
        if chunk.id == b"fmt " and mask is not None and chunk.size >= 24:
            file.seek(chunk.start + 20)
            file.write(struct.pack("<I", mask))
    end = file.seek(0, 2)
    file.write(b"\0" * (end % 2))
    for raw in new:
        file.write(pack_chunk(raw, size_format=order))
    size = file.tell() - 8
    if magic == b"RF64":
        file.seek(20)  # in the ds64 chunk, always the first
        file.write(struct.pack("<Q", size))
    else:
        file.seek(4)
        file.write(struct.pack(order, size))


def flac_placeholder(tags: Mapping[str, Sequence[str]]) -> str:
    """Return a comment long enough that the room it takes holds all tags.

    Raises:
        AudioWriteError: FLAC has no room for them.
    """
    size = len(vorbis_comment(tags, like=bytes(4)))
    if size > _FLAC_BLOCK_MAX - 1024:
        raise AudioWriteError(
            f"The tags take {size} bytes; FLAC has room for 16 MB. Leave some out."
        )
    return " " * size


def replace_flac_comment(file: BinaryIO, tags: Mapping[str, Sequence[str]]) -> None:
    """Put all tags where libsndfile wrote a placeholder; what is left of it becomes padding.

    Source: RFC 9639 sec. 8.
    """
    position, last = 4, False
    while not last:
        file.seek(position)
        head = file.read(4)
        last, kind, size = (
            bool(head[0] & _FLAC_LAST),
            head[0] & 0x7F,
            int.from_bytes(head[1:], "big"),
        )
        if kind == _FLAC_COMMENT:
            comment = vorbis_comment(tags, like=file.read(size))
            padding = size - len(comment) - 4
            file.seek(position)
            file.write(bytes([_FLAC_COMMENT]) + len(comment).to_bytes(3, "big") + comment)
            file.write(bytes([_FLAC_PADDING | (_FLAC_LAST if last else 0)]))
            file.write(padding.to_bytes(3, "big") + bytes(padding))
            return
        position += 4 + size
