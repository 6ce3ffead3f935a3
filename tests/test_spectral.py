from itertools import pairwise

import numpy as np
import pytest
from tests.signals import click, noise, sine

from nitido.spectral import Frames, band, fft_size, hann

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
