"""Pictures in an audio file, such as its cover: which are carried over, and as bytes.

Source: RFC 9639 sec. 8.8 (FLAC, and Base64 of it in Ogg); ID3v2.4.0 native frames sec. 4.14.
"""

from __future__ import annotations

import base64
import logging
import struct
from collections.abc import Iterable
from typing import NamedTuple

logger = logging.getLogger(__name__)

FRONT_COVER = 3  # ID3's and FLAC's number of what a picture shows
_PICTURE_MAX_BYTES = 10 * 2**20
_PICTURES_MAX_BYTES = 12 * 2**20  # of a file; a FLAC file has room for 16 MiB of them, and of tags
_PICTURES_MAX = 20  # of a file
_MIME_TYPES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
}


class Picture(NamedTuple):
    """A picture as it stands in a file.

    Attributes:
        content: the bytes of a JPEG, PNG, GIF, BMP or WebP file.
        kind: what it shows, as ID3 and FLAC number it; 3 is the front cover.
        description: in words.
    """

    content: bytes
    kind: int = FRONT_COVER
    description: str = ""

    @property
    def mime_type(self) -> str:
        """Return its type, by its first bytes; empty if it is none of these."""
        if self.content[:4] == b"RIFF" and self.content[8:12] == b"WEBP":
            return "image/webp"
        known = (kind for magic, kind in _MIME_TYPES.items() if self.content.startswith(magic))
        return next(known, "")

    def flac_block(self) -> bytes:
        """Return the content of a FLAC PICTURE block; width, height and colours as unknown."""
        mime, words = self.mime_type.encode(), self.description.encode("utf-8", "replace")
        return b"".join(
            (
                struct.pack(">II", self.kind, len(mime)),
                mime,
                struct.pack(">I", len(words)),
                words,
                bytes(16),
                struct.pack(">I", len(self.content)),
                self.content,
            )
        )

    def vorbis_value(self) -> str:
        """Return the value of a ``METADATA_BLOCK_PICTURE`` comment."""
        return base64.b64encode(self.flac_block()).decode()

    def id3_frame(self) -> bytes:
        """Return the content of an APIC frame in UTF-8."""
        words = self.description.encode("utf-8", "replace").replace(b"\0", b" ")
        head = b"\x03" + self.mime_type.encode() + b"\0" + bytes([self.kind])
        return head + words + b"\0" + self.content


def usable(found: Iterable[Picture], *, name: str) -> tuple[Picture, ...]:
    """Return the pictures that are carried over; a warning names those that are not, and why.

    Args:
        found: pictures of a file.
        name: of the file, for the warnings.
    """
    kept: list[Picture] = []
    left = _PICTURES_MAX_BYTES
    pictures = list(dict.fromkeys(found))
    if more := pictures[_PICTURES_MAX:]:
        logger.warning(
            "%d pictures in %s beyond the first %d are left out.", len(more), name, _PICTURES_MAX
        )
    for picture in pictures[:_PICTURES_MAX]:
        size = len(picture.content)
        if not picture.mime_type:
            why = "it is neither JPEG, PNG, GIF, BMP nor WebP"
        elif size > min(_PICTURE_MAX_BYTES, left):
            most = f"{_PICTURE_MAX_BYTES >> 20} MiB, {_PICTURES_MAX_BYTES >> 20} MiB together"
            why = f"pictures may take {most}"
        else:
            kept.append(picture)
            left -= size
            continue
        logger.warning("A picture of %d bytes in %s is left out: %s.", size, name, why)
    return tuple(kept)
