"""MPEG frames, layers I to III (MP3): are they all there, and how many are they.

libsndfile takes the length of an MP3 from its Xing header and guesses where there is none; a guess
too low loses music, one too high promises what never comes. Frames are counted here instead.

Source: ISO/IEC 11172-3 sec. 2.4.1.3, ISO/IEC 13818-3 (half rates); the Xing header as in LAME.
"""

from __future__ import annotations

import math
import mmap
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from nitido.audio.containers import Repair
from nitido.audio.limits import cut_short, too_long
from nitido.audio.tag_blocks import id3_size
from nitido.formats import HEAD_BYTES, is_known

_KBPS = {  # by full rate (MPEG 1) or half (MPEG 2, 2.5), and layer
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLES = {1: 384, 2: 1152, 3: 1152}  # per frame; half as many in layer III at half rates
_RATES_HZ = (44100, 48000, 32000)
_RESYNC_BYTES = 2**16
_SKIPPED_MAX_BYTES = 2**20
_INSIDE_MIN = 8  # frames that make an MP3 of what does not begin with one
_TAGS_MAX = 100  # a file of empty tags must not keep us busy
_LAME_BYTES = 36  # of a Xing header, behind its optional fields
_LAME_DELAYS = 21  # where in them delay and padding stand, 12 bits each


class _Header(NamedTuple):
    """What the first four bytes of a frame say."""

    size: int  # bytes
    samples: int
    kind: tuple[int, int, int]  # version, layer, sample rate: the same throughout a file
    rate_hz: int

    @property
    def layer(self) -> int:
        return self.kind[1]


@lru_cache(maxsize=4096)
def _header(head: bytes) -> _Header | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:  # sync word
        return None
    version, layer = (head[1] >> 3) & 3, 4 - ((head[1] >> 1) & 3)
    rate, bitrate = (head[2] >> 2) & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate == 3 or bitrate in (0, 15):
        return None
    full = version == 3
    rate_hz = _RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = _SAMPLES[layer] // (1 if full or layer != 3 else 2)
    slot = 4 if layer == 1 else 1  # bytes that a frame is measured in
    slots = samples * _KBPS[full, layer][bitrate] * 125 // (rate_hz * slot)
    size = (slots + ((head[2] >> 1) & 1)) * slot
    return _Header(size, samples, (version, layer, rate), rate_hz)


def is_mpeg(path: Path) -> bool:
    """Tell whether a file is a series of frames, after any ID3 tags.

    One that begins as another format is none, though its noise may hold what looks like two frames;
    nor is one that begins with something else and is frames for its lesser part.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        start = after_id3(view)
        head = view[start : start + HEAD_BYTES]
        if is_known(head) and not head.startswith(b"\xff"):
            return False
        first, end = _next_frame(view, start, None), _end_of_frames(view)
        if first <= start:
            return first == start
        seen = _walk(view, first, end, math.inf)
        return seen.frames >= _INSIDE_MIN and 2 * seen.size > end - first


def check_mpeg(
    path: Path,
    max_seconds: float = math.inf,
    *,
    start: int = 0,
    end: int | None = None,
    take: bool = False,
) -> Repair | None:
    """Check that all frames are there.

    Args:
        path: of the file.
        max_seconds: the longest that is accepted.
        start: where the frames begin in it, or tags before them, bytes.
        end: where they end; None: with the file.
        take: whether what is there of a file that was cut short is taken.

    Returns:
        the file from its first frame on, with a right Xing header: libsndfile's decoder writes what
        it thinks of another to the terminal. Its delay and padding stay. None if it has no frames.

    Raises:
        AudioReadError: the last frame is not whole, frames are missing at the end, too much between
            them is no frame, or it is longer than `max_seconds`.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        start = _next_frame(view, after_id3(view, start), None)
        header = _header(view[start : start + 4]) if start >= 0 else None
        if header is None:
            return None
        end = _end_of_frames(view) if end is None else min(end, len(view))
        seconds = header.samples / header.rate_hz
        frames, whole, end, _ = _walk(view, start, end, max_seconds / seconds)
        if frames * seconds > max_seconds:
            raise too_long(path.name, frames * seconds, max_seconds)
        head = view[start : start + max(header.size, 256)]
    promised, lame = _xing_says(head) if header.layer == 3 else (None, b"")
    if promised is not None:  # the first frame is a header, not music
        frames, start = max(frames - 1, 0), start + header.size
    missing = promised is not None and 0 < frames < promised - 1  # some count the header as well
    loss = ""
    if not whole or not frames or missing:
        promise = f" of the {promised} that its header promises" if promised else ""
        loss = f"only {frames} frames{promise} are whole"
        if not take or not frames:
            raise cut_short(path.name, loss)
    if header.layer < 3:  # whose decoder knows no such header, and guesses by the first frame
        padding = header.size + max(frames * header.size - (end - start), 0)
        return Repair(b"", start, end, padding, frames * header.samples, loss)
    if promised and abs(promised - frames) > 1:  # the end is another, so is its padding
        lame = lame[: _LAME_DELAYS + 1] + bytes([lame[_LAME_DELAYS + 1] & 0xF0, 0]) + lame[24:]
    return Repair(_xing(head[:4], frames, lame), start, end, loss=loss)


def after_id3(view: mmap.mmap | bytes, start: int = 0) -> int:
    """Return the position after any ID3 tags that stand at `start`."""
    for _ in range(_TAGS_MAX):
        if view[start : start + 3] != b"ID3" or len(view) < start + 10:
            break
        start += id3_size(view[start : start + 10])
    return start


def _next_frame(view: mmap.mmap, start: int, kind: tuple[int, int, int] | None) -> int:
    """Return the next position, near `start`, of a frame that another frame follows; -1 if none."""
    position, limit = view.find(b"\xff", start, start + _RESYNC_BYTES), start + _RESYNC_BYTES
    while position >= 0:
        header = _header(view[position : position + 4])
        if header is not None and kind in (None, header.kind):
            after = _header(view[position + header.size : position + header.size + 4])
            if after is not None and after.kind == header.kind:
                return position
        position = view.find(b"\xff", position + 1, limit)
    return -1


class _Frames(NamedTuple):
    """What a walk over the frames of a file saw."""

    frames: int
    whole: bool  # not when the last frame is cut short, or 1 MiB between the frames was none
    end: int  # of the last of them
    size: int  # of all, bytes


def _walk(view: mmap.mmap, start: int, end: int, most: float) -> _Frames:
    """Go over the frames from `start` on, and stop after `most` of them."""
    first = _header(view[start : start + 4])
    count, position, skipped, size = 0, start, 0, 0
    last = start
    while position < end and count <= most:
        header = _header(view[position : position + 4])
        if header is None or first is None or header.kind != first.kind:
            found = _next_frame(view, position + 1, first.kind if first else None)
            if found < 0 or found >= end:  # a trailer that we do not know, or padding
                break
            skipped += found - position
            if skipped > _SKIPPED_MAX_BYTES:
                return _Frames(count, False, last, size)
            position = found
            continue
        if position + header.size > end:
            return _Frames(count, False, last, size)
        count += 1
        size += header.size
        position += header.size
        last = position
    return _Frames(count, True, last, size)


def _end_of_frames(view: mmap.mmap) -> int:
    """Return where the frames end and tags begin: ID3v1 and APE at the end of the file."""
    end = len(view)
    if view[end - 128 : end - 125] == b"TAG":
        end -= 128
    if end >= 32 and view[end - 32 : end - 24] == b"APETAGEX":
        size = int.from_bytes(view[end - 20 : end - 16], "little")
        has_header = view[end - 9] & 0x80
        size += 32 if has_header else 0
        end -= size if size <= end else 0  # one that is larger than the file is none
    return end


def _xing_says(frame: bytes) -> tuple[int | None, bytes]:
    """Return the number of frames that a header frame gives, and LAME's part of it.

    The number is 0 if it does not say, None where the frame is no Xing, Info or VBRI header.
    """
    for name in (b"Xing", b"Info"):
        at = frame.find(name, 4, 64)
        if at >= 0:
            flags, at = frame[at + 7], at + 8
            frames = int.from_bytes(frame[at : at + 4], "big") if flags & 1 else 0
            at += 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1)
            at += 4 * (flags >> 3 & 1)
            return frames, frame[at : at + _LAME_BYTES].ljust(_LAME_BYTES, b"\0")
    vbri = frame[36:40] == b"VBRI"
    return (int.from_bytes(frame[50:54], "big") if vbri else None), bytes(_LAME_BYTES)


def _xing(head: bytes, frames: int, lame: bytes) -> bytes:
    """Return a silent frame, like that of `head`, whose Xing header gives the number of frames."""
    full_rate, mono = head[1] & 0x18 == 0x18, head[3] & 0xC0 == 0xC0
    side_info = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
    at = 4 + side_info[full_rate, mono]
    bitrate = 9 if full_rate else 12  # 128 kbps: room for the header at every sample rate
    silent = bytes([head[0], head[1] | 1, bitrate << 4 | head[2] & 0x0C, head[3]])
    said = b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big") + lame
    header = _header(silent)
    return (silent.ljust(at, b"\0") + said).ljust(header.size if header else 0, b"\0")
