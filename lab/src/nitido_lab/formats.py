"""What comes through a restoration from each format into each: the table in `docs/formats.md`.

A piece at 44.1 kHz, with tags, a cover, loop points and the mark of a generator, is restored to
48 kHz; another has six channels that are told apart by their tones. What is in the results is read
back, and what is not is looked for in what nitido said. ffmpeg, a second implementation, makes the
six channels and decodes them.
"""

from __future__ import annotations

import io
import logging
import struct
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import soundfile as sf

import nitido
from nitido.audio import Picture, open_source, read_pictures, read_tags, write
from nitido.audio.containers import chunks
from nitido.audio.ffmpeg import required
from nitido.demo.render import render
from nitido.dsp.resample import resampled_length
from nitido.errors import NitidoError
from nitido_lab.benchmark.tables import Table
from nitido_lab.docs import put_table

FORMATS: Mapping[str, tuple[str, int | None]] = {  # suffix and bit depth
    "WAV 16": (".wav", 16),
    "WAV 24": (".wav", 24),
    "WAV 32f": (".wav", 32),
    "FLAC": (".flac", 24),
    "MP3": (".mp3", None),
    "Ogg": (".ogg", None),
    "Opus": (".opus", None),
    "M4A": (".m4a", None),
}
# What is looked at, and the words that name it in a warning.
PROPERTIES: Mapping[str, tuple[str, ...]] = {
    "length": ("samples", "length"),
    "channel order": ("channels", "speakers"),
    "tags": ("tags",),
    "cover": ("picture", "cover"),
    "loop points": ("loop", "smpl"),
    "AI mark": ("mark", "c2pa"),
}
TAGS = {
    "title": ["Nachtstück"],
    "artist": ["One", "Two"],
    "album": ["夜"],
    "comment": ["first line\nsecond line"],
    "my own field": ["a=b; c"],
}
MARK = {
    "ai-generated": ["true"],
    "digital source type": [
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    ],
}
OUTPUT_HZ = 48_000
SAMPLES = 100_001
LOOP = (22_050, 44_100)  # start and length, samples
TONES_HZ = (310, 420, 530, 55, 710, 820)  # of the six channels, in the order of WAVE
ENCODERS = {  # ffmpeg's, of what holds six channels
    "WAV 16": ("-c:a", "pcm_s16le"),
    "WAV 24": ("-c:a", "pcm_s24le"),
    "WAV 32f": ("-c:a", "pcm_f32le"),
    "FLAC": ("-c:a", "flac"),
    "Ogg": ("-c:a", "libvorbis", "-q:a", "6"),
    "Opus": ("-c:a", "libopus", "-b:a", "400k", "-mapping_family", "1"),
    "M4A": ("-c:a", "aac", "-b:a", "400k"),
}
TITLE = "## What comes through"


@dataclass(frozen=True)
class Passage:
    """What came of one property from one format into another.

    Attributes:
        source: format of the input.
        result: format of the result.
        what: the property.
        kept: whether it is in the result as it was.
        said: whether nitido said so, where it is not.
    """

    source: str
    result: str
    what: str
    kept: bool
    said: bool


def measure(folder: Path) -> list[Passage]:
    """Return what comes through, for each pair of formats.

    Args:
        folder: empty; inputs and results stay in it.

    Raises:
        MissingExtraError: the ffmpeg program is not installed.
    """
    required()
    return [
        one for name in FORMATS for one in (*_piece(name, folder), *(_six_channels(name, folder)))
    ]


def _piece(name: str, folder: Path) -> Iterator[Passage]:
    """Restore a stereo piece with everything that a file can say of itself."""
    suffix, depth = FORMATS[name]
    rate = OUTPUT_HZ if name == "Opus" else 44_100
    wav = render(seconds=SAMPLES / rate + 1, sample_rate=rate)[:, :SAMPLES] * np.float32(0.3)
    start, length = LOOP
    loop = {"loopstart": [str(start)], "looplength": [str(length)]}
    path = write(
        folder / f"{name}{suffix}",
        [wav],
        sample_rate=rate,
        channels=2,
        samples=SAMPLES,
        bit_depth=depth,
        tags={**TAGS, **MARK, **loop},
        pictures=[COVER],
    )
    restoration = nitido.restore(path, stages=["loudness"], output_sample_rate=OUTPUT_HZ)
    scaled = tuple(round(point * OUTPUT_HZ / rate) for point in LOOP)
    for result, (ending, bits) in FORMATS.items():
        with _words() as said:
            made = restoration.write(folder / f"{name} to {result}{ending}", bit_depth=bits)
            said += restoration.sentences()
        tags = read_tags(made)
        kept = {
            "length": open_source(made).samples == resampled_length(SAMPLES, rate, OUTPUT_HZ),
            "tags": all(sorted(tags.get(key, [])) == sorted(TAGS[key]) for key in TAGS),
            "cover": [picture.content for picture in read_pictures(made)] == [COVER.content],
            "loop points": _loop(made) == scaled,
            "AI mark": all(tags.get(key) == MARK[key] for key in MARK),
        }
        for what, whether in kept.items():
            yield Passage(name, result, what, whether, _is_said(what, said))


