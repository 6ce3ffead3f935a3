import csv

import numpy as np
import pytest
import soundfile as sf
from tests.signals import noise, pink_noise, silence, sine

from nitido.dsp.alignment import align, find_alignment, gain_match, loudness_match
from nitido.dsp.loudness import integrated_lufs
from nitido.errors import AudioShapeError

RATE = 48_000


def delayed(wav, lag):
    """The waveform `lag` samples later (or earlier), with noise where it is not."""
    rest = noise(seconds=abs(lag) / RATE, rms=0.01, channels=len(wav), seed=9)
    return np.concatenate([rest, wav], axis=1) if lag > 0 else wav[:, -lag:]


@pytest.mark.parametrize("lag", [0, 1, -1, 37, -1105, 20_000, -24_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_shift_is_found_to_the_sample(lag, channels):
    music = pink_noise(seconds=2.0, channels=channels)
    found = find_alignment(estimate=delayed(music, lag), reference=music, sample_rate=RATE)
    assert found.lag_samples == lag
    assert found.polarity == 1
    assert found.gain_db == pytest.approx(0, abs=0.1)
    assert found.correlation > 0.99


def test_an_upside_down_copy_is_found_with_its_gain():
    music = pink_noise(seconds=1.0)
    found = find_alignment(estimate=-0.5 * delayed(music, 100), reference=music, sample_rate=RATE)
    assert (found.lag_samples, found.polarity) == (100, -1)
    assert found.gain_db == pytest.approx(-6.02, abs=0.05)


@pytest.mark.parametrize("snr_db", [20, 0, -10])
def test_noise_does_not_hide_the_lag_but_lowers_the_correlation(snr_db):
    music = pink_noise(seconds=3.0)
    hiss = noise(seconds=3.0, rms=0.1 * 10 ** (-snr_db / 20), seed=1)
    found = find_alignment(estimate=music + hiss, reference=music, sample_rate=RATE)
    assert found.lag_samples == 0
    share = 1 / np.sqrt(1 + 10 ** (-snr_db / 10))
    assert found.correlation == pytest.approx(share, abs=0.02)


def test_long_pieces_are_aligned_like_short_ones():
    music = pink_noise(seconds=12.0)  # more than is correlated at once
    found = find_alignment(estimate=delayed(music, 777), reference=music, sample_rate=RATE)
    assert found.lag_samples == 777


def test_after_aligning_both_are_equal():
    music = pink_noise(seconds=1.0, channels=2)
    for lag in (500, -500):
        estimate, reference, found = align(
            estimate=-delayed(music, lag), reference=music, sample_rate=RATE
        )
        assert found.lag_samples == lag
        assert estimate.shape == reference.shape
        assert np.array_equal(estimate, reference)


def test_silence_and_one_sample_have_nothing_in_common_with_anything():
    for wav in (silence(), np.zeros((1, 1), np.float32)):
        found = find_alignment(estimate=wav, reference=noise(), sample_rate=RATE)
        assert (found.lag_samples, found.polarity, found.correlation) == (0, 1, 0.0)


def test_gain_matching_says_what_it_did_and_leaves_nothing_over():
    music = pink_noise(seconds=1.0)
    matched, gain_db = gain_match(estimate=music / 4, reference=music)
    assert gain_db == pytest.approx(12.04, abs=0.01)
    assert np.allclose(matched, music, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.1, 3.0])
def test_loudness_matching_makes_equally_loud(seconds):
    loud, quiet = sine(997, seconds=seconds), noise(seconds=seconds, rms=0.01)
    matched, gain_db = loudness_match(estimate=quiet, reference=loud, sample_rate=RATE)
    assert np.allclose(matched, quiet * 10 ** (gain_db / 20), rtol=1e-5)
    levels = [integrated_lufs(wav, sample_rate=RATE) for wav in (matched, loud)]
    if seconds < 0.4:
        levels = [10 * np.log10(np.mean(wav**2)) for wav in (matched, loud)]
    assert levels[0] == pytest.approx(levels[1], abs=0.01)


def test_silence_is_not_raised():
    matched, gain_db = loudness_match(estimate=silence(), reference=noise(), sample_rate=RATE)
    assert gain_db == 0
    assert not matched.any()
    assert gain_match(estimate=silence(), reference=noise())[1] == 0


def test_other_channels_or_no_samples_are_refused():
    for wrong in (noise(channels=2), noise()[:, :0]):
        with pytest.raises(AudioShapeError):
            find_alignment(estimate=wrong, reference=noise(), sample_rate=RATE)


def test_real_coded_files_are_aligned_to_the_sample(shared_audio):
    with (shared_audio / "index.csv").open(newline="", encoding="utf-8") as file:
        pairs = [row for row in csv.DictReader(file) if row["path"].startswith("pairs/")]
    assert pairs
    for row in pairs:
        estimate, reference = (
            sf.read(shared_audio / row[name], dtype="float32", always_2d=True)[0].T.mean(
                axis=0, keepdims=True
            )
            for name in ("path", "reference")
        )
        found = find_alignment(estimate=estimate, reference=reference, sample_rate=RATE)
        assert found.lag_samples == round(float(row["lag_ms"]) * RATE / 1000), row["path"]
