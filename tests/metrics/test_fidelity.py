import math

import numpy as np
import pytest
from tests.signals import noise, pink_noise, silence, sine

from nitido.dsp.spectral import lower_ceiling
from nitido.errors import AudioShapeError, AudioTooShortError
from nitido.metrics import fidelity
from nitido.metrics.catalogue import CATALOGUE

RATE = 48_000
WORSE_DB = (-50, -40, -30, -20, -10)  # noise, from hardly any to much


@pytest.fixture(scope="module")
def music():
    return pink_noise(seconds=2.0, channels=2) + sine(440, seconds=2.0, channels=2, amplitude=0.1)


def noisy(music, level_db, seed=7):
    """The music with white noise at that level under it."""
    hiss = noise(seconds=music.shape[1] / RATE, rms=1.0, channels=len(music), seed=seed)
    return music + hiss * float(music.std()) * np.float32(10 ** (level_db / 20))


@pytest.mark.parametrize("level_db", WORSE_DB)
def test_noise_at_minus_20_db_gives_20_db(music, level_db):
    estimate = noisy(music, level_db)
    for ratio in (fidelity.sdr_db, fidelity.si_sdr_db):
        assert ratio(estimate=estimate, reference=music) == pytest.approx(-level_db, abs=0.1)


def test_a_gain_does_not_matter_to_si_sdr_but_to_sdr(music):
    estimate = noisy(music, -30)
    same = fidelity.si_sdr_db(estimate=estimate, reference=music)
    assert fidelity.si_sdr_db(estimate=0.5 * estimate, reference=music) == pytest.approx(same)
    half = fidelity.sdr_db(estimate=0.5 * music, reference=music)
    assert half == pytest.approx(6.02, abs=0.01)
    assert fidelity.si_sdr_db(estimate=-music, reference=music) == np.inf


def test_noise_outside_the_band_is_not_in_the_band(music):
    hiss = sine(14_000, seconds=2.0, channels=2, amplitude=0.3)
    pair = {"estimate": music + hiss, "reference": music, "sample_rate": RATE}
    assert fidelity.si_sdr_db(estimate=music + hiss, reference=music) < 0
    assert fidelity.protected_si_sdr_db(**pair) > 40
    by_band = fidelity.sdr_by_band_db(**pair)
    assert by_band["sdr_1_to_4_khz_db"] > 40
    assert by_band["sdr_8_to_16_khz_db"] < 0


def test_white_noise_in_white_noise_has_one_ratio_in_every_band():
    music = noise(seconds=3.0, channels=2)
    by_band = fidelity.sdr_by_band_db(estimate=noisy(music, -20), reference=music, sample_rate=RATE)
    assert list(by_band.values()) == pytest.approx([20] * 6, abs=0.5)


def test_a_band_above_the_sample_rate_has_no_value(music):
    scores = fidelity.evaluate(estimate=music, reference=music, sample_rate=16_000)
    none = {name for name, value in scores.items() if value is None}
    assert none == {
        "sdr_8_to_16_khz_db", "sdr_above_16_khz_db", "lsd_8_to_16_khz_db", "lsd_above_16_khz_db"
    }  # fmt: skip
    bands = {"low_hz": 16_000.0, "sample_rate": 16_000}
    assert math.isnan(fidelity.log_spectral_distance_db(estimate=music, reference=music, **bands))


def test_6_db_less_is_a_spectral_distance_of_6_db(music):
    pair = {"estimate": 0.5 * music, "reference": music, "sample_rate": RATE}
    assert fidelity.log_spectral_distance_db(**pair) == pytest.approx(6.02, abs=0.01)
    assert fidelity.mel_l1_db(**pair) == pytest.approx(6.02, abs=0.01)


def test_below_the_floor_nothing_is_different():
    quiet = noise(rms=1e-7)
    pair = {"estimate": silence(), "reference": quiet, "sample_rate": RATE}
    assert fidelity.log_spectral_distance_db(**pair) == 0
    assert fidelity.mel_l1_db(**pair) == 0