def _six_channels(name: str, folder: Path) -> Iterator[Passage]:
    """Restore six channels, each with a tone of its own."""
    if name not in ENCODERS:
        return
    suffix, _ = FORMATS[name]
    seconds = np.arange(3 * OUTPUT_HZ) / OUTPUT_HZ
    wav = 0.1 * np.sin(2 * np.pi * np.array(TONES_HZ)[:, None] * seconds)
    plain = folder / f"six {name}.plain.wav"
    sf.write(plain, wav.T, OUTPUT_HZ, "PCM_24", format="WAVEX")
    path = folder / f"six {name}{suffix}"
    _ffmpeg("-i", str(plain), *ENCODERS[name], str(path))
    restoration = nitido.restore(path, stages=[], output_sample_rate=OUTPUT_HZ)
    for result, (ending, bits) in FORMATS.items():
        made, kept = folder / f"six {name} to {result}{ending}", False
        with _words() as said:
            try:
                restoration.write(made, bit_depth=bits)
                kept = _tones(made) == TONES_HZ
            except NitidoError as error:
                said.append(str(error))
        yield Passage(name, result, "channel order", kept, _is_said("channel order", said))


def _tones(path: Path) -> tuple[int, ...]:
    """Return the loudest tone of each channel, Hz, as ffmpeg decodes the file."""
    decoded = _ffmpeg("-i", str(path), "-ar", str(OUTPUT_HZ), "-f", "f32le", "pipe:1")
    wav = np.frombuffer(decoded, "<f4").reshape(-1, len(TONES_HZ)).T[:, : 2 * OUTPUT_HZ]
    mag = np.abs(np.fft.rfft(wav * np.hanning(wav.shape[1])))
    return tuple(int(peak) for peak in np.rint(mag.argmax(axis=1) / 2))


def _loop(path: Path) -> tuple[int, ...]:
    """Return start and length of the loop that a file tells of: in a `smpl` chunk, or in tags."""
    with path.open("rb") as file:
        for chunk in chunks(file):
            if chunk.id == b"smpl":
                file.seek(chunk.start + 36 + 8)
                start, last = struct.unpack("<II", file.read(8))
                return start, last + 1 - start
    tags = read_tags(path)
    points = [tags.get(name, [""])[0] for name in ("loopstart", "looplength")]
    return tuple(int(point) for point in points if point.isdecimal())


def _ffmpeg(*arguments: str) -> bytes:
    command = [required(), "-nostdin", "-v", "error", "-y", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


@contextmanager
def _words() -> Iterator[list[str]]:
    """Collect the warnings of nitido."""
    words: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            words.append(record.getMessage())

    logger, handler = logging.getLogger("nitido"), Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield words
    finally:
        logger.removeHandler(handler)


def _is_said(what: str, said: Iterable[str]) -> bool:
    return any(word in sentence.lower() for word in PROPERTIES[what] for sentence in said)


def _cover() -> Picture:
    with io.BytesIO() as buffer:
        PIL.Image.new("RGB", (16, 16), "navy").save(buffer, "PNG")
        return Picture(buffer.getvalue())


COVER = _cover()


def as_table(passages: Iterable[Passage]) -> Table:
    """Return a row for each format that is read, a column for each property.

    A cell says into which formats it does not come, and where nitido says so itself; a dash that
    it was not tried.
    """
    passages = list(passages)

    def cell(source: str, what: str) -> str:
        found = [one for one in passages if (one.source, one.what) == (source, what)]
        lost = [one for one in found if not one.kept]
        if not found or not lost:
            return "into all" if found else "–"
        if len(lost) == len(found) and len({one.said for one in lost}) == 1:
            return "into none (said)" if lost[0].said else "into none"
        return "not " + ", ".join(f"{p.result} (said)" if p.said else p.result for p in lost)

    rows = tuple((name, *(cell(name, what) for what in PROPERTIES)) for name in FORMATS)
    return Table("", ("from", *PROPERTIES), rows)


def write_docs(path: Path, table: Table) -> Path:
    """Put the table into a page, in place of the one that is there, or at its end."""
    intro = (
        f"A piece is read from each format and its restoration written into {', '.join(FORMATS)}. "
        "*Said*: a warning, or the refusal, names what is lost. –: it holds no six channels."
    )
    head = TITLE if path.is_file() else f"# Formats\n\n{TITLE}"
    return put_table(path, table, command="formats", intro=intro, head=head)
