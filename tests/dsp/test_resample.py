import numpy as np
import pytest
import soxr
from tests.signals import click, cut, noise, sine

from nitido.dsp.chunks import join
from nitido.dsp.resample import resample, resampled_length

RATES = [(32_000, 48_000), (44_100, 48_000), (48_000, 32_000), (96_000, 44_100), (8_000, 192_000)]


def resampled(blocks, wav, from_hz, to_hz):
    channels, samples = wav.shape
    return join(
        resample(blocks, from_hz=from_hz, to_hz=to_hz, samples=samples, channels=channels),
        channels=channels,
    )


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@pytest.mark.parametrize("samples", [1, 2, 999, 70_001])
def test_the_length_is_exact(from_hz, to_hz, samples):
    wav = noise(seconds=samples / 48_000, channels=2)
    out = resampled([wav], wav, from_hz, to_hz)
    assert out.shape == (2, resampled_length(samples, from_hz, to_hz))
    assert out.shape[1] == int(np.ceil(samples * to_hz / from_hz))


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_a_stream_resamples_like_the_whole(from_hz, to_hz):
    wav = noise(seconds=3, channels=2)
    whole = soxr.resample(wav.T, from_hz, to_hz, quality="VHQ").T
    out = resampled(cut(wav, 5_000, 123), wav, from_hz, to_hz)
    length = min(whole.shape[1], out.shape[1])
    assert np.abs(out[:, :length] - whole[:, :length]).max() < 1e-6


@pytest.mark.parametrize("sizes", [(1_000,), (65_536,), (1, 100_000)])
def test_the_cut_of_the_stream_does_not_change_a_bit(sizes):
    wav = noise(seconds=3)
    whole = resampled([wav], wav, 44_100, 48_000)
    assert np.array_equal(resampled(cut(wav, *sizes), wav, 44_100, 48_000), whole)


def test_a_tone_is_the_same_tone_at_the_same_time():
    tone = sine(1000, seconds=1, sample_rate=32_000)
    expected = sine(1000, seconds=1, sample_rate=48_000)
    error = (resampled([tone], tone, 32_000, 48_000) - expected)[:, 2000:-2000]
    assert 20 * np.log10(np.abs(error).max() / 0.5) < -100


def test_a_click_stays_where_it_was():
    wav = click(16_000, samples=32_000)
    assert np.argmax(resampled([wav], wav, 32_000, 48_000)[0]) == 24_000


def test_there_and_back_gives_the_music_that_both_rates_hold():
    tone = sine(5_000, sample_rate=32_000)
    up = resampled([tone], tone, 32_000, 48_000)
    back = resampled([up], up, 48_000, 32_000)
    assert np.abs(back - tone)[:, 1000:-1000].max() < 1e-5


def test_equal_rates_pass_untouched():
    wav = noise(seconds=0.1, channels=3)
    assert np.array_equal(resampled(cut(wav, 77), wav, 44_100, 44_100), wav)


def test_channels_do_not_mix():
    wav = np.zeros((3, 48_000), np.float32)
    wav[1] = noise()[0]
    out = resampled([wav], wav, 48_000, 44_100)
    assert not out[[0, 2]].any()
    assert out[1].any()
