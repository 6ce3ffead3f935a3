"""Small files of every kind that is read, and ways to spoil them; same number, same bytes."""

from __future__ import annotations

import copy
import io
import json
import struct
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from tests.signals import pink_noise

from nitido.audio import RawChunk, write

Rng = np.random.Generator

TAGS = {"title": ["Ünter"], "artist": ["a", "b"], "ai-generated": ["yes"], "track": ["3"]}
NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
JSON_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, 1e308, -1e308, 1e-320, float("nan"), float("inf"),
    10**400, -(2**63), "", "off", "../../etc/passwd", "musicgen", "decomb", "\0", "é" * 300,
    "\ud800", [], {}, [[]], [None], [0.0], [1e300] * 3, [float("nan")], [1, "a"], {"": 0},
    {"stage": "decomb"}, list(range(1000)), -0.0, 2**53 + 1, "1e5", "\x1b[31m\n", [True] * 3,
    {"stage": ["decomb"], "settings": [[]]}, {"on": "false", "settings": {"amount": {}}},
)  # fmt: skip
# Next to these stand sizes and counts.
MARKS = (
    b"RIFF", b"fmt ", b"data", b"LIST", b"INFO", b"id3 ", b"bext", b"ds64", b"fact", b"PEAK",
    b"FORM", b"COMM", b"SSND", b"ID3 ", b"desc", b"pakt", b"chan", b"kuki", b"fLaC", b"OggS",
    b"vorbis", b"OpusHead", b"OpusTags", b"ID3", b"TXXX", b"TPE1", b"Xing", b"Info", b"LAME",
    b"VBRI", b"APETAGEX", b"TAG",
)  # fmt: skip


