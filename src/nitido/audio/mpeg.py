"""MP3 frames: are they all there, and how many are they.

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
from nitido.audio.limits import too_long
from nitido.errors import AudioReadError

_KBPS_FULL = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # MPEG 1
_KBPS_HALF = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # MPEG 2, 2.5
_RATES_HZ = (44100, 48000, 32000)
FRAME_SECONDS_MIN = 0.024  # 1152 samples at 48 kHz, 576 at 24 kHz
_RESYNC_BYTES = 2**16
_SKIPPED_MAX_BYTES = 2**20
_TAGS_MAX = 100  # a file of empty tags must not keep us busy


class _Header(NamedTuple):
    """What the first four bytes of a Layer III frame say."""

    size: int  # bytes
    kind: tuple[int, int]  # version and sample rate: the same throughout a file


@lru_cache(maxsize=4096)
def _header(head: bytes) -> _Header | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:  # sync word, Layer III
        return None
    version, rate, bitrate = (head[1] >> 3) & 3, (head[2] >> 2) & 3, head[2] >> 4
    if version == 1 or rate == 3 or bitrate in (0, 15):
        return None
    rate_hz = _RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    kbps = (_KBPS_FULL if version == 3 else _KBPS_HALF)[bitrate]
    factor = 144_000 if version == 3 else 72_000
    return _Header(factor * kbps // rate_hz + ((head[2] >> 1) & 1), (version, rate))


def is_mp3(path: Path) -> bool:
    """Tell whether a file is a series of Layer III frames, after any ID3 tags."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        return _first_frame(view) >= 0


def check_mp3(path: Path, max_seconds: float = math.inf) -> Repair | None:
    """Check that all frames are there.

    Args:
        path: of the file.
        max_seconds: the longest that is accepted.

    Returns:
        the file from its first frame on, with a right Xing header, where the file has none or a
        wrong one: libsndfile's decoder writes what it thinks of both to the terminal.

    Raises:
        AudioReadError: the last frame is not whole, frames are missing at the end, too much between
            them is no frame, or it is longer than `max_seconds`.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        start = _first_frame(view)
        if start < 0:
            return None
        frames, whole = _walk(view, start, max_seconds / FRAME_SECONDS_MIN)
        if frames * FRAME_SECONDS_MIN > max_seconds:
            raise too_long(path.name, frames * FRAME_SECONDS_MIN, max_seconds)
        head = view[start : start + max(_size(view[start : start + 4]), 256)]
        body = start
        promised = _promised(head)
        if promised is not None:  # the first frame is a header, not music
            frames, body = frames - 1, start + _size(head)
        size = len(view) - start
    frames = max(frames, 0)
    missing = promised and frames < promised - 1  # some encoders count the header as well
    if not whole or not frames or missing:
        promise = f" of the {promised} that its header promises" if promised else ""
        raise AudioReadError(
            f"{path.name} is cut short or damaged: only {frames} frames{promise} are whole; get "
            "the file again from where it came from."
        )
    if promised != frames:
        return Repair(_xing(head[:4], frames), body)
    return Repair(_with_bytes(head, size), start + len(head))


def _first_frame(view: mmap.mmap) -> int:
    """Return the position of the first of two frames in a row, after any ID3 tags; -1 if none."""
    start = 0
    for _ in range(_TAGS_MAX):
        if view[start : start + 3] != b"ID3" or len(view) < start + 10:
            break
        size = 0
        for byte in view[start + 6 : start + 10]:
            size = size << 7 | byte & 0x7F
        start += 10 + size
    return _next_frame(view, start, None)


def _next_frame(view: mmap.mmap, start: int, kind: tuple[int, int] | None) -> int:
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


def _walk(view: mmap.mmap, start: int, most: float) -> tuple[int, bool]:
    """Return the number of whole frames from `start` on, and whether the file is whole.

    It is not when the last frame is cut short, or when 1 MiB between the frames was none. Stops
    after `most` frames.
    """
    end = _end_of_frames(view)
    first = _header(view[start : start + 4])
    count, position, skipped = 0, start, 0
    while position < end and count <= most:
        header = _header(view[position : position + 4])
        if header is None or first is None or header.kind != first.kind:
            found = _next_frame(view, position + 1, first.kind if first else None)
            if found < 0:  # a trailer that we do not know, or padding
                return count, True
            skipped += found - position
            if skipped > _SKIPPED_MAX_BYTES:
                return count, False
            position = found
            continue
        if position + header.size > end:
            return count, False
        count += 1
        position += header.size
    return count, True


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


def _size(head: bytes) -> int:
    header = _header(head[:4])
    return header.size if header else 0


def _promised(frame: bytes) -> int | None:
    """Return the number of frames that a Xing, Info or VBRI header gives; 0 if it does not say."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name, 4, 64)
        if at >= 0:
            says = frame[at + 7] & 1
            return int.from_bytes(frame[at + 8 : at + 12], "big") if says else 0
    return int.from_bytes(frame[50:54], "big") if frame[36:40] == b"VBRI" else None


def _with_bytes(frame: bytes, size: int) -> bytes:
    """Return a header whose number of bytes, if it gives one, is that of the file from it on.

    Tags that were added behind the frames later make it wrong.
    """
    at = max(frame.find(name, 4, 64) for name in (b"Xing", b"Info"))
    if at < 0 or not frame[at + 7] & 2:
        return frame
    place = at + 8 + 4 * (frame[at + 7] & 1)
    return frame[:place] + min(size, 2**32 - 1).to_bytes(4, "big") + frame[place + 4 :]


def _xing(head: bytes, frames: int) -> bytes:
    """Return a silent frame, like that of `head`, whose Xing header gives the number of frames."""
    full_rate, mono = head[1] & 0x18 == 0x18, head[3] & 0xC0 == 0xC0
    side_info = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
    at = 4 + side_info[full_rate, mono]
    bitrate = 9 if full_rate else 12  # 128 kbps: room for the header at every sample rate
    frame = bytearray([head[0], head[1] | 1, bitrate << 4 | head[2] & 0x0C, head[3]])
    frame = frame.ljust(_size(bytes(frame)), b"\0")
    frame[at : at + 12] = b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return bytes(frame)
