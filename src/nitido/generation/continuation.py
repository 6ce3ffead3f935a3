"""Going on from a recording: what the model hears of it, and the seam where it takes over.

The model hears the last seconds as codes, and its sound begins with them: the recording as its
codec gives it back. There the two are the same music at the same time, so there the recording fades
into the new sound; both are brought to the same level first.
"""

from __future__ import annotations

import numpy as np

from nitido.audio import SanitizedBlocks, Source
from nitido.dsp.chunks import join
from nitido.dsp.resample import resample
from nitido.dsp.wav import Wav
from nitido.errors import AudioTooShortError

HEARD_SECONDS_MIN = 0.5
FADE_SECONDS = 0.25
LEVEL_SECONDS = 3.0  # over which the levels on both sides of the seam are compared
GAIN_MAX_DB = 9.0  # more is no matter of level: the codec did not follow the recording


def read_for_model(source: Source, *, sample_rate: int, channels: int) -> Wav:
    """Return a recording as the model can hear it, `[C, T]`.

    Args:
        source: of the recording.
        sample_rate: of the model, Hz.
        channels: of the model: 1, or 2; other numbers are mixed to one, or one is used for both.
    """
    stream = resample(
        SanitizedBlocks(source.blocks()),
        from_hz=source.sample_rate,
        to_hz=sample_rate,
        samples=source.samples,
        channels=source.channels,
    )
    wav = join(stream, channels=source.channels)
    if len(wav) != channels:
        wav = np.repeat(wav.mean(axis=0, keepdims=True), channels, axis=0)
    return wav


def check_recording(source: Source) -> None:
    """Refuse a recording that is too short to go on from.

    Raises:
        AudioTooShortError: less than half a second.
    """
    seconds = source.samples / source.sample_rate
    if seconds < HEARD_SECONDS_MIN:
        raise AudioTooShortError(
            f"{source.name} lasts {seconds:.2f} s; to go on from it, the model needs "
            f"{HEARD_SECONDS_MIN:g} s."
        )


def take_over(recording: Wav, sound: Wav, *, heard: int, sample_rate: int) -> Wav:
    """Return the recording, and the new sound after it, without a step or a gap.

    Args:
        recording: `[C, T]`.
        sound: `[C, heard + n]`: the end of the recording as the codec gives it back, then new.
        heard: samples of the recording that `sound` begins with.
        sample_rate: Hz.
    """
    near = min(heard, round(LEVEL_SECONDS * sample_rate))
    fade = min(heard, round(FADE_SECONDS * sample_rate))
    sound = sound * _level_gain(recording[:, -near:], sound[:, heard - near : heard])
    out, into = recording[:, -fade:], sound[:, heard - fade : heard]
    rise = np.linspace(0, 1, fade, dtype=np.float32)
    # Equal music adds up in amplitude, unrelated sound in power: the fade keeps the power of what
    # lies between, whatever that is here.
    alike = _likeness(out, into)
    power = (1 - rise) ** 2 + rise**2 + 2 * alike * rise * (1 - rise)
    seam = ((1 - rise) * out + rise * into) / np.sqrt(power)
    return np.concatenate([recording[:, :-fade], seam, sound[:, heard:]], axis=1).astype(np.float32)


def _level_gain(recording: Wav, sound: Wav) -> np.float32:
    """Return the factor that brings the sound to the level of the recording; 1 for silence."""
    levels = [float(np.sqrt(np.mean(np.square(wav)))) for wav in (recording, sound)]
    if min(levels) < 1e-5:
        return np.float32(1)
    limit = 10 ** (GAIN_MAX_DB / 20)
    return np.float32(np.clip(levels[0] / levels[1], 1 / limit, limit))


def _likeness(one: Wav, other: Wav) -> float:
    """Return the correlation of two waveforms, from 0 (unrelated) to 1 (equal)."""
    energy = float(np.sqrt(np.square(one).sum() * np.square(other).sum()))
    return float(np.clip((one * other).sum() / energy, 0, 1)) if energy > 0 else 0.0
