"""The demo piece: full band, stereo, in time, and it comes to an end."""

import numpy as np
import pyloudnorm
import pytest

from nitido.demo.render import render
from nitido.errors import ConfigError, SampleRateError

RATE = 48_000


@pytest.fixture(scope="module")
def piece():
    return render(0)


def octave_db(wav, centre_hz):
    power = np.mean(np.abs(np.fft.rfft(wav, axis=1)) ** 2, axis=0)
    hz = np.fft.rfftfreq(wav.shape[1], 1 / RATE)
    inside = (hz > centre_hz / 2**0.5) & (hz < centre_hz * 2**0.5)
    return 10 * np.log10(power[inside].sum() / power.sum())


def test_it_is_stereo_of_the_length_asked_and_peaks_below_minus_one_dbfs(piece):
    assert piece.shape == (2, 12 * RATE)
    assert piece.dtype == np.float32
    assert 0.7 < np.abs(piece).max() <= 10 ** (-1 / 20)


def test_it_has_a_true_top_octave(piece):
    assert -35 < octave_db(piece, 16_000) < -20


def test_its_spectrum_falls_like_that_of_music(piece):
    levels = [octave_db(piece, hz) for hz in (125, 1000, 4000, 16_000)]
    assert levels == sorted(levels, reverse=True)


def test_it_is_neither_mono_nor_out_of_phase(piece):
    assert 0.3 < np.corrcoef(piece)[0, 1] < 0.95


def test_it_is_about_as_loud_as_music_is(piece):
    assert -18 < pyloudnorm.Meter(RATE).integrated_loudness(piece.T.astype(float)) < -12


def test_it_ends_by_itself(piece):
    def level_db(begin, end):
        return 10 * np.log10(np.mean(piece[:, round(begin * RATE) : round(end * RATE)] ** 2))

    assert level_db(11.98, 12.0) < -80
    assert level_db(8.6, 9.1) > level_db(9.6, 10.1) > level_db(10.6, 11.1) > level_db(11.5, 12)


def test_its_beat_is_112_per_minute(piece):
    sound = piece.mean(axis=0)[: 8 * RATE]
    level = np.abs(np.diff(sound, prepend=0)).reshape(-1, RATE // 100).sum(axis=1)
    onsets = np.maximum(np.diff(level), 0)
    onsets -= onsets.mean()

    def likeness(lag_seconds):
        lag = round(100 * lag_seconds)
        return float(onsets[lag:] @ onsets[:-lag])

    beat = 60 / 112
    assert likeness(beat) > 2 * max(likeness(0.8 * beat), likeness(1.2 * beat))


def test_the_same_seed_gives_the_same_samples_and_another_seed_another_tune():
    first, again, other = (render(seed, seconds=3.0) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


@pytest.mark.parametrize("seconds", [0.001, 1.0, 3.0])
@pytest.mark.parametrize("sample_rate", [8_000, 44_100])
def test_any_length_and_sample_rate_can_be_rendered(seconds, sample_rate):
    wav = render(0, seconds=seconds, sample_rate=sample_rate)
    assert wav.shape == (2, round(seconds * sample_rate))
    assert np.isfinite(wav).all()


def test_no_length_and_no_sample_rate_are_refused():
    with pytest.raises(ConfigError):
        render(seconds=0)
    with pytest.raises(SampleRateError):
        render(sample_rate=1000)
