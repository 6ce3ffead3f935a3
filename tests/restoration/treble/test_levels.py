import numpy as np
import pytest
from tests.signals import noise, sine

from nitido.dsp.wav import Wav
from nitido.restoration.treble.levels import (
    BANDS,
    ENVELOPES,
    FLOOR_DB,
    PER_ENVELOPE,
    Levels,
    band_levels,
    crossover_band,
    envelopes,
    extrapolated,
    frames_at,
    network_input,
    tonality,
)


def levels(wav: Wav, rate: int, rms_db: float) -> Levels:
    grid = frames_at(rate)
    return band_levels(grid.analyse(wav, first=0), sample_rate=rate, rms_db=rms_db)


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000, 96_000])
def test_white_noise_of_the_bands_own_level_reads_zero_at_any_rate(rate: int) -> None:
    # Noise that fills 24 kHz with RMS 0.1; at another rate the same density per Hz.
    wav = noise(seconds=3, sample_rate=rate, rms=0.1 * np.sqrt(rate / 48_000))
    mean = 10 * np.log10((10 ** (levels(wav, rate, -20.0) / 10)).mean(axis=(0, 1)))
    inside = slice(2, int(0.45 * rate / 93.75) if rate < 48_000 else 250)
    assert abs(float(np.mean(mean[inside]))) < 0.2


def test_louder_music_reads_the_same_when_its_level_is_told() -> None:
    wav = noise(seconds=1)
    assert np.allclose(levels(wav, 48_000, -20), levels(10 * wav, 48_000, 0), atol=1e-3)


def test_silence_reads_the_floor() -> None:
    assert np.all(levels(np.zeros((2, 9600), np.float32), 48_000, -20) == FLOOR_DB)


def test_tones_are_tonal_and_noise_is_not() -> None:
    grid = frames_at(48_000)
    hiss = tonality(grid.analyse(noise(seconds=3), first=0))
    tone = tonality(grid.analyse(sine(5_000, seconds=1) + sine(9_000, seconds=1), first=0))
    assert hiss[:, 10:-10].mean() < 0.1
    assert tone[:, 10:-10, 5_000 // 375].min() > 0.9


def test_wide_bands_hold_the_mean_power_of_their_narrow_ones() -> None:
    narrow = np.full((1, 3, BANDS), -20.0, np.float32)
    narrow[..., :PER_ENVELOPE] = [-10, -np.inf, -np.inf, -np.inf]
    wide = envelopes(narrow)
    assert wide.shape == (1, 3, ENVELOPES)
    assert np.allclose(wide[..., 0], -10 - 10 * np.log10(4))
    assert np.allclose(wide[..., 1:], -20)


def test_the_rule_goes_on_from_the_level_below_the_ceiling() -> None:
    flat = np.full((1, 2, BANDS), -10.0, np.float32)
    said = extrapolated(flat, 80)
    assert np.allclose(said[..., :20], -10)
    assert np.all(np.diff(said[0, 0, 20:]) < 0)
    per_khz = (said[0, 0, 40] - said[0, 0, 24]) / (16 * 0.375)
    assert per_khz == pytest.approx(-2.5, abs=0.01)


def test_what_is_above_the_crossover_cannot_be_seen() -> None:
    heard = np.random.default_rng(0).normal(-20, 5, (1, 4, BANDS)).astype(np.float32)
    other = heard.copy()
    other[..., 100:] = 0.0
    assert np.array_equal(network_input(heard, 100), network_input(other, 100))
    assert crossover_band(100 * 93.75) == 100
