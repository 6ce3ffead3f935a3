"""What the work makes untrue in a file's metadata: put right, or left out with a word.

Everything else that a file says about itself stays as it is, byte for byte.

Source: EBU Tech 3285 v2 (bext), EBU R98 (CodingHistory), iXML 3.01, ITU-R BS.2076 and BS.2088
(axml, chna), XMP Specification part 2 sec. 1.2.6 (xmpDM), RFC 7845 sec. 5.2.1 (R128).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nitido.audio.tag_blocks import Id3Frame, id3_frames, without_frames
from nitido.audio.tags import CREDENTIALS, RawChunk, Tags

SOURCE_TYPE_TAG = "digital source type"
_SOURCE_TYPE = re.compile(
    rb"https?://(?:cv\.iptc\.org/newscodes|c2pa\.org)/digitalsourcetype/[A-Za-z]+"
)
_GAIN_TAG = re.compile(r"replaygain_.*|r128_.*|mp3gain_.*|itunnorm|rva2?|rvad|xrva|rgad")
_GAIN_FRAMES = frozenset({b"RVA2", b"RVAD", b"RVA", b"XRVA", b"RGAD"})
_CODED_TAGS = frozenset({"itunsmpb"})  # delay, padding and length, of the old encoder
_MASK_TAG = "waveformatextensible_channel_mask"
_UNUSED = 0x7FFF  # what EBU Tech 3285 puts where no loudness was measured
_LOUDNESS_NAMES = (  # in the order of bext, as `Diagnosis` has them
    "integrated_lufs", "range_lu", "true_peak_dbtp", "momentary_max_lufs", "short_term_max_lufs",
)  # fmt: skip
_TIME_REFERENCE, _VERSION, _LOUDNESS, _HISTORY = 338, 346, 412, 602  # positions in a bext chunk


@dataclass(frozen=True)
class Edit:
    """What was done to a sound, as far as its metadata speak of it.

    Attributes:
        from_hz: sample rate before, Hz.
        to_hz: and after.
        from_channels: before.
        to_channels: and after.
        changed: whether the sound itself is another, beside its rate.
        by: who did it, for the coding history.
        bit_depth: of the file that is written, 32 for float; None if it is not known.
        loudness: measured after, as `Diagnosis` has it; empty if that is not known.
    """

    from_hz: int
    to_hz: int
    from_channels: int
    to_channels: int
    changed: bool
    by: str
    bit_depth: int | None = None
    loudness: Mapping[str, Any] | None = None

    def scaled(self, samples: int) -> int:
        """Return a position in samples at the new rate."""
        return (samples * self.to_hz + self.from_hz // 2) // self.from_hz


class Metadata(NamedTuple):
    """What is written into a result.

    Attributes:
        tags: as text.
        chunks: as they stand in a WAV file.
        notes: what was left out and why, a sentence each.
    """

    tags: Tags
    chunks: tuple[RawChunk, ...]
    notes: tuple[str, ...]


def true_metadata(tags: Tags, chunks: Sequence[RawChunk], edit: Edit) -> Metadata:
    """Return the metadata of a piece as they are true after some edit.

    A manifest of Content Credentials is in them no more: it speaks of the bytes before. What it
    says of how the piece was made stays, as a tag.

    Args:
        tags: before.
        chunks: before.
        edit: that was done.
    """
    notes = []
    other_channels = edit.from_channels != edit.to_channels
    gone = [name for name in tags if edit.changed and _GAIN_TAG.fullmatch(name)]
    if of_level := sorted([*gone, *(_gain_frames(chunks) if edit.changed else [])]):
        notes.append(f"Left out, as they speak of the level before: {', '.join(of_level)}.")
    gone += [n for n in tags if n in _CODED_TAGS or (other_channels and n == _MASK_TAG)]
    kept = {name: values for name, values in tags.items() if name not in gone}
    if "xmp" in kept:
        kept["xmp"] = [_xmp(text.encode(), edit).decode() for text in kept["xmp"]]
    if SOURCE_TYPE_TAG not in kept and (types := _source_types(chunks, kept)):
        kept[SOURCE_TYPE_TAG] = types
    carried = []
    for chunk in chunks:
        if other_channels and chunk.id in (b"axml", b"chna"):
            name = chunk.id.decode()
            notes.append(f"Left out, as it speaks of {edit.from_channels} channel(s): {name}.")
        elif chunk.id.upper() != CREDENTIALS:
            put_right = _CHUNKS.get(chunk.id)
            content = put_right(chunk.content, edit) if put_right else chunk.content
            carried += [RawChunk(chunk.id, content)] if content else []
    return Metadata(kept, tuple(carried), tuple(notes))


def _gain_frames(chunks: Sequence[RawChunk]) -> Iterator[str]:
    for chunk in chunks:
        if chunk.id == b"id3 ":
            frames = id3_frames(chunk.content)
            yield from {frame.id.decode() for frame in frames if frame.id in _GAIN_FRAMES}


def _source_types(chunks: Sequence[RawChunk], tags: Tags) -> list[str]:
    """Return how the piece was made, in IPTC's words, where a manifest or XMP says so."""
    texts = [chunk.content for chunk in chunks if chunk.id.upper() in (CREDENTIALS, b"_PMX")]
    texts += [text.encode("utf-8", "replace") for text in tags.get("xmp", [])]
    found = (match.decode() for text in texts for match in _SOURCE_TYPE.findall(text))
    return list(dict.fromkeys(found))


