"""Loop points and marks: what a file says, and the same moments at another sample rate."""

from __future__ import annotations

import logging
import struct
from pathlib import Path

import pytest
from tests.signals import noise

from nitido.audio import FileSource, RawChunk, Tags, write
from nitido.audio.marks import find_loop, resampled
from nitido.audio.tag_blocks import id3v2
from nitido.dsp.loop import Loop

RATES = {"from_hz": 44_100, "to_hz": 48_000}
PIECE = {"samples": 264_600, "sample_rate": 44_100}


def smpl(*loops: tuple[int, int, int], period_ns: int = 22_675) -> RawChunk:
    """Return a sampler chunk with loops of kind, first and last sample."""
    head = struct.pack("<9I", 1, 2, period_ns, 60, 0x80000000, 25, 3, len(loops), 4)
    body = b"".join(
        struct.pack("<6I", n, kind, first, last, 7, 0)
        for n, (kind, first, last) in enumerate(loops)
    )
    return RawChunk(b"smpl", head + body + b"more")


def acid(flags: int, beats: int = 8) -> RawChunk:
    return RawChunk(b"acid", struct.pack("<IHHfIHHf", flags, 60, 0, 0, beats, 4, 4, 120.0))


CUE = RawChunk(
    b"cue ", struct.pack("<I", 1) + struct.pack("<II4s3I", 5, 44_100, b"data", 0, 0, 441)
)
ADTL = RawChunk(
    b"LIST",
    b"adtl"
    + struct.pack("<4sII", b"labl", 8, 5) + b"two\0"
    + struct.pack("<4sIII4s8x", b"ltxt", 20, 5, 88_200, b"rgn "),
)  # fmt: skip
PLAYLIST = RawChunk(b"plst", struct.pack("<4I", 1, 5, 44_100, 3))
INSTRUMENT = RawChunk(b"inst", bytes(7))


@pytest.mark.parametrize(
    ("tags", "chunks", "loop"),
    [
        ({}, [], None),
        ({"loopstart": ["44100"], "looplength": ["220500"]}, [], Loop(44_100, 264_600)),
        ({"LOOP_START": ["5"], "Loop-End": ["1005"]}, [], Loop(5, 1005)),
        ({"loop length": ["1000"]}, [], Loop(0, 1000)),
        ({"loopstart": ["00:01.5"]}, [], Loop(66_150, 264_600)),
        ({"loopstart": ["44100"], "looplength": ["999999"]}, [], Loop(44_100, 264_600)),
        ({"loopstart": ["264600"]}, [], None),
        ({"loopstart": ["two"]}, [], None),
        ({"loopstart": ["-5"], "looplength": ["200"]}, [], None),
        ({"loopstart": ["5"], "looplength": [""]}, [], Loop(5, 264_600)),
        ({}, [smpl((0, 0, 264_599))], Loop(0, 264_600)),
        ({}, [smpl((0, 0, 264_600))], Loop(0, 264_600)),  # many write the sample after the last
        ({}, [smpl((1, 3, 9), (0, 44_100, 88_199))], Loop(44_100, 88_200)),
        ({}, [smpl((1, 3, 9))], None),  # there and back again: no seam to speak of
        ({}, [smpl()], None),
        ({}, [RawChunk(b"smpl", b"short")], None),
        ({}, [acid(0x00)], Loop(0, 264_600)),
        ({}, [acid(0x01)], None),
        ({}, [acid(0x08)], None),
        ({}, [acid(0x00, beats=0)], None),
    ],
)
def test_what_a_file_says_of_a_loop(tags: Tags, chunks: list[RawChunk], loop: Loop | None) -> None:
    assert find_loop(tags, chunks, **PIECE) == loop


