"""Which formats can be written, and what each can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
