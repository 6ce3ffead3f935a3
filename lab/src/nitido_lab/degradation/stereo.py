"""Faults of the stereo image: lows that are wide, bands turned against each other, phasey sides."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.wav import Wav

EDGE_OCTAVES: Final = 1 / 12  # from untouched to turned
DECORRELATED_SECONDS: Final = 0.04
PHASEY_HZ: Final = (200.0, 8_000.0)


def wide_lows(
    wav: Wav, *, sample_rate: int, below_hz: float = 150.0, side_db: float = 0.0, seed: int = 0
) -> Wav:
    """Return stereo `[2, T]` whose side below `below_hz` is `side_db` over its middle there.

    The middle stays; the side is the middle with another phase at each frequency, as reverbs and
    wideners make it. Where `side_db` is 12 and more this is nearly anti-phase.
    """
    rng = np.random.default_rng(seed)
    left, right, hz = _spectra(wav, sample_rate)
    middle, side = (left + right) / 2, (left - right) / 2
    knots = np.arange(0.0, sample_rate / 2 + 50, 0.5 / DECORRELATED_SECONDS)
    turn = np.interp(hz, knots, np.cumsum(rng.uniform(-np.pi, np.pi, len(knots))))
    low = _inside(hz, 0.0, below_hz)
    other = middle * np.exp(1j * turn) * 10 ** (side_db / 20)
    side = side * (1 - low) + other * low
    return _joined(middle + side, middle - side, wav)


def turn_band(
    wav: Wav, *, sample_rate: int, low_hz: float, high_hz: float, degrees: float = 180.0
) -> Wav:
    """Return stereo `[2, T]` with the right channel turned by `degrees` in a band.

    What is in the middle there loses 6 dB on one loudspeaker at 120°, 20 dB at 168.5°, and all of
    itself at 180°: then the band is in anti-phase.
    """
    left, right, hz = _spectra(wav, sample_rate)
    turned = np.exp(1j * np.deg2rad(degrees) * _inside(hz, low_hz, high_hz))
    return _joined(left, right * turned, wav)


def phasey(wav: Wav, *, sample_rate: int, degrees: float = 180.0, swings: float = 3.0) -> Wav:
    """Return stereo `[2, T]` with the right channel behind an allpass, as by a bad widener.

    From 200 Hz to 8 kHz its phase swings by `degrees` up and down, evenly over log frequency: at
    180 the mono sum has two notches per swing.
    """
    left, right, hz = _spectra(wav, sample_rate)
    low, high = np.log2(PHASEY_HZ)
    share = np.clip((np.log2(np.maximum(hz, 1.0)) - low) / (high - low), 0.0, 1.0)
    turn = np.deg2rad(degrees) * np.sin(2 * np.pi * swings * share)
    return _joined(left, right * np.exp(1j * turn), wav)


def _spectra(
    wav: Wav, sample_rate: int
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.float64]]:
    left, right = np.fft.rfft(wav.astype(np.float64), axis=1)
    return left, right, np.arange(len(left)) * (sample_rate / wav.shape[1])


def _inside(hz: NDArray[np.float64], low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Return 1 inside a band and 0 outside, with edges of a twelfth of an octave."""
    octaves = np.log2(np.maximum(hz, 1e-3))
    up = np.clip((octaves - np.log2(max(low_hz, 1e-3))) / EDGE_OCTAVES, 0, 1) if low_hz else 1.0
    return np.asarray(up * np.clip((np.log2(high_hz) - octaves) / EDGE_OCTAVES, 0, 1))


def _joined(left: NDArray[np.complex128], right: NDArray[np.complex128], wav: Wav) -> Wav:
    both = np.fft.irfft(np.stack([left, right]), wav.shape[1], axis=1)
    return np.asarray(both, np.float32)
