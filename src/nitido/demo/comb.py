"""The decoder comb: the lines that a neural codec's upsampling layers leave in the sound.

EnCodec-32k works at 50 Hz, 400 Hz, 2 kHz and 8 kHz inside, and each of these rates shows as steady
lines at its multiples, a few dB above the music around them and following its level.

Source: Pons et al., Upsampling artifacts in neural audio synthesis, ICASSP 2021; the heights are
means over 30 MusicGen clips.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.special
from numpy.typing import NDArray

from nitido.dsp.spectral import Frames, fft_size
from nitido.dsp.wav import Wav

Array = NDArray[np.float64]

FRAME_RATE_HZ = 50
HEIGHT_DB = {8000: 8.8, 2000: 5.6, 400: 5.3, 50: 2.4}  # of lines at multiples of …, coarsest first
DECODER_NYQUIST_HZ = 16_000
FRAME_SECONDS = 0.512  # resolves 50 Hz lines: 16384 samples at 32 kHz
SURROUNDINGS_HZ = 120.0  # width of the median that tells the level around a line
BANDS_PER_OCTAVE = 3  # in which the lines follow the level of the music
SILENCE = 1e-12  # power of a bin over n_fft² that counts as silence, −120 dB


def add_comb(wav: Wav, *, sample_rate: int, seed: int = 0, level_db: float = 0.0) -> Wav:
    """Return `wav` `[C, T]` with the lines of MusicGen's decoder added.

    Each line is a sine of random, fixed phase. Its height in the time-averaged log spectrum is that
    of `HEIGHT_DB` above the local median; over time it follows the level of its third-octave band
    within about a second. Where the music is silent, so are the lines.

    Args:
        wav: waveform `[C, T]`; not written to.
        sample_rate: Hz.
        seed: of the phases.
        level_db: added to all heights, dB; 0 is MusicGen's comb.
    """
    top_hz = min(DECODER_NYQUIST_HZ, math.ceil(sample_rate / 2) - 1)
    lines_hz = np.arange(FRAME_RATE_HZ, top_hz + 1, FRAME_RATE_HZ, dtype=np.float64)
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(lines_hz))
    ratio = np.array([power_ratio(_height_db(hz) + level_db) for hz in lines_hz])
    if wav.shape[1] == 0:
        return wav.copy()
    combs = [_comb(row, lines_hz, phases, ratio, sample_rate) for row in wav]
    return wav + np.stack(combs).astype(np.float32)


def power_ratio(height_db: float) -> float:
    """Return the power of a sine over that of the noise in its bin, for a height in log spectra.

    In a bin of noise with mean power 1 the mean of log power is −γ; with a sine of power λ it is
    log λ + E₁(λ), and the height is the difference of the two. Solved by bisection.

    Source: mean log of a noncentral χ² with two degrees of freedom, Lapidoth and Moser, IEEE
    Trans. Inf. Theory 49(10), 2003, lemma 10.1.
    """
    low, high = 1e-6, 1e6
    for _ in range(60):
        ratio = math.sqrt(low * high)
        rise = math.log(ratio) + float(scipy.special.exp1(ratio)) + float(np.euler_gamma)
        if rise < height_db * math.log(10) / 10:
            low = ratio
        else:
            high = ratio
    return ratio


def _height_db(hz: float) -> float:
    """Return the height of the line at `hz`: that of the coarsest grid it lies on."""
    return next(height for spacing, height in HEIGHT_DB.items() if hz % spacing == 0)


def _comb(row: Wav, lines_hz: Array, phases: Array, ratio: Array, sample_rate: int) -> Array:
    """Return the lines for one channel `[T]`."""
    n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
    spec = Frames(n_fft, n_fft // 2).analyse(np.pad(row, n_fft)[None], first=-n_fft)[0]
    power = np.log(spec.real**2 + spec.imag**2 + np.float32(SILENCE * n_fft**2))  # [N, F]
    centre = n_fft // 2 * np.arange(-1, len(power) - 1)  # of the frames, samples

    reach = round(SURROUNDINGS_HZ / 2 * n_fft / sample_rate)
    bins = np.round(lines_hz * n_fft / sample_rate).astype(int)
    local = scipy.ndimage.median_filter(power.mean(axis=0), 2 * reach + 1)[bins]
    amplitude = 4 / n_fft * np.sqrt(ratio * np.exp(local + np.euler_gamma))

    # One cycle of 50 Hz, or as many as fill a whole number of samples, holds every line exactly.
    period = sample_rate // math.gcd(sample_rate, FRAME_RATE_HZ)
    cycles = FRAME_RATE_HZ * period // sample_rate
    lines = amplitude * np.exp(1j * phases) * period / 2

    comb = np.zeros(len(row))
    band = np.floor(np.log2(lines_hz / FRAME_RATE_HZ) * BANDS_PER_OCTAVE)
    for number in np.unique(band):
        members = np.flatnonzero(band == number)
        spectrum = np.zeros(period // 2 + 1, np.complex128)
        spectrum[cycles * (members + 1)] = lines[members]
        wave = scipy.fft.irfft(spectrum, period)
        near = slice(max(0, bins[members[0]] - reach), bins[members[-1]] + reach + 1)
        level = power[:, near].mean(axis=1)
        smooth = scipy.ndimage.convolve1d(level, [0.25, 0.5, 0.25], mode="nearest")
        follow = np.maximum(np.exp(smooth) - 10 * SILENCE * n_fft**2, 0) / np.exp(level.mean())
        comb += np.resize(wave, len(row)) * np.interp(np.arange(len(row)), centre, np.sqrt(follow))
    return comb