def test_a_lower_ceiling_is_a_distance_above_it_only(music):
    dull = lower_ceiling(music, sample_rate=RATE, ceiling_hz=9000.0)
    distances = fidelity.log_spectral_distances_db(estimate=dull, reference=music, sample_rate=RATE)
    assert distances["lsd_below_8_khz_db"] < 2
    assert distances["lsd_8_to_16_khz_db"] > 20
    assert distances["lsd_above_16_khz_db"] > 20


def test_equal_signals_score_best(music):
    scores = fidelity.evaluate(estimate=music, reference=music, sample_rate=RATE)
    assert set(scores) == {measure.name for measure in CATALOGUE["fidelity"]}
    for measure in CATALOGUE["fidelity"]:
        best = fidelity.SDR_LIMIT_DB if measure.better == "higher" else 0
        assert scores[measure.name] == best, measure.name


def test_more_noise_scores_worse_by_every_measure(music):
    scores = [
        fidelity.evaluate(estimate=noisy(music, level), reference=music, sample_rate=RATE)
        for level in WORSE_DB
    ]
    for measure in CATALOGUE["fidelity"]:
        values = [found[measure.name] for found in scores]
        assert values == sorted(values, reverse=measure.better == "higher"), measure.name
        assert len(set(values)) == len(values), measure.name


def test_a_fault_in_one_of_two_channels_counts_half(music):
    one = music.copy()
    one[0] *= 0.5
    both = 0.5 * music
    for distance in (fidelity.log_spectral_distance_db, fidelity.mel_l1_db):
        half = distance(estimate=one, reference=music, sample_rate=RATE)
        whole = distance(estimate=both, reference=music, sample_rate=RATE)
        assert half == pytest.approx(whole / 2, rel=1e-4)


def test_a_long_piece_is_measured_in_parts_like_the_whole(monkeypatch):
    music = pink_noise(seconds=1.0)
    pair = {"estimate": noisy(music, -20), "reference": music, "sample_rate": RATE}
    whole = fidelity.evaluate(**pair)
    monkeypatch.setattr(fidelity, "_PART_SAMPLES", 10_000)
    assert fidelity.evaluate(**pair) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("sample_rate", [8000, 44_100, 192_000])
@pytest.mark.parametrize("samples", [1, 100, 1025, 5000])
def test_any_length_and_rate_gives_numbers(sample_rate, samples):
    music = noise(seconds=1.0)[:, :samples]
    scores = fidelity.evaluate(estimate=0.9 * music, reference=music, sample_rate=sample_rate)
    assert all(value is None or math.isfinite(value) for value in scores.values())


@pytest.mark.parametrize("rms", [0.1, 1e-4])
def test_the_rounding_of_single_precision_is_no_difference_and_four_times_that_is_one(rms):
    music, side = noise(seconds=2.0, rms=rms), noise(seconds=2.0, rms=rms, seed=1)
    rounded = ((music + side) + (music - side)) / 2
    moved = music + np.float32(4 * fidelity.ROUNDING * np.abs(music).max())
    same, other = (
        fidelity.difference(estimate=estimate, reference=music, sample_rate=RATE)
        for estimate in (rounded, moved)
    )
    assert not np.array_equal(rounded, music)
    assert not same.error.any()
    assert other.error.any()


def test_silence_gives_numbers_as_well():
    for estimate, reference in ((noise(), silence()), (silence(), noise()), (silence(),) * 2):
        scores = fidelity.evaluate(estimate=estimate, reference=reference, sample_rate=RATE)
        assert all(value is None or math.isfinite(value) for value in scores.values())


def test_unequal_shapes_and_too_short_pieces_are_refused(music):
    with pytest.raises(AudioShapeError):
        fidelity.evaluate(estimate=music[:, 1:], reference=music, sample_rate=RATE)
    with pytest.raises(AudioShapeError):
        fidelity.sdr_db(estimate=music[:, :0], reference=music[:, :0])
    with pytest.raises(AudioTooShortError):
        fidelity.multi_resolution_stft(estimate=music[:, :1024], reference=music[:, :1024])