@cache
def sounds() -> tuple[tuple[str, bytes], ...]:
    """Return name and content of a small file per format, codec and kind of tag."""
    wav = pink_noise(seconds=0.25, sample_rate=16_000, channels=2)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3", "a.aiff"):
            for tags in ({}, TAGS):
                path = Path(folder, name)
                write(
                    path,
                    [wav],
                    sample_rate=16_000,
                    channels=2,
                    samples=wav.shape[1],
                    tags=tags,
                    chunks=[RawChunk(b"bext", bytes(700))] if tags and name == "a.wav" else [],
                    overwrite=True,
                )
                found.append((name, path.read_bytes()))
    for container, subtype in (
        ("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("WAV", "PCM_U8"), ("WAV", "ULAW"),
        ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610"), ("WAV", "G721_32"),
        ("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("CAF", "PCM_24"),
        ("CAF", "ALAC_16"), ("AIFF", "IMA_ADPCM"), ("AU", "PCM_16"), ("AU", "G721_32"),
    ):  # fmt: skip
        buffer = io.BytesIO()
        mono = wav[0] if subtype in ("GSM610", "G721_32", "IMA_ADPCM") else wav.T
        sf.write(buffer, mono, 16_000, format=container, subtype=subtype)
        found.append((f"a.{container.lower()}", buffer.getvalue()))
    mp3 = next(content for name, content in found if name == "a.mp3")
    vbri = bytearray(mp3.replace(b"Xing", bytes(4)))
    vbri[36:58] = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, len(mp3), mp3.count(mp3[:2])) + bytes(4)
    tags = [_id3(30), _ape(9), b"TAG".ljust(128, b"x")]
    found += [("a.mp3", content) for content in (bytes(vbri), tags[0] + mp3 + tags[1] + tags[2])]
    return tuple(found)


def spoiled_sound(number: int, seed: int = 0) -> tuple[str, bytes]:
    """Return name and content of a spoiled file."""
    rng = np.random.default_rng([seed, number])
    name, content = sounds()[rng.integers(len(sounds()))]
    return name, spoil(content, rng)


def _id3(frames: int) -> bytes:
    """Return an ID3v2.3 tag with so many frames of text."""
    body = b"".join(
        b"TXXX" + struct.pack(">IH", 8, 0) + f"\0k{n:03}\0vv".encode() for n in range(frames)
    )
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + body


def _ape(items: int) -> bytes:
    """Return an APE tag, with header and footer, of so many items of text."""
    body = b"".join(struct.pack("<II", 2, 0) + f"k{n:03}\0vv".encode() for n in range(items))
    head, foot = (
        b"APETAGEX" + struct.pack("<IIII", 2000, len(body) + 32, items, flags) + bytes(8)
        for flags in (0xA0000000, 0x80000000)
    )
    return head + body + foot


def _spoil_structure(found: bytearray, rng: Rng) -> None:
    """Change a number beside a mark; or join the file with itself, or with many tags."""
    marks = [mark for mark in MARKS if mark in found]
    match int(rng.integers(6)):
        case 0:
            found += found[: 2**17]
        case 1:
            found[:0] = _id3(int(rng.choice([0, 1, 999, 2000])))
        case 2:
            found += _ape(int(rng.choice([0, 1, 999, 2000])))
        case _ if marks:
            mark = marks[rng.integers(len(marks))]
            place = [i for i in range(len(found)) if found.startswith(mark, i)][:50]
            at = place[rng.integers(len(place))] + len(mark) + 2 * int(rng.integers(0, 12))
            order, kind = "<>"[rng.integers(2)], "HIQ"[rng.integers(3)]
            number = NUMBERS[rng.integers(len(NUMBERS))] % 2 ** (8 * struct.calcsize(kind))
            found[at : at + struct.calcsize(kind)] = struct.pack(order + kind, number)


def spoil(content: bytes, rng: Rng) -> bytes:
    """Return the content with one to six things wrong with it, most of them near the start."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 7))):
        if not found:
            break
        near = len(found) if rng.random() < 0.3 else min(len(found), 400)
        at = int(rng.integers(near))
        match int(rng.integers(11)):
            case 0:
                found[at] ^= 1 << int(rng.integers(8))
            case 1:
                found[at] = int(rng.integers(256))
            case 2 | 3:
                order = "<>"[rng.integers(2)]
                kind = "BHIQ"[rng.integers(4)]
                value = NUMBERS[rng.integers(len(NUMBERS))] % 2 ** (8 * struct.calcsize(kind))
                packed = struct.pack(order + kind, value)
                found[at : at + len(packed)] = packed
            case 4:
                del found[at : at + int(rng.integers(1, 64))]
            case 5:
                part = found[at : at + int(rng.integers(1, 512))]
                found[at:at] = part * int(rng.integers(1, 9))
            case 6:
                size = int(rng.integers(1, 64))
                found[at : at + size] = (b"\0", b"\xff")[rng.integers(2)] * size
            case 7:
                del found[int(rng.integers(len(found))) :]
            case 8:
                _, other = sounds()[rng.integers(len(sounds()))]
                begin = int(rng.integers(len(other)))
                found[at:] = other[begin : begin + 4096]
            case _:
                _spoil_structure(found, rng)
    return bytes(found)


def spoiled_json(content: Any, rng: Rng) -> str:
    """Return JSON values as text with one to three things changed, numbers in half of the texts."""
    whole = [copy.deepcopy(content)]
    only_numbers = bool(rng.random() < 0.5)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(whole))
        if only_numbers:
            places = [(table, key) for table, key in places if _is_number(table[key])]
        if not places:
            break
        table, key = places[rng.integers(len(places))]
        value = JSON_VALUES[rng.integers(len(JSON_VALUES))]
        match 9 if only_numbers else int(rng.integers(6)):
            case 9:
                factor = (-1, 0, 1e-9, 1e-3, 0.5, 2, 1e3, 1e9)[rng.integers(8)]
                shift = (-1, 0, 0, 0, 1)[rng.integers(5)]
                table[key] = type(table[key])(table[key] * factor + shift)
            case 0:
                del table[key]
            case 1 if isinstance(table, dict):
                table[str(value)[:40]] = table.pop(key)
            case 2 if isinstance(table, list):
                table.insert(0, copy.deepcopy(table[key]))
            case _:
                table[key] = copy.deepcopy(value)
    text = "\n".join(json.dumps(part, indent=1) for part in whole)
    if rng.random() < 0.2:
        return spoil(text.encode(), rng).decode("utf-8", "replace")
    return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in JSON values where a value stands: the table or list, and its key."""
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from _places(content[key])
