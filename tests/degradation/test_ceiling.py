"""The ceiling: nothing above, everything below."""

import numpy as np
import pytest

from nitido.degradation import lower_ceiling
from nitido.errors import ConfigError

RATE = 48_000


def noise(samples=RATE, channels=2):
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal((channels, samples))).astype(np.float32)


def test_nothing_is_left_above_the_ceiling_and_all_below_is_kept():
    wav = noise()
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
        lower_ceiling(noise(), sample_rate=RATE, ceiling_hz=24e3), noise()
    )


def test_any_length_works():
    for samples in (0, 1, 100):
        wav = noise(samples)
        assert lower_ceiling(wav, sample_rate=RATE, ceiling_hz=16_000).shape == wav.shape


def test_a_ceiling_that_leaves_no_music_is_refused():
    with pytest.raises(ConfigError):
        lower_ceiling(noise(), sample_rate=RATE, ceiling_hz=0)
