"""The planted comb: lines at the decoder's rates, at the heights that MusicGen shows."""

import numpy as np
import pytest
import scipy.ndimage

from nitido.demo.comb import HEIGHT_DB, add_comb, power_ratio

RATE = 32_000
N_FFT = 16_384


def noise(seconds=20.0, channels=1):
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal((channels, round(seconds * RATE)))).astype(np.float32)


def heights_db(wav, lines_hz):
    """Return how far each line stands above the local median of the time-averaged log spectrum."""
    frames = np.lib.stride_tricks.sliding_window_view(wav[0], N_FFT)[:: N_FFT // 2]
    power = np.abs(np.fft.rfft(frames * np.hanning(N_FFT), axis=1)) ** 2
    mean_db = 10 * np.log10(power + 1e-12).mean(axis=0)
    local_db = scipy.ndimage.median_filter(mean_db, 61)
    bins = np.round(np.asarray(lines_hz) * N_FFT / RATE).astype(int)
    return mean_db[bins[:, None] + np.arange(-1, 2)].max(axis=1) - local_db[bins]


GRIDS = {
    8000: [8000],
    2000: [2000, 4000, 6000, 10_000, 12_000, 14_000],
    400: [hz for hz in range(400, 16_000, 400) if hz % 2000],
    50: [hz for hz in range(550, 15_900, 50) if hz % 400],
}


@pytest.mark.parametrize("spacing", GRIDS)
def test_lines_stand_at_the_heights_measured_on_musicgen(spacing):
    combed = add_comb(noise(), sample_rate=RATE, seed=1)
    assert heights_db(combed, GRIDS[spacing]).mean() == pytest.approx(HEIGHT_DB[spacing], abs=1.2)


def test_between_the_lines_nothing_is_added():
    control = [hz + 23 for hz in range(550, 15_900, 50)]
    before = heights_db(noise(), control).mean()
    assert heights_db(add_comb(noise(), sample_rate=RATE), control).mean() < before + 0.3


def test_a_higher_comb_reads_higher():
    means = [
        heights_db(add_comb(noise(), sample_rate=RATE, level_db=level), GRIDS[400]).mean()
        for level in (-3.0, 0.0, 6.0)
    ]
    assert means == sorted(means)
    assert means[2] - means[1] == pytest.approx(6.0, abs=1.0)


def test_the_lines_fall_silent_with_the_music():
    wav = noise(12.0)
    wav[:, 5 * RATE : 8 * RATE] = 0
    combed = add_comb(wav, sample_rate=RATE)
    assert np.abs(combed[:, 6 * RATE : 7 * RATE]).max() < 1e-5
    assert not add_comb(np.zeros((1, RATE), np.float32), sample_rate=RATE).any()


def test_lines_are_the_same_at_any_sample_rate_that_holds_them():
    for rate in (11_025, 44_100, 48_000):
        wav = noise(2.0)
        added = add_comb(wav, sample_rate=rate)[0] - wav[0]
        spectrum = np.abs(np.fft.rfft(added * np.hanning(len(added))))
        hz = np.fft.rfftfreq(len(added), 1 / rate)
        assert hz[spectrum[hz < 1900].argmax()] % 50 == pytest.approx(0, abs=1)
        peak_hz = hz[(hz > 3900) & (hz < 4100)][spectrum[(hz > 3900) & (hz < 4100)].argmax()]
        assert peak_hz == pytest.approx(4000, abs=1)


def test_the_same_seed_gives_the_same_lines():
    first, again = (add_comb(noise(1.0), sample_rate=RATE, seed=3) for _ in range(2))
    other = add_comb(noise(1.0), sample_rate=RATE, seed=4)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_any_length_and_any_channels_work():
    for shape in ((1, 0), (1, 1), (3, 1000)):
        combed = add_comb(np.ones(shape, np.float32), sample_rate=RATE)
        assert combed.shape == shape
        assert combed.dtype == np.float32


def test_a_line_as_strong_as_the_noise_stands_three_and_a_half_db_above_it():
    """log 1 + E₁(1) + γ = 0.797 nepers of power."""
    assert power_ratio(10 / np.log(10) * 0.7966) == pytest.approx(1.0, abs=0.001)
