from itertools import pairwise

import numpy as np
import pytest
from tests.signals import click, noise, sine

from nitido.dsp.spectral import Frames, band, fft_size, hann, lower_ceiling
from nitido.errors import ConfigError

RATE = 48_000
GRID = Frames(n_fft=1024, hop_length=256)


def test_a_full_scale_sine_stands_at_a_quarter_of_the_frame():
    tone = sine(48_000 * 64 / 1024, amplitude=1.0, seconds=0.5)
    spec = GRID.analyse(tone, first=0)
    assert np.allclose(np.abs(spec[0, :, 64]), 1024 / 4, rtol=1e-4)


def test_white_noise_has_the_power_that_the_module_promises():
    spec = GRID.analyse(noise(seconds=4, rms=0.1), first=0)
    power = np.mean(np.abs(spec[0, :, 8:-8]) ** 2)
    assert power == pytest.approx(0.1**2 * 3 / 8 * 1024, rel=0.02)


def test_an_unchanged_spectrum_gives_back_the_sound():
    wav = noise(seconds=0.5, channels=2)
    spec = GRID.analyse(wav, first=-300)
    back = GRID.synthesise(spec, first=-300, length=wav.shape[1])
    inner = slice(GRID.n_fft, -GRID.n_fft)
    error = np.abs(back - wav)[:, inner].max()
    assert 20 * np.log10(error / 0.1) < -110


@pytest.mark.parametrize("first", [0, 1, 255, 256, 1000, 12_345])
def test_frames_do_not_depend_on_how_the_piece_was_cut(first):
    wav = noise(seconds=0.5)
    whole = GRID.analyse(wav, first=0)
    part = GRID.analyse(wav[:, first:], first=first)
    shown = [k - GRID.indices(0, wav.shape[1]).start for k in GRID.indices(first, 24_000 - first)]
    assert np.array_equal(part, whole[:, shown])


@pytest.mark.parametrize("chosen", [[], [0], [3, 4, 9]])
def test_a_few_frames_are_synthesised_as_they_are_among_silent_ones(chosen):
    spec = GRID.analyse(noise(seconds=0.1, channels=2), first=-300)
    silent = np.setdiff1d(np.arange(spec.shape[1]), chosen)
    few, among = spec[:, chosen], spec.copy()
    among[:, silent] = 0
    whole = GRID.synthesise(among, first=-300, length=4800)
    some = GRID.synthesise(few, first=-300, length=4800, chosen=np.array(chosen, int))
    assert np.allclose(some, whole, rtol=0, atol=1e-7)


def test_the_frame_centred_on_a_click_sees_it_best():
    spec = GRID.analyse(click(10 * 256, samples=8192), first=0)
    energy = np.sum(np.abs(spec[0]) ** 2, axis=1)
    assert GRID.indices(0, 8192)[int(np.argmax(energy))] == 10


def test_what_is_shorter_than_a_frame_has_no_frames_and_synthesises_to_silence():
    spec = GRID.analyse(noise(seconds=0.01), first=0)
    assert spec.shape == (1, 0, 513)
    assert not GRID.synthesise(spec, first=0, length=480).any()


def test_neighbouring_bands_share_no_bin_and_leave_none_out():
    edges = [0, 440, 1000, 5000, 24_001]
    bins = [
        k
        for low, high in pairwise(edges)
        for k in range(513)[band(low, high, n_fft=1024, sample_rate=48_000)]
    ]
    assert bins == list(range(513))


def test_the_window_is_periodic_and_cannot_be_written_to():
    window = hann(8)
    assert np.allclose(window + np.roll(window, 4), 1)
    with pytest.raises(ValueError, match="read-only"):
        window[0] = 1


@pytest.mark.parametrize(("rate", "size"), [(16_000, 1024), (32_000, 2048), (48_000, 2048)])
def test_frames_of_about_fifty_milliseconds_at_any_rate(rate, size):
    assert fft_size(0.05, sample_rate=rate) == size


def test_nothing_is_left_above_the_ceiling_and_all_below_is_kept():
    wav = noise(channels=2)
    lowered = lower_ceiling(wav, sample_rate=RATE, ceiling_hz=16_000)
    assert lowered.shape == wav.shape
    window = np.hanning(wav.shape[1])
    before, after = (np.abs(np.fft.rfft(w * window)) ** 2 for w in (wav, lowered))
    hz = np.fft.rfftfreq(wav.shape[1], 1 / RATE)
    above, below = hz > 16_050, (hz > 20) & (hz < 15_550)
    assert 10 * np.log10(after[:, above].sum() / before[:, above].sum()) < -80
    assert abs(10 * np.log10(after[:, below].sum() / before[:, below].sum())) < 0.01


def test_a_tone_below_the_ceiling_keeps_its_place():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)[None].astype(np.float32)
    lowered = lower_ceiling(tone, sample_rate=RATE, ceiling_hz=12_000)
    middle = slice(2000, -2000)
    np.testing.assert_allclose(lowered[:, middle], tone[:, middle], atol=1e-4)


def test_a_ceiling_at_half_the_sample_rate_changes_nothing():
    np.testing.assert_array_equal(
        lower_ceiling(noise(channels=2), sample_rate=RATE, ceiling_hz=24e3), noise(channels=2)
    )


def test_any_length_works():
    for samples in (0, 1, 100):
        wav = noise(seconds=samples / RATE, channels=2)
        assert lower_ceiling(wav, sample_rate=RATE, ceiling_hz=16_000).shape == wav.shape


def test_a_ceiling_that_leaves_no_music_is_refused():
    with pytest.raises(ConfigError):
        lower_ceiling(noise(channels=2), sample_rate=RATE, ceiling_hz=0)