def test_every_position_keeps_its_moment_at_another_rate() -> None:
    tags = {"loopstart": ["44100"], "looplength": ["220500"], "title": ["1"]}
    chunks = [smpl((0, 44_100, 264_599), (1, 0, 44_099)), CUE, ADTL, PLAYLIST, INSTRUMENT, acid(0)]
    moved, kept = resampled(tags, chunks, samples=264_600, **RATES)
    assert moved == {"loopstart": ["48000"], "looplength": ["240000"], "title": ["1"]}
    sampler, cue, regions, playlist, *rest = (chunk.content for chunk in kept)
    assert sampler == smpl((0, 48_000, 287_999), (1, 0, 47_999), period_ns=20_833).content
    assert struct.unpack("<I2I4s3I", cue) == (1, 5, 48_000, b"data", 0, 0, 480)
    assert regions == ADTL.content.replace(struct.pack("<I", 88_200), struct.pack("<I", 96_000))
    assert struct.unpack("<4I", playlist) == (1, 5, 48_000, 3)
    assert rest == [INSTRUMENT.content, acid(0).content]


def test_a_loop_stays_as_long_as_it_was_and_ends_where_the_piece_does() -> None:
    for start in (0, 1, 7001, 44_100):
        for samples in (132_301, 132_302, 132_337):
            loop = Loop(start, samples).resampled(samples, 44_100, 48_000)
            assert loop.end == -(-samples * 160 // 147)
            if start:
                assert loop.end - loop.start == round((samples - start) * 160 / 147)


def test_a_loop_that_says_it_is_longer_than_its_piece_keeps_its_start() -> None:
    tags = {"loopstart": ["44100"], "looplength": ["999999999"]}
    new, _ = resampled(tags, [], samples=264_600, **RATES)
    assert new == {"loopstart": ["48000"], "looplength": ["240000"]}


def test_at_the_same_rate_nothing_changes() -> None:
    tags, chunks = {"loopstart": ["44100"]}, (smpl((0, 1, 2)), CUE, ADTL)
    assert resampled(tags, chunks, samples=9, from_hz=8000, to_hz=8000) == (tags, chunks)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 3, b"\xff" * 36, b"\xff" * 200, b"adtl" + b"\xff" * 40]
)
@pytest.mark.parametrize("name", [b"smpl", b"cue ", b"plst", b"LIST", b"acid", b"inst"])
def test_chunks_that_make_no_sense_are_carried_over_at_their_length(
    name: bytes, content: bytes
) -> None:
    chunk = RawChunk(name, content)
    find_loop({}, [chunk], **PIECE)
    _, (kept,) = resampled({}, [chunk], samples=264_600, **RATES)
    assert kept.id == name
    assert len(kept.content) == len(content)


def test_old_positions_in_an_id3_chunk_do_not_stay_beside_the_new_ones(tmp_path: Path) -> None:
    old = RawChunk(b"id3 ", id3v2({"loopstart": ["4410"], "title": ["T"]}))
    other = RawChunk(b"id3 ", id3v2({"ai-generated": ["yes"]}))
    tags = {"loopstart": ["4410"], "title": ["T"], "ai-generated": ["yes"]}
    moved, chunks = resampled(tags, [old, other], samples=8820, **RATES)
    assert chunks == (other,)
    assert moved["loopstart"] == ["4800"]


def save(path: Path, tags: Tags, *chunks: RawChunk) -> FileSource:
    wav = noise(seconds=0.2, channels=2)
    form = {"sample_rate": 48_000, "channels": 2, "samples": wav.shape[1]}
    return FileSource(write(path, [wav], tags=tags, chunks=chunks, **form))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3", "a.aiff"])
def test_a_loop_goes_from_chunks_to_tags_and_back(tmp_path: Path, name: str) -> None:
    there = save(tmp_path / name, {}, smpl((0, 480, 8639)))
    back = save(tmp_path / "back.wav", there.tags, *there.chunks)
    assert there.loop == back.loop == Loop(480, 8640)
    assert [chunk.id for chunk in back.chunks].count(b"smpl") == 1


def test_all_marks_of_a_wav_file_come_back_byte_for_byte(tmp_path: Path) -> None:
    chunks = (smpl((0, 480, 8639)), CUE, ADTL, PLAYLIST, INSTRUMENT, acid(1))
    assert save(tmp_path / "a.wav", {"title": ["T"]}, *chunks).chunks == chunks


def test_marks_that_a_format_cannot_hold_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        save(tmp_path / "a.flac", {}, smpl((0, 480, 8639)), CUE)
    assert "cue" in caplog.text
    assert "smpl" not in caplog.text
