"""Write a stream to a file: quantised, with its tags, whole or not at all."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import soundfile as sf

from nitido.audio.containers import apple_layout
from nitido.audio.dither import TILE_SAMPLES, Quantiser
from nitido.audio.embed import (
    append_chunks,
    append_user_data,
    flac_placeholder,
    replace_flac_comment,
    wav_chunks,
)
from nitido.audio.ffmpeg import encode_aac
from nitido.audio.marks import as_held
from nitido.audio.ogg import OggRewriter
from nitido.audio.part import check_target, part_file
from nitido.audio.pictures import Picture
from nitido.audio.tag_blocks import id3v2
from nitido.audio.tags import FLAC_MASK, RawChunk, Tags, said_by_tags
from nitido.dsp.chunks import reblock
from nitido.dsp.speakers import default_mask, is_default, speakers, to_vorbis
from nitido.dsp.wav import Wav, check_sample_rate
from nitido.errors import AudioWriteError
from nitido.formats import FORMATS, Format, check_format, find_format

__all__ = ["FORMATS", "write"]

logger = logging.getLogger(__name__)

_RIFF_MAX_BYTES = 2**32 - 2**16  # some room for the chunks before the sound


def write(
    path: str | Path,
    blocks: Iterable[Wav],
    *,
    sample_rate: int,
    channels: int,
    samples: int,
    mask: int | None = None,
    format: str | None = None,  # noqa: A002
    bit_depth: int | None = None,
    tags: Tags | None = None,
    chunks: Sequence[RawChunk] = (),
    pictures: Sequence[Picture] = (),
    overwrite: bool = False,
    forbidden: Iterable[Path] = (),
) -> Path:
    """Write a stream to a file and return its path.

    The file appears under its name when it is complete; if anything goes wrong, nothing is left.
    16 bit gets TPDF dither, 24 bit is rounded. Samples beyond full scale are clipped in integer
    formats, and a warning is logged. The same stream gives the same bytes.

    Args:
        path: of the file.
        blocks: waveforms `[C, n]`, finite.
        sample_rate: Hz.
        channels: number of channels, C.
        samples: length of the stream; it is checked.
        mask: for which speakers the channels are, see `nitido.dsp.speakers`; None: the default
            layout. Where the format has no place for it, a warning is logged.
        format: one of `FORMATS`; by the suffix of `path` if None.
        bit_depth: 16, 24 or 32 (float); 24 if None. Not for lossy formats.
        tags: text to write into the file, see `nitido.audio.read_tags`.
        chunks: to write into a WAV file as they are, see `nitido.audio.read_chunks`. A loop that
            either of them tells of is written in any format, see `nitido.audio.marks.as_held`.
        pictures: to write into the file, see `nitido.audio.read_pictures`.
        overwrite: replace an existing file.
        forbidden: files never to write to, also not through a link: the inputs.

    Raises:
        AudioWriteError: the folder is missing or read-only, the disk is full, the file exists or is
            one of `forbidden`, or the stream is not what was announced.
        ConfigError: the format is not known, or does not hold such audio.
        MissingExtraError: M4A without the ffmpeg program.
        SampleRateError: outside 8 kHz to 192 kHz.
    """
    path = Path(path)
    name, form = find_format(path, format)
    check_sample_rate(sample_rate)
    depth = check_format(
        name, form, sample_rate=sample_rate, channels=channels, bit_depth=bit_depth
    )
    tags = {key: list(values) for key, values in (tags or {}).items() if values}
    mask = default_mask(channels) if mask is None else mask
    tags, chunks = as_held(
        tags, chunks, wav=name == "wav", samples=samples, sample_rate=sample_rate
    )
    if channels > 2:
        tags = _name_speakers(path.name, name, tags, channels, mask)
    extra = _extra_chunks(name, tags, chunks, pictures)
    if name == "aiff" and channels > 2:
        extra.append(RawChunk(b"CHAN", apple_layout(mask)))
    container = "WAVEX" if name == "wav" and channels > 2 else form.container
    order = to_vorbis(channels) if form.container == "OGG" else slice(None)
    if name in ("wav", "aiff"):
        size = samples * channels * ((depth or 32) // 8) + sum(len(c.content) + 9 for c in extra)
        if size > _RIFF_MAX_BYTES:
            container = _container_beyond_4_gb(name)
    target = check_target(path, overwrite=overwrite, forbidden=forbidden)
    quantise = Quantiser(depth)
    stream = _announced(path.name, reblock(blocks, TILE_SAMPLES), channels, samples)
    with part_file(target, overwrite=overwrite) as file:
        if name == "m4a":
            kbps = int(form.options["kbps"]) * channels
            rate = sample_rate
            encode_aac(Path(file.name), stream, sample_rate=rate, channels=channels, kbps=kbps)
            append_user_data(file, tags, pictures)
            return path
        device = _Device(
            file,
            prefix=id3v2(tags, pictures) if name == "mp3" else b"",
            rewriter=_ogg_rewriter(tags, pictures) if form.container == "OGG" else None,
        )
        with (
            device.errors(),
            _encoder(device, form, container, sample_rate, channels, depth) as out,
        ):
            if name == "flac" and (tags or pictures):
                out.comment = flac_placeholder(tags, pictures)
            for block in stream:
                out.write(quantise(block[order]))
                device.raise_error()
        if name in ("wav", "aiff"):
            append_chunks(file, extra, mask if channels > 2 else None)
        elif name == "flac" and (tags or pictures):
            replace_flac_comment(file, tags, pictures)
    if quantise.clipped:
        logger.warning(
            "%s: %d samples beyond full scale were clipped.", path.name, quantise.clipped
        )
    return path


def _name_speakers(
    file: str, name: str, tags: Tags, channels: int, mask: int
) -> dict[str, list[str]]:
    """Return the tags with the speakers, where the format keeps them there; warn if it cannot."""
    if name == "flac" and mask != default_mask(channels):
        return {**tags, FLAC_MASK: [f"0x{mask:04X}"]}
    if name in ("ogg", "opus") and channels <= 8 and not is_default(channels, mask):
        meant = ", ".join(speakers(channels, mask)) if mask else "no speakers"
        logger.warning(
            "%s: its channels are for %s, which %s cannot say; players take them for %s. Write wav "
            "or flac to keep them.",
            file, meant, name, ", ".join(speakers(channels, default_mask(channels))),
        )  # fmt: skip
    return tags


def _announced(name: str, blocks: Iterable[Wav], channels: int, samples: int) -> Iterator[Wav]:
    """Yield the blocks of a stream, and check that it is what was announced."""
    count = 0
    for block in blocks:
        if block.shape[0] != channels:
            raise AudioWriteError(
                f"{name} was announced with {channels} channels, {block.shape[0]} came."
            )
        count += block.shape[1]
        yield block
    if count != samples:
        raise AudioWriteError(
            f"{name} was announced with {samples} samples, {count} came; nothing was written."
        )


def _ogg_rewriter(tags: Tags, pictures: Sequence[Picture]) -> OggRewriter:
    covers = [picture.vorbis_value() for picture in pictures]
    return OggRewriter({**tags, "metadata_block_picture": covers} if covers else tags)


def _extra_chunks(
    name: str, tags: Tags, carried: Sequence[RawChunk], pictures: Sequence[Picture]
) -> list[RawChunk]:
    if name == "wav":
        return wav_chunks(tags, carried, pictures)
    if lost := [chunk for chunk in carried if not said_by_tags(chunk)]:
        names = ", ".join(chunk.id.decode("ascii", "replace").strip() for chunk in lost)
        logger.warning("The chunks %s have no place in %s; write wav to keep them.", names, name)
    if name == "aiff" and (tags or pictures):
        return [RawChunk(b"ID3 ", id3v2(tags, pictures))]
    return []


def _container_beyond_4_gb(name: str) -> str:
    if name == "wav":
        logger.info("More than 4 GB: written as RF64, which programs of today read as WAV.")
        return "RF64"
    raise AudioWriteError("An AIFF file holds at most 4 GB; write wav or flac instead.")


def _encoder(
    device: _Device,
    form: Format,
    container: str,
    sample_rate: int,
    channels: int,
    depth: int | None,
) -> sf.SoundFile:
    return sf.SoundFile(
        device,
        "w",
        samplerate=sample_rate,
        channels=channels,
        format=container,
        subtype=form.subtypes[depth],
        **form.options,
    )


class _Device:
    """The file as libsndfile sees it: after a prefix, and through the Ogg rewriter if there is one.

    libsndfile calls it back from C, where an exception would be printed and lost: it is kept, and
    raised once we are back.
    """

    def __init__(self, file: BinaryIO, *, prefix: bytes, rewriter: OggRewriter | None) -> None:
        self._file = file
        self._start = len(prefix)
        self._rewriter = rewriter
        self._received = 0
        self._error: BaseException | None = None
        file.write(prefix)

    def raise_error(self) -> None:
        """Raise what went wrong in a call from C, if anything did."""
        if self._error is not None:
            raise self._error

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise the cause, instead of what soundfile makes of it."""
        try:
            yield
        except (AssertionError, sf.SoundFileError) as error:
            self.raise_error()
            raise AudioWriteError(f"The encoder failed: {error}") from error
        self.raise_error()

    def write(self, piece: bytes) -> int:
        try:
            if self._rewriter is None:
                self._file.write(piece)
            else:
                self._file.write(self._rewriter.feed(piece))
                self._received += len(piece)
        except BaseException as error:  # KeyboardInterrupt too: C would swallow it
            self._error = self._error or error
            return 0
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if self._rewriter is not None:  # a stream: libsndfile only asks where its end is
            return self._received
        try:
            base = self._start if whence == io.SEEK_SET else 0
            return self._file.seek(base + offset, whence) - self._start
        except BaseException as error:
            self._error = self._error or error
            return 0

    def tell(self) -> int:
        return self._received if self._rewriter else self._file.tell() - self._start

    def read(self, size: int) -> bytes:
        return self._file.read(size)
