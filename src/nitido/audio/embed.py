"""Tags put into a file that was written: chunks at the end, a comment in place, a box."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from nitido.audio.containers import boxes, chunks
from nitido.audio.pictures import Picture
from nitido.audio.tag_blocks import id3v2, info_list, mp4_user_data, vorbis_comment
from nitido.audio.tags import RawChunk, Tags, pack_chunk, tags_in
from nitido.errors import AudioWriteError

_FLAC_COMMENT, _FLAC_PADDING, _FLAC_PICTURE, _FLAC_LAST = 4, 1, 6, 0x80
_FLAC_BLOCK_MAX = 2**24 - 1


def wav_chunks(
    tags: Tags, carried: Sequence[RawChunk], pictures: Sequence[Picture] = ()
) -> list[RawChunk]:
    """Return the chunks to append to a WAV file: those carried over, the tags and the pictures.

    What has no place in the INFO list goes into an ID3 tag; where one is carried over already, it
    becomes comments ``name=value``, and the pictures are those in it. What the carried chunks say
    is not said again.
    """
    info, left = info_list(tags)
    known = tags_in(carried)
    left = {
        name: rest
        for name, values in left.items()
        if (rest := [value for value in values if value not in known.get(name, [])])
    }
    has_id3 = any(chunk.id == b"id3 " for chunk in carried)
    if left and has_id3:
        lines = [f"{name}={value}" for name, values in left.items() for value in values]
        info, _ = info_list({**tags, "comment": [*tags.get("comment", []), *lines]})
    elif (left or pictures) and not has_id3:
        carried = [*carried, RawChunk(b"id3 ", id3v2(left, pictures))]
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


def flac_placeholder(tags: Mapping[str, Sequence[str]], pictures: Sequence[Picture] = ()) -> str:
    """Return a comment long enough that the room it takes holds all tags and pictures.

    Raises:
        AudioWriteError: FLAC has no room for them.
    """
    size = len(vorbis_comment(tags, like=bytes(4)))
    size += sum(4 + len(picture.flac_block()) for picture in pictures)
    if size > _FLAC_BLOCK_MAX - 1024:
        raise AudioWriteError(
            f"Tags and pictures take {size} bytes; FLAC has room for 16 MB. Leave some out."
        )
    return " " * size


def replace_flac_comment(
    file: BinaryIO, tags: Mapping[str, Sequence[str]], pictures: Sequence[Picture] = ()
) -> None:
    """Put tags and pictures where libsndfile wrote a placeholder; what is left becomes padding.

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
            blocks = [(_FLAC_COMMENT, vorbis_comment(tags, like=file.read(size)))]
            blocks += [(_FLAC_PICTURE, picture.flac_block()) for picture in pictures]
            packed = b"".join(
                bytes([kind]) + len(content).to_bytes(3, "big") + content
                for kind, content in blocks
            )
            padding = size - len(packed)
            file.seek(position)
            file.write(packed)
            file.write(bytes([_FLAC_PADDING | (_FLAC_LAST if last else 0)]))
            file.write(padding.to_bytes(3, "big") + bytes(padding))
            return
        position += 4 + size


def append_user_data(
    file: BinaryIO, tags: Mapping[str, Sequence[str]], pictures: Sequence[Picture]
) -> None:
    """Put tags and pictures at the end of an M4A file as ffmpeg writes it: `moov` is the last box.

    Nothing of the sound moves, so no position in the file changes.
    """
    movie = next(box for box in boxes(file) if box.id == b"moov")
    old = next((box for box in boxes(file, movie) if box.id == b"udta"), None)
    file.seek(old.start - 8 if old else movie.end)
    file.write(mp4_user_data(tags, pictures))
    file.truncate()
    size = file.tell() - movie.start + 8
    file.seek(movie.start - 8)
    file.write(struct.pack(">I", size))
