"""Shimmer: the treble keeps its level and loses its fine structure, which flickers with the music.

What a coder or a decoder that is short of bits does from 5 to 14 kHz. The sound there is replaced,
not added to: each form keeps the level of the music over half a kilohertz and one frame, and what
lies between is made up. Levels, attacks and pauses stay where they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from nitido.dsp.spectral import Frames, Spec, fft_size
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError

STRENGTHS: Final = (0.25, 0.5, 1.0)  # slight, clear, strong
BAND_HZ: Final = (5_000.0, 14_000.0)
EDGE_HZ = 500.0
LEVEL_HZ = 540.0  # over which the level is kept
SHORT_SECONDS, LONG_SECONDS = 0.0232, 0.0464  # n_fft 1024 and 2048 at 44.1 kHz
BIRDIES_DB, BIRDIES_TAIL = 12.0, 3.0  # spread of the gains, degrees of freedom: 10–20 dB a jump
RIPPLE_SECONDS, RIPPLE_BAND_HZ = 0.0058, 500.0
RIPPLE_HZ = (12.5, 25.0, 50.0, 75.0, 125.0)  # frame rates of neural codecs
RIPPLE_DB = 9.0  # up and down
SHAPES, SHAPE_BINS = 4, 16  # of the codebook, and how many bins one is of
HOLD_SECONDS = 0.06  # for which a frozen bin stays as it is, on average

Random = np.random.Generator
Levels = NDArray[np.float32]


def shimmer(
    wav: Wav,
    *,
    sample_rate: int,
    strength: float,
    form: str = "birdies",
    low_hz: float = BAND_HZ[0],
    high_hz: float = BAND_HZ[1],
    seed: int = 0,
) -> Wav:
    """Return `wav` `[C, T]` with its treble flickering; below `low_hz` it stays as it is.

    Args:
        wav: waveform `[C, T]`; all channels flicker alike.
        sample_rate: Hz.
        strength: how far it goes, 0 (nothing changes) to 1; `STRENGTHS` are three to test with. The
            depth of jumps, shapes and ripple, dB, and how far phases stray; the share of bins that
            are frozen.
        form: one of `FORMS`: ``birdies`` (every bin jumps by itself from frame to frame),
            ``ripple`` (bands swell and fade at a codec's frame rate), ``codebook`` (the nearest of
            a few shapes of chance, with any phase), ``frozen`` (bins stand still, then move on).
        low_hz: where the band begins.
        high_hz: where it ends.
        seed: the same seed gives the same samples.

    Raises:
        ConfigError: an unknown form, or a strength outside 0 to 1.
    """
    if form not in FORMS:
        raise ConfigError(f"There is no shimmer {form!r}; there are {', '.join(FORMS)}.")
    if not 0 <= strength <= 1:
        raise ConfigError(f"A shimmer's strength of {strength} is outside 0 to 1.")
    seconds, overlap, made_up = FORMS[form]
    n_fft = fft_size(seconds, sample_rate=sample_rate)
    frames = Frames(n_fft, n_fft // overlap)
    whole = frames.analyse(np.pad(wav, ((0, 0), (n_fft, n_fft))), first=-n_fft)
    bin_hz = sample_rate / n_fft
    hz = np.arange(whole.shape[2]) * bin_hz
    inside = np.clip((hz - low_hz) / EDGE_HZ, 0, 1) * np.clip((high_hz - hz) / EDGE_HZ, 0, 1)
    band = np.flatnonzero(inside)
    if not len(band) or not strength:
        return wav.copy()
    spec, share = whole[:, :, band], (strength * inside[band]).astype(np.float32)
    changed = made_up(spec, share, frames, int(band[0]), bin_hz, np.random.default_rng(seed))
    change = np.zeros_like(whole)
    change[:, :, band] = changed
    padded = wav.shape[1] + 2 * n_fft
    # Frames that do not agree lose level when they are added up.
    kept = frames.analyse(frames.synthesise(change, first=-n_fft, length=padded), first=-n_fft)
    levels = [_level(sound, bin_hz).mean(axis=(0, 1)) for sound in (spec, kept[:, :, band])]
    change[:, :, band] = changed * np.sqrt(levels[0] / levels[1]) - spec
    added = frames.synthesise(change, first=-n_fft, length=padded)
    return wav + added[:, n_fft : n_fft + wav.shape[1]]


def _birdies(
    spec: Spec, share: Levels, frames: Frames, first: int, bin_hz: float, rng: Random
) -> Spec:
    """Return the band `[C, N, K]` with bins that jump, as those a coder keeps or drops."""
    del frames, first
    jump_db = np.clip(BIRDIES_DB * rng.standard_t(BIRDIES_TAIL, spec.shape[1:]), -40, 40)
    return _at_level(_turned(spec * _linear(jump_db * share), share, rng), spec, bin_hz)


def _codebook(
    spec: Spec, share: Levels, frames: Frames, first: int, bin_hz: float, rng: Random
) -> Spec:
    """Return the band with magnitudes near the nearest shapes of chance, and any phase."""
    del frames, first
    shapes = rng.standard_exponential((SHAPES, SHAPE_BINS)) ** 1.5
    shapes = (shapes / np.linalg.norm(shapes, axis=1, keepdims=True)).astype(np.float32)
    magnitude = np.abs(spec) + np.float32(1e-20)
    bins = spec.shape[2]
    padded = np.pad(magnitude, ((0, 0), (0, 0), (0, -bins % SHAPE_BINS)))
    groups = padded.reshape(*padded.shape[:2], -1, SHAPE_BINS)
    nearest = (groups.mean(axis=0) @ shapes.T).argmax(axis=2)  # for all channels together
    level = np.linalg.norm(groups, axis=3, keepdims=True)
    picked = (shapes[nearest] * level).reshape(padded.shape)[:, :, :bins]
    return _at_level(_turned(spec * (picked / magnitude) ** share, share, rng), spec, bin_hz)


def _frozen(
    spec: Spec, share: Levels, frames: Frames, first: int, bin_hz: float, rng: Random
) -> Spec:
    """Return the band with bins that go on as steady tones for a while, then catch up."""
    bins = first + np.arange(spec.shape[2])
    turn = np.exp(2j * np.pi * bins * frames.hop_length / frames.n_fft).astype(np.complex64)
    hold = HOLD_SECONDS * bin_hz * frames.n_fft / frames.hop_length
    envelope = np.sqrt(_level(spec, bin_hz))
    fine = np.asarray(spec / envelope, np.complex64)
    held = fine[:, 0].copy()
    freezes = rng.random(spec.shape[2]) < share
    for frame in range(1, spec.shape[1]):
        moves_on = rng.random(spec.shape[2]) < 1 / hold
        freezes = np.where(moves_on, rng.random(spec.shape[2]) < share, freezes)
        held = np.where(moves_on | ~freezes, fine[:, frame], held * turn)
        fine[:, frame] = held
    return np.asarray(fine * envelope, np.complex64)


def _ripple(
    spec: Spec, share: Levels, frames: Frames, first: int, bin_hz: float, rng: Random
) -> Spec:
    """Return the band with parts of 500 Hz that swell and fade at one of a codec's frame rates."""
    del first
    parts = (np.arange(spec.shape[2]) * bin_hz // RIPPLE_BAND_HZ).astype(int)
    seconds = np.arange(spec.shape[1]) * frames.hop_length / (frames.n_fft * bin_hz)
    cycles = rng.choice(RIPPLE_HZ) * seconds[:, None] + rng.random(parts[-1] + 1)
    depth_db = RIPPLE_DB * rng.uniform(0.5, 1.0, parts[-1] + 1)
    gain_db = (depth_db * np.sin(2 * np.pi * cycles))[:, parts] * share
    return np.asarray(spec * _linear(gain_db), np.complex64)


def _at_level(made_up: Spec, spec: Spec, bin_hz: float) -> Spec:
    """Return one spectrum at the level that another has in its place."""
    gain = np.sqrt(_level(spec, bin_hz) / _level(made_up, bin_hz))
    return np.asarray(made_up * gain, np.complex64)


def _level(spec: Spec, bin_hz: float) -> Levels:
    """Return the power over half a kilohertz around each bin, above 0."""
    power = spec.real**2 + spec.imag**2
    width = max(3, round(LEVEL_HZ / bin_hz)) | 1
    mean = uniform_filter1d(power, width, axis=2, mode="nearest")
    return np.asarray(np.maximum(mean, 1e-20), np.float32)


def _turned(spec: Spec, share: Levels, rng: Random) -> Spec:
    """Return a spectrum with phases moved by chance, the same in every channel."""
    turn = np.exp(1j * np.pi * share * rng.uniform(-1, 1, spec.shape[1:]))
    return np.asarray(spec * turn, np.complex64)


def _linear(gain_db: NDArray[np.float64]) -> Levels:
    return np.asarray(10 ** (gain_db / 20), np.float32)


# Length of the frames, how many of them overlap, and what becomes of the band.
FORMS: Final[Mapping[str, tuple[float, int, Callable[..., Spec]]]] = {
    "birdies": (SHORT_SECONDS, 2, _birdies),
    "ripple": (RIPPLE_SECONDS, 4, _ripple),
    "codebook": (LONG_SECONDS, 2, _codebook),
    "frozen": (LONG_SECONDS, 4, _frozen),
}