# ── Chunks ───────────────────────────────────────────────────────────────────────────────────────


def _bext(content: bytes, edit: Edit) -> bytes:
    """Scale the time reference, put the loudness as measured or unused, add to the history."""
    if not edit.changed and edit.from_hz == edit.to_hz:
        return content
    new = bytearray(content[:_HISTORY].ljust(_HISTORY, b"\0"))
    (reference,) = struct.unpack_from("<Q", new, _TIME_REFERENCE)
    struct.pack_into("<Q", new, _TIME_REFERENCE, min(edit.scaled(reference), 2**64 - 1))
    (version,) = struct.unpack_from("<H", new, _VERSION)
    if edit.changed and version >= 2:
        found = [(edit.loudness or {}).get(name) for name in _LOUDNESS_NAMES]
        hundredths = [_UNUSED if one is None else round(100 * one) for one in found]
        struct.pack_into("<5h", new, _LOUDNESS, *hundredths)
    history = content[_HISTORY:].rstrip(b"\0")
    if history and not history.endswith(b"\n"):
        history += b"\r\n"
    mode = {1: "mono", 2: "stereo"}.get(edit.to_channels, "multitrack")
    depth = f"W={edit.bit_depth}," if edit.bit_depth else ""
    return bytes(new) + history + f"A=PCM,F={edit.to_hz},{depth}M={mode},T={edit.by}\r\n".encode()


def _ixml(content: bytes, edit: Edit) -> bytes:
    """Put rates, bit depth and positions right; leave out loudness and a list of other tracks."""
    codec = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
    text = content.decode(codec, "replace")
    midnight = "TIMESTAMP_SAMPLES_SINCE_MIDNIGHT"
    if _number(text, "TIMESTAMP_SAMPLE_RATE") in (None, edit.from_hz):  # else it has its own clock
        text = _scaled(text, f"{midnight}_LO", f"{midnight}_HI", edit)
        text = _with_number(text, "TIMESTAMP_SAMPLE_RATE", edit.to_hz)
    text = _scaled(text, "BWF_TIME_REFERENCE_LOW", "BWF_TIME_REFERENCE_HIGH", edit)
    text = _with_number(text, "FILE_SAMPLE_RATE", edit.to_hz)
    text = _with_number(text, "AUDIO_BIT_DEPTH", edit.bit_depth)

    def sync_point(match: re.Match[str]) -> str:
        point = _scaled(match[0], "SYNC_POINT_LOW", "SYNC_POINT_HIGH", edit)
        return _scaled(point, "SYNC_POINT_EVENT_DURATION", "", edit)

    text = re.sub(_element("SYNC_POINT"), sync_point, text)
    if edit.changed:
        text = re.sub(_element("LOUDNESS"), "", text)
    if edit.from_channels != edit.to_channels:
        text = re.sub(_element("TRACK_LIST"), "", text)
    return text.encode(codec, "replace")


