"""Sounds to test with: known, short, and the same on every run. All are float32 `[C, T]`."""

from __future__ import annotations

import numpy as np

from nitido.dsp.wav import Wav


def sine(
    frequency_hz: float,
    *,
    seconds: float = 1.0,
    sample_rate: int = 48_000,
    amplitude: float = 0.5,
    channels: int = 1,
    phase: float = 0.0,
) -> Wav:
    """Return a sine tone, the same in every channel."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    tone = amplitude * np.sin(2 * np.pi * frequency_hz * time + phase)
    return np.tile(tone.astype(np.float32), (channels, 1))


def noise(
    *,
    seconds: float = 1.0,
    sample_rate: int = 48_000,
    rms: float = 0.1,
    channels: int = 1,
    seed: int = 0,
) -> Wav:
    """Return white Gaussian noise, independent in every channel."""
    rng = np.random.default_rng(seed)
    shape = (channels, round(seconds * sample_rate))
    return rms * rng.standard_normal(shape, dtype=np.float32)


def pink_noise(
    *,
    seconds: float = 1.0,
    sample_rate: int = 48_000,
    rms: float = 0.1,
    channels: int = 1,
    seed: int = 0,
) -> Wav:
    """Return noise whose power falls by 3 dB per octave, from 20 Hz on, with exactly this RMS."""
    white = noise(seconds=seconds, sample_rate=sample_rate, channels=channels, seed=seed)
    samples = white.shape[1]
    frequency = np.fft.rfftfreq(samples, 1 / sample_rate)
    gain = np.where(frequency >= 20, 1 / np.sqrt(np.maximum(frequency, 20)), 0)
    pink = np.fft.irfft(np.fft.rfft(white) * gain, samples)
    pink *= rms / np.sqrt(np.mean(pink**2, axis=1, keepdims=True))
    return pink.astype(np.float32)


def sweep(
    from_hz: float = 20,
    to_hz: float = 20_000,
    *,
    seconds: float = 1.0,
    sample_rate: int = 48_000,
    amplitude: float = 0.5,
    channels: int = 1,
) -> Wav:
    """Return a sine whose frequency rises by the same interval in every second."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    rate = np.log(to_hz / from_hz) / seconds
    tone = amplitude * np.sin(2 * np.pi * from_hz * np.expm1(rate * time) / rate)
    return np.tile(tone.astype(np.float32), (channels, 1))


def click(
    at_samples: int, *, samples: int = 48_000, amplitude: float = 1.0, channels: int = 1
) -> Wav:
    """Return silence with one sample that is not."""
    wav = np.zeros((channels, samples), np.float32)
    wav[:, at_samples] = amplitude
    return wav


def silence(*, seconds: float = 1.0, sample_rate: int = 48_000, channels: int = 1) -> Wav:
    """Return zeros."""
    return np.zeros((channels, round(seconds * sample_rate)), np.float32)


def cut(wav: Wav, *sizes: int) -> list[Wav]:
    """Return the waveform in blocks of these sizes, over and over; the last one shorter."""
    blocks, start, turn = [], 0, 0
    while start < wav.shape[1]:
        size = sizes[turn % len(sizes)]
        blocks.append(wav[:, start : start + size])
        start, turn = start + size, turn + 1
    return blocks
