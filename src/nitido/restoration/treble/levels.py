"""What the network sees and what it says: levels in bands, frame by frame.

Frames of n_fft 2048 and hop 512 at 48 kHz, on the grid of the whole piece. In: 256 bands of
93.75 Hz, as far up as the crossover. Out: 64 bands of 375 Hz, all of them. Levels are densities in
dB re white noise of the piece's RMS, so neither the loudness of a piece nor its sample rate count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.spectral import Frames, Spec, fft_size, noise_power, running_mean

Levels = NDArray[np.float32]

RATE = 48_000  # at which networks are trained
FRAME_SECONDS = 0.0427
BANDS, BAND_HZ = 256, 93.75
BANDS_BINS = 4  # bins per band at 48 kHz
ENVELOPES, ENVELOPE_HZ = 64, 375.0
PER_ENVELOPE = BANDS // ENVELOPES
INPUTS = 2 * BANDS + ENVELOPES  # levels, mask, what the rule says
FLOOR_DB = -80.0
TOP_DB = 60.0
GATE_WIDTH_DB = 6.0
SLOPE_DB_PER_KHZ = -2.5
# Above the crossover nothing of the input counts. It lies at this share of the ceiling, because
# the sound sinks before it ends.
CROSSOVER = 0.935
REFERENCE_LOW = 0.78  # share of the ceiling from which on the level just below it is taken
TONAL_FRAMES = 9  # over which tones are told from noise, 0.1 s
# Nine overlapping frames of noise average to a flatness of about 0.85.
NOISE_FLATNESS, TONE_FLATNESS = 0.85, 0.3


def frames_at(sample_rate: int) -> Frames:
    """Return the grid of frames at a sample rate: as near to 43 ms and 11 ms as powers of two."""
    n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
    return Frames(n_fft, n_fft // 4)


def band_levels(spec: Spec, *, sample_rate: int, rms_db: float) -> Levels:
    """Return the levels `[C, N, 256]`, dB, of spectra `[C, N, F]`; −80 dB where there is nothing.

    Args:
        spec: of `frames_at(sample_rate)`.
        sample_rate: Hz.
        rms_db: level of the piece, dB re full scale.
    """
    n_fft = 2 * (spec.shape[2] - 1)
    power = spec.real**2 + spec.imag**2
    edges = np.arange(BANDS + 1) * (BAND_HZ * n_fft / sample_rate)
    if edges[1] == BANDS_BINS and spec.shape[2] > BANDS * BANDS_BINS:
        bins = [power[:, :, k : BANDS * BANDS_BINS : BANDS_BINS] for k in range(BANDS_BINS)]
        bands = sum(bins[1:], bins[0]) / BANDS_BINS  # five times as fast as a mean over four
    else:
        bands = _mean_between(power, edges)
    level = 10 * np.log10(bands / noise_power(n_fft, sample_rate=sample_rate) + 1e-20) - rms_db
    return np.asarray(np.clip(level, FLOOR_DB, TOP_DB), np.float32)


def tonality(spec: Spec) -> Levels:
    """Return how tonal each of the 64 bands is, `[C, N, 64]`: 0 for noise to 1 for steady tones.

    From the spectral flatness of the power averaged over 0.1 s; spectra `[C, N, F]` of 48 kHz.
    """
    power = spec.real**2 + spec.imag**2
    power = power[:, :, : BANDS * BANDS_BINS]
    power = np.maximum(running_mean(power, TONAL_FRAMES, axis=1), 1e-20)
    bands = power.reshape(*power.shape[:2], ENVELOPES, -1)
    flatness = np.exp(np.log(bands).mean(axis=3)) / bands.mean(axis=3)
    share = (NOISE_FLATNESS - flatness) / (NOISE_FLATNESS - TONE_FLATNESS)
    return np.asarray(np.clip(share, 0.0, 1.0), np.float32)


def envelopes(levels: Levels) -> Levels:
    """Return the levels in the 64 wide bands `[…, N, 64]` of levels `[…, N, 256]`, dB."""
    power = 10 ** (levels.reshape(*levels.shape[:-1], ENVELOPES, PER_ENVELOPE) / 10)
    return np.asarray(10 * np.log10(power.mean(axis=-1)), np.float32)


def crossover_band(crossover_hz: float) -> int:
    """Return the first of the 256 bands of which the network sees nothing."""
    return int(np.clip(crossover_hz / BAND_HZ, 1, BANDS))


def reference_band(crossover: int) -> int:
    """Return the first of the 256 bands that tell the level just below the ceiling."""
    return min(int(REFERENCE_LOW / CROSSOVER * crossover), crossover - 1)


def opened(level_db: Levels, gate_db: float) -> Levels:
    """Return the gain of the gate, 0 to 1: half open at `gate_db`, a smooth step over 6 dB."""
    share = np.clip((level_db - gate_db) / GATE_WIDTH_DB + 0.5, 0.0, 1.0)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def extrapolated(levels: Levels, crossover: int) -> Levels:
    """Return the levels `[…, N, 64]` as they are below the crossover and by rule above it, dB.

    The rule: the level just below the ceiling, carried on at −2.5 dB per kHz.

    Args:
        levels: `[…, N, 256]`, dB.
        crossover: first band above it; 256 if there is no ceiling.
    """
    base = envelopes(levels)
    first = crossover // PER_ENVELOPE
    if first >= ENVELOPES:
        return base
    low = reference_band(crossover)
    reference = 10 * np.log10((10 ** (levels[..., low:crossover] / 10)).mean(axis=-1))
    reference_hz = (low + crossover) / 2 * BAND_HZ
    hz = (np.arange(first, ENVELOPES) + 0.5) * ENVELOPE_HZ
    slope = SLOPE_DB_PER_KHZ * np.maximum(hz - reference_hz, 0) / 1000
    base[..., first:] = np.maximum(reference[..., None] + slope, FLOOR_DB)
    return base


def network_input(levels: Levels, crossover: int) -> Levels:
    """Return what the network sees, `[…, N, 576]`, of levels `[…, N, 256]`: in units of 20 dB."""
    seen = np.full_like(levels, FLOOR_DB)
    seen[..., :crossover] = levels[..., :crossover]
    mask = np.zeros_like(levels)
    mask[..., crossover:] = 1.0
    base = extrapolated(levels, crossover)
    return np.concatenate([seen / 20, mask, base / 20], axis=-1)


def _mean_between(power: Levels, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the bins between each edge and the next; bins are one unit wide."""
    total = np.concatenate(
        [np.zeros((*power.shape[:2], 1)), np.cumsum(power, axis=2, dtype=np.float64)], axis=2
    )
    at = np.minimum(edges, power.shape[2] - 1)
    low = np.minimum(at.astype(int), power.shape[2] - 1)
    part = at - low
    reached = total[:, :, low] + part * (total[:, :, low + 1] - total[:, :, low])
    return np.asarray(np.diff(reached, axis=2) / np.maximum(np.diff(edges), 1e-9))
