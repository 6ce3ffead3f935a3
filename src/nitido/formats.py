"""Which formats can be written, and what each can hold; which can be read, and how they begin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from nitido.errors import ConfigError, shown


@dataclass(frozen=True)
class Format:
    """A format that can be written.

    Attributes:
        container: libsndfile's name of it.
        subtypes: libsndfile's name per bit depth; the only entry of a lossy format has depth None.
        suffixes: of file names.
        channels_max: most channels it holds.
        rates: sample rates it holds, Hz; empty for any.
        options: how hard the encoder works; libsndfile's `compression_level` from 0 to 1, or the
            bit rate of each channel.
    """

    container: str
    subtypes: Mapping[int | None, str]
    suffixes: tuple[str, ...]
    channels_max: int = 64
    rates: tuple[int, ...] = ()
    options: Mapping[str, float | str] = field(default_factory=dict)


_LAYER_III_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_AAC_RATES = (*_LAYER_III_RATES, 64000, 88200, 96000)
_PCM: dict[int | None, str] = {16: "PCM_16", 24: "PCM_24"}

FORMATS: Mapping[str, Format] = {
    "wav": Format("WAV", {**_PCM, 32: "FLOAT"}, (".wav", ".wave")),
    "flac": Format("FLAC", _PCM, (".flac",), channels_max=8),
    "aiff": Format("AIFF", {**_PCM, 32: "FLOAT"}, (".aiff", ".aif", ".aifc")),
    "ogg": Format("OGG", {None: "VORBIS"}, (".ogg", ".oga"), options={"compression_level": 0.3}),
    "opus": Format(
        "OGG",
        {None: "OPUS"},
        (".opus",),
        rates=(8000, 12000, 16000, 24000, 48000),
        options={"compression_level": 0.64},  # 96 kbit/s per channel
    ),
    "mp3": Format(
        "MP3",
        {None: "MPEG_LAYER_III"},
        (".mp3",),
        channels_max=2,
        rates=_LAYER_III_RATES,
        options={"compression_level": 0.0, "bitrate_mode": "VARIABLE"},  # LAME's V0
    ),
    "m4a": Format(  # ffmpeg writes it
        "M4A", {None: "AAC"}, (".m4a",), channels_max=2, rates=_AAC_RATES, options={"kbps": 128}
    ),
}
_DEPTH_DEFAULT = 24


def find_format(path: Path, name: str | None) -> tuple[str, Format]:
    """Return name and format, by name if one is given, else by the suffix of `path`.

    Raises:
        ConfigError: neither is known.
    """
    if name is not None:
        if not isinstance(name, str) or name not in FORMATS:
            raise ConfigError(
                f"Format {shown(name)} is not known; give one of {', '.join(FORMATS)}."
            )
        return name, FORMATS[name]
    for known, form in FORMATS.items():
        if path.suffix.lower() in form.suffixes:
            return known, form
    raise ConfigError(
        f"{path.name} does not end like a format that can be written; give one of "
        f"{', '.join(FORMATS)}."
    )


def check_format(
    name: str, form: Format, *, sample_rate: int, channels: int, bit_depth: int | None
) -> int | None:
    """Return the bit depth to write, None for a lossy format.

    Raises:
        ConfigError: the format does not hold this rate, number of channels or bit depth.
    """
    if form.rates and sample_rate not in form.rates:
        rates = ", ".join(f"{rate / 1000:g}" for rate in form.rates)
        raise ConfigError(
            f"{name} cannot hold {sample_rate} Hz, only {rates} kHz; choose another sample rate."
        )
    if not 1 <= channels <= form.channels_max:
        raise ConfigError(
            f"{name} cannot hold {channels} channels, only 1 to {form.channels_max}; choose wav."
        )
    if bit_depth is None:
        return _DEPTH_DEFAULT if _DEPTH_DEFAULT in form.subtypes else None
    if not isinstance(bit_depth, int) or bit_depth not in form.subtypes:
        depths = ", ".join(str(depth) for depth in form.subtypes if depth)
        rule = f"only {depths} bit" if depths else "it is lossy and has no bit depth"
        raise ConfigError(f"{name} cannot hold {shown(bit_depth)} bit, {rule}.")
    return bit_depth


class Readable(NamedTuple):
    """A format that can be read.

    Attributes:
        name: as people call it.
        begins: how such a file begins, after any ID3 tag.
        suffixes: of files that are looked for in a folder: films are not.
        ffmpeg: whether the ffmpeg program is needed; else libsndfile reads it.
    """

    name: str
    begins: bytes
    suffixes: tuple[str, ...] = ()
    ffmpeg: bool = True


READABLE = (
    Readable("WAV", rb"RIF[FX].{4}WAVE", (".wav", ".wave"), ffmpeg=False),
    Readable("RF64", rb"RF64", (".rf64",), ffmpeg=False),
    Readable("W64", rb"riff", (".w64",), ffmpeg=False),
    Readable("AIFF", rb"FORM.{4}AIF[FC]", (".aiff", ".aif", ".aifc"), ffmpeg=False),
    Readable("CAF", rb"caff", (".caf",), ffmpeg=False),
    Readable("AU", rb"\.snd|dns\.", (".au",), ffmpeg=False),
    Readable("FLAC", rb"fLaC", (".flac",), ffmpeg=False),
    Readable("Ogg Vorbis", rb"OggS", (".ogg", ".oga"), ffmpeg=False),
    Readable("Opus", rb"OggS", (".opus",), ffmpeg=False),
    Readable("MP3", rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", (".mp3",), ffmpeg=False),
    Readable("MP2", rb"\xff[\xf4\xf5\xfc\xfd]", (".mp2",), ffmpeg=False),
    Readable("M4A", rb".{4}ftyp", (".m4a", ".m4b", ".mp4")),
    Readable("AAC", rb"ADIF|\xff[\xf0\xf1\xf8\xf9]", (".aac",)),
    Readable("AC-3", rb"\x0b\x77", (".ac3", ".eac3")),
    Readable("DTS", rb"\x7f\xfe\x80\x01", (".dts",)),
    Readable("AMR", rb"#!AM", (".amr",)),
    Readable("WMA", rb"\x30\x26\xb2\x75", (".wma",)),
    Readable("Monkey's Audio", rb"MAC ", (".ape",)),
    Readable("Musepack", rb"MPCK|MP\+", (".mpc",)),
    Readable("True Audio", rb"TTA1", (".tta",)),
    Readable("WavPack", rb"wvpk", (".wv",)),
    Readable("DSF", rb"DSD ", (".dsf",)),
    Readable("Matroska", rb"\x1a\x45\xdf\xa3", (".mka",)),
    Readable("WebM", rb"\x1a\x45\xdf\xa3", (".weba", ".webm")),
    Readable("MP4 and MOV films", rb".{4}(ftyp|moov|wide|mdat)"),
    Readable("AVI", rb"RIFF.{4}AVI "),
    Readable("FLV", rb"FLV\x01"),
    Readable("MPEG-TS", rb"G.{187}G.{187}G|.{4}G.{191}G"),
    Readable("MPEG-PS", rb"\x00\x00\x01\xba"),
)
HEAD_BYTES = 512  # of a file, from which its format is told
_TOLD = ("WAV", "AIFF", "FLAC", "MP3", "Ogg Vorbis", "Opus", "M4A")
READS = (
    f"it reads {', '.join(_TOLD)} and {len(READABLE) - len(_TOLD)} other formats, told by what is "
    "in a file and not by its name"
)


def is_known(head: bytes) -> bool:
    """Return whether a file that begins so is in one of the formats that can be read."""
    return any(re.match(one.begins, head, re.DOTALL) for one in READABLE)


def needs_ffmpeg(head: bytes) -> bool:
    """Return whether a file that begins so is in one of those that libsndfile does not read."""
    return is_known(head) and not any(
        re.match(one.begins, head, re.DOTALL) for one in READABLE if not one.ffmpeg
    )