def _scaled(text: str, low: str, high: str, edit: Edit) -> str:
    """Return the text with a position scaled; its lower and upper 32 bits stand in two elements."""
    lower = _number(text, low)
    if lower is None:
        return text
    position = edit.scaled(lower + (_number(text, high) or 0) * 2**32)
    return _with_number(_with_number(text, low, position % 2**32), high, position // 2**32)


def _element(name: str) -> str:
    """Return a pattern of an element with all that is in it; it takes no longer for many of them.

    >>> re.sub(_element("A"), "", "<A>1<A><B/></A>2")
    '<A>12'
    """
    return rf"<{name}>(?:(?!<{name}>)[\s\S])*?</{name}>"


def _number(text: str, name: str) -> int | None:
    """Return the number in the first element of that name; None without one."""
    found = re.search(rf"<{name}>\s*(\d{{1,20}})\s*</{name}>", text)
    return int(found[1]) if found else None


def _with_number(text: str, name: str, value: int | None) -> str:
    """Return the text with another number in the elements of that name, if there are any."""
    if value is None:
        return text
    return re.sub(rf"(<{name}>\s*)\d+(\s*</{name}>)", rf"\g<1>{value}\g<2>", text)


def _axml(content: bytes, edit: Edit) -> bytes:
    """Put rate and bit depth of the tracks of an audio definition model right."""

    def track(match: re.Match[bytes]) -> bytes:
        text = re.sub(rb'(\bsampleRate=")\d+', rb"\g<1>%d" % edit.to_hz, match[0])
        depth = edit.bit_depth
        return re.sub(rb'(\bbitDepth=")\d+', rb"\g<1>%d" % depth, text) if depth else text

    return re.sub(rb"<audioTrackUID\b[^<>]*>", track, content)


def _xmp(content: bytes, edit: Edit) -> bytes:
    """Put rate, sample type and channels right, as attributes or as elements."""
    types = {16: b"16Int", 24: b"24Int", 32: b"32Float"}
    values = {
        b"audioSampleRate": b"%d" % edit.to_hz,
        b"audioSampleType": types.get(edit.bit_depth or 0),
        b"audioChannelType": {1: b"Mono", 2: b"Stereo"}.get(edit.to_channels),
    }
    for name, value in values.items():
        if value is not None:
            pattern = rb'(xmpDM:%s(?:\s*=\s*["\']|>))[^"\'<]*' % name
            content = re.sub(pattern, rb"\g<1>" + value, content)
    return content


def _id3(content: bytes, edit: Edit) -> bytes:
    return without_frames(content, lambda frame: _untrue(frame, changed=edit.changed))


def _untrue(frame: Id3Frame, *, changed: bool) -> bool:
    """Return whether a frame speaks of the level before, or is a manifest of the sound before."""
    label = frame.label.lower()
    if frame.id == b"GEOB":
        return b"c2pa" in frame.content[:200]
    gain = frame.id in _GAIN_FRAMES or bool(_GAIN_TAG.fullmatch(label))
    return label in _CODED_TAGS or (changed and gain)


_CHUNKS: Mapping[bytes, Callable[[bytes, Edit], bytes]] = {
    b"bext": _bext,
    b"iXML": _ixml,
    b"axml": _axml,
    b"_PMX": _xmp,
    b"id3 ": _id3,
}
