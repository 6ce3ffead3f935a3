"""What listeners complain of in generated songs, planted in clean ones: sharp s, harshness, mud.

Each is a plain function of the waveform with a `strength` of 1 (slight), 2 or 3 (severe) and a
seed, so that how much of a fault was found, and how much of it went, can be measured.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.spectral import Frames, band, fft_size
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError

STRENGTHS = (1, 2, 3)
S_LEVEL_DB = (-12.0, -8.0, -4.0)  # of an s, re the piece; a plain one lies near −20 in a mix
S_RAISE_DB = (4.0, 7.0, 10.0)
S_HZ = (5_000.0, 9_000.0)
S_SECONDS = (0.05, 0.15)
S_APART_SECONDS = (0.15, 0.7)  # between two of a line of words …
LINE_SECONDS, BREATH_SECONDS = (2.0, 5.0), (0.7, 2.5)  # … that is followed by a breath
HARSH_HZ = (2_000.0, 5_000.0)
HARSH_DB = (4.0, 7.0, 10.0)
HARSH_OCTAVES = 0.1  # standard deviation of a resonance
MUD_HZ = (200.0, 500.0)
MUD_DB = (4.0, 7.0, 10.0)
FRAME_SECONDS = 0.0427

Array = NDArray[np.float64]


def sibilance(wav: Wav, *, sample_rate: int, strength: int = 2, seed: int = 0) -> Wav:
    """Return `wav` `[C, T]` with the s of a voice over it: noise of 50 to 150 ms in 5–9 kHz.

    They come in lines of words with breaths between them, rise over 15 to 40 ms and fall over 10
    to 30, the same in all channels, each between −3 and 3 dB of the strength's level.
    """
    rng = np.random.default_rng(seed)
    samples = wav.shape[1]
    envelope = np.zeros(samples)
    at, line_end = rng.uniform(0.1, 1.0), 0.0
    while at * sample_rate < samples:
        if at > line_end:
            at += rng.uniform(*BREATH_SECONDS) if line_end else 0.0
            line_end = at + rng.uniform(*LINE_SECONDS)
        seconds = rng.uniform(*S_SECONDS)
        rise, fall = rng.uniform(0.015, 0.04), rng.uniform(0.01, 0.03)
        time = np.arange(round(seconds * sample_rate)) / sample_rate
        shape = np.minimum(np.clip(time / rise, 0, 1), np.clip((seconds - time) / fall, 0, 1))
        shape = np.sin(np.pi / 2 * shape) ** 2 * 10 ** (rng.uniform(-3, 3) / 20)
        start = round(at * sample_rate)
        part = envelope[start : start + len(shape)]
        part += shape[: len(part)]
        at += seconds + rng.uniform(*S_APART_SECONDS)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hz = np.fft.rfftfreq(samples, 1 / sample_rate)
    noise = np.fft.irfft(spectrum * _plateau(hz, *S_HZ, octaves=0.15), samples)
    level = _rms(wav) * 10 ** (_of(S_LEVEL_DB, strength) / 20)
    return np.asarray(wav + level * envelope * noise / max(_rms(noise), 1e-12), np.float32)


def sharp_s(wav: Wav, *, sample_rate: int, strength: int = 2) -> Wav:
    """Return `wav` `[C, T]` with its own bursts in 5–9 kHz raised: for pieces with a voice."""
    n_fft = fft_size(FRAME_SECONDS / 4, sample_rate=sample_rate)
    frames, spec = _analysed(wav, n_fft)
    inside = band(*S_HZ, n_fft=n_fft, sample_rate=sample_rate)
    level_db = _level_db(spec[:, :, inside])
    rise = np.clip((level_db - np.median(level_db)) / 12 - 0.5, 0, 1)
    hz = np.arange(spec.shape[2]) * sample_rate / n_fft
    gain_db = _of(S_RAISE_DB, strength) * rise[:, None] * _plateau(hz, *S_HZ, octaves=0.15)
    return _synthesised(frames, spec, gain_db, wav.shape[1])


def harshness(wav: Wav, *, sample_rate: int, strength: int = 2, seed: int = 0) -> Wav:
    """Return `wav` `[C, T]` with 2–5 kHz ringing at three places where it is loud there."""
    rng = np.random.default_rng(seed)
    frames, spec = _analysed(wav, fft_size(FRAME_SECONDS, sample_rate=sample_rate))
    inside = band(*HARSH_HZ, n_fft=frames.n_fft, sample_rate=sample_rate)
    level_db = _level_db(spec[:, :, inside])
    soft, loud = np.percentile(level_db, [50, 90])
    swell = np.clip((level_db - soft) / max(loud - soft, 1.0), 0, 1)
    octave = np.log2(
        np.maximum(np.arange(spec.shape[2]) * sample_rate / frames.n_fft, 1.0) / HARSH_HZ[0]
    )
    width = np.log2(HARSH_HZ[1] / HARSH_HZ[0])
    places = (np.arange(3) + rng.uniform(0.25, 0.75, 3)) / 3 * width
    peaks = np.exp(-0.5 * ((octave[:, None] - places) / HARSH_OCTAVES) ** 2).max(axis=1)
    gain_db = _of(HARSH_DB, strength) * swell[:, None] * peaks
    return _synthesised(frames, spec, gain_db, wav.shape[1])


def mud(wav: Wav, *, sample_rate: int, strength: int = 2, seed: int = 0) -> Wav:
    """Return `wav` `[C, T]` with too much of 200–500 Hz: two thirds as a whole, a third ringing."""
    rng = np.random.default_rng(seed)
    hz = np.fft.rfftfreq(wav.shape[1], 1 / sample_rate)
    octave = np.log2(np.maximum(hz, 1.0) / MUD_HZ[0])
    place = rng.uniform(0.2, 0.8) * np.log2(MUD_HZ[1] / MUD_HZ[0])
    ringing = np.exp(-0.5 * ((octave - place) / 0.12) ** 2)
    broad = _plateau(hz, *MUD_HZ, octaves=0.5)
    gain_db = _of(MUD_DB, strength) * (2 / 3 * broad + 1 / 3 * ringing)
    spectrum = np.fft.rfft(wav, axis=1) * 10 ** (gain_db / 20)
    return np.asarray(np.fft.irfft(spectrum, wav.shape[1], axis=1), np.float32)


def _of(values: tuple[float, ...], strength: int) -> float:
    if strength not in STRENGTHS:
        raise ConfigError(f"strength is {strength!r}; it is 1, 2 or 3.")
    return values[strength - 1]


def _plateau(hz: NDArray[np.floating], low_hz: float, high_hz: float, *, octaves: float) -> Array:
    """Return 1 inside a band and 0 outside, with skirts of so many octaves around its edges."""
    octave = np.log2(np.maximum(hz, 1.0))
    rise = np.clip((octave - np.log2(low_hz)) / octaves + 0.5, 0, 1)
    fall = np.clip((np.log2(high_hz) - octave) / octaves + 0.5, 0, 1)
    plateau: Array = (np.sin(np.pi / 2 * rise) * np.sin(np.pi / 2 * fall)) ** 2
    return plateau


def _rms(wav: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(wav.astype(np.float64) ** 2))) if wav.size else 0.0


def _level_db(spec: NDArray[np.complex64]) -> Array:
    """Return the level of each frame, dB `[N]`, smoothed over three, all channels together."""
    power = (np.abs(spec) ** 2).sum(axis=(0, 2), dtype=np.float64)
    return np.asarray(10 * np.log10(np.convolve(power, np.ones(3) / 3, "same") + 1e-9), np.float64)


def _analysed(wav: Wav, n_fft: int) -> tuple[Frames, NDArray[np.complex64]]:
    """Return the frames of a whole piece, with those that reach over its ends."""
    frames = Frames(n_fft, n_fft // 4)
    return frames, frames.analyse(np.pad(wav, ((0, 0), (n_fft, n_fft))), first=-n_fft)


def _synthesised(frames: Frames, spec: NDArray[np.complex64], gain_db: Array, samples: int) -> Wav:
    raised = (spec * 10 ** (gain_db / 20)).astype(np.complex64)
    n_fft = frames.n_fft
    wide = frames.synthesise(raised, first=-n_fft, length=samples + 2 * n_fft)
    return np.ascontiguousarray(wide[:, n_fft : n_fft + samples])
