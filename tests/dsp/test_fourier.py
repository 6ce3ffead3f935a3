"""numpy says what scipy would: nitido loads no scipy to restore a piece."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.signal
from tests.signals import noise, sine

from nitido.diagnosis.edges import band_pass
from nitido.dsp.chunks import GRID_SAMPLES
from nitido.dsp.fourier import (
    convolve,
    fast_size,
    irfft,
    kaiser_low_pass,
    rfft,
)
from nitido.dsp.loudness import WeightedPower, k_weighting
from nitido.dsp.spectral import running_max, running_mean


def db(error: np.ndarray, of: np.ndarray) -> float:
    return 10 * np.log10(np.mean(np.abs(error) ** 2) / np.mean(np.abs(of) ** 2) + 1e-30)


@pytest.mark.parametrize("size", [512, 1125, 24_576])
def test_a_spectrum_is_that_of_scipy_in_the_precision_of_the_sound(size):
    frames = noise(seconds=1, channels=3)[:, :1000]
    spec = scipy.fft.rfft(frames, size)
    assert rfft(frames, size).dtype == np.complex64
    assert db(rfft(frames, size) - spec, spec) < -130
    assert db(irfft(spec, size) - scipy.fft.irfft(spec, size), frames) < -130


def test_a_spectrum_does_not_depend_on_what_is_transformed_beside_it():
    frames = noise(seconds=1, channels=7)
    assert np.array_equal(rfft(frames)[5], rfft(frames[5]))


def test_fast_sizes_are_those_of_scipy():
    sizes = [*range(1, 2000), 11_025, 44_101, 1_000_003]
    fast = [scipy.fft.next_fast_len(size, real=True) for size in sizes]
    assert [fast_size(size) for size in sizes] == fast


@pytest.mark.parametrize(("middle_hz", "width_hz", "stop_db"), [(14, 12, 60.0), (9000, 400, 100.0)])
def test_a_low_pass_is_that_of_scipy(middle_hz, width_hz, stop_db):
    length, beta = scipy.signal.kaiserord(stop_db, width_hz * 2 / 48_000)
    taps = scipy.signal.firwin(length | 1, middle_hz, window=("kaiser", beta), fs=48_000)
    found = kaiser_low_pass(middle_hz, width_hz=width_hz, stop_db=stop_db, sample_rate=48_000)
    assert found == pytest.approx(taps, abs=1e-15)


@pytest.mark.parametrize("samples", [999, 1000, 50_000])
def test_a_filter_gives_what_scipy_gives(samples):
    wav, taps = noise(seconds=2, channels=2)[:, :samples], noise(seconds=1)[0, :999]
    exact = (wav.astype(float), taps[None].astype(float))
    wanted = scipy.signal.oaconvolve(*exact, mode="valid", axes=1)
    assert convolve(wav, taps).shape == wanted.shape
    assert db(convolve(wav, taps) - wanted, wanted) < -140
    assert db(convolve(wav, taps, precision=np.float32) - wanted, wanted) < -115


def test_a_piece_filtered_in_blocks_is_to_the_bit_the_piece_filtered_whole():
    wav, taps = noise(seconds=2, channels=2), noise(seconds=1)[0, :999]
    whole, start = convolve(wav, taps), 2 * GRID_SAMPLES
    parts = [convolve(wav[:, : start + 998], taps), convolve(wav[:, start:], taps)]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("sample_rate", [8000, 44_100, 192_000])
def test_loudness_is_weighted_as_by_the_recursive_filters_of_the_standard(sample_rate):
    wav = noise(seconds=1, sample_rate=sample_rate, channels=2)
    wav += sine(20, seconds=1, sample_rate=sample_rate) + np.float32(0.5)
    wanted = (scipy.signal.sosfilt(k_weighting(sample_rate), wav.astype(float)) ** 2).sum(axis=0)
    meter = WeightedPower(sample_rate, 2)
    found = np.concatenate([meter.update(wav[:, :777]), meter.update(wav[:, 777:])])
    assert db(found - wanted, wanted) < -115


def test_a_click_is_heard_through_the_band_pass_of_scipy():
    head = noise(seconds=0.02, channels=2)
    sections = scipy.signal.butter(2, (3000, 7000), "bandpass", fs=48_000, output="sos")
    wanted = scipy.signal.sosfilt(sections, head.astype(float), axis=1)
    assert db(band_pass(head, 3000, 7000, 48_000) - wanted, wanted) < -140


@pytest.mark.parametrize("size", [1, 2, 3, 13, 37, 64])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_running_mean_is_that_of_scipy(size, axis):
    values = noise(seconds=1)[0, :24_000].reshape(20, 30, 40) ** 2
    wanted = scipy.ndimage.uniform_filter1d(values.astype(float), size, axis, mode="nearest")
    assert db(running_mean(values, size, axis=axis) - wanted, wanted) < -130


def test_a_running_mean_in_blocks_is_to_the_bit_that_of_the_whole():
    values = noise(seconds=1)[0, :3000].reshape(1000, 3) ** 2
    whole = running_mean(values, 37, axis=0)
    assert np.array_equal(running_mean(values[100:], 37, axis=0)[18:], whole[118:])


@pytest.mark.parametrize("size", [1, 2, 7, 16, 100])
def test_a_running_maximum_is_the_highest_of_each_window(size):
    values = np.random.default_rng(2).normal(size=100).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(values, size)
    assert np.array_equal(running_max(values, size), windows.max(axis=1))
