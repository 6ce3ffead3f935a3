import importlib.util

import numpy as np
import pytest
from tests.signals import noise, pink_noise

from nitido import optional
from nitido.demo.render import render
from nitido.dsp.spectral import lower_ceiling
from nitido.errors import AudioShapeError, AudioTooShortError, MissingExtraError
from nitido.metrics import perceptual

RATE = 48_000
needs_visqol = pytest.mark.skipif(
    importlib.util.find_spec("visqol") is None,
    reason="needs visqol-python: pip install 'nitido[metrics]'",
)


@pytest.fixture(scope="module")
def music():
    return render(seconds=4.0)


@needs_visqol
def test_the_same_sound_is_rated_best(music):
    best = perceptual.visqol(estimate=music, reference=music, sample_rate=RATE)
    assert best == pytest.approx(4.73, abs=0.01)


@needs_visqol
def test_visqol_hears_more_noise_and_less_treble(music):
    noisy = [music + noise(seconds=4.0, rms=rms, channels=2) for rms in (0.0, 0.003, 0.01, 0.03)]
    dull = [lower_ceiling(music, sample_rate=RATE, ceiling_hz=hz) for hz in (14e3, 8e3, 3e3)]
    for series in (noisy, dull):
        scores = [
            perceptual.visqol(estimate=wav, reference=music, sample_rate=RATE) for wav in series
        ]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] - scores[-1] > 1


@needs_visqol
def test_other_rates_are_brought_to_48_khz():
    music = pink_noise(seconds=2.0, sample_rate=32_000)
    scores = perceptual.evaluate(estimate=music, reference=music, sample_rate=32_000)
    assert scores["visqol_mos"] == pytest.approx(4.73, abs=0.01)


@needs_visqol
def test_silence_is_the_worst_and_cannot_be_a_reference(music):
    silent = np.zeros_like(music)
    worst = perceptual.visqol(estimate=silent, reference=music, sample_rate=RATE)
    assert worst == pytest.approx(1, abs=0.1)
    assert perceptual.visqol(estimate=music, reference=silent, sample_rate=RATE) is None


def test_less_than_a_second_and_unequal_shapes_are_refused(music):
    short = music[:, :40_000]
    with pytest.raises(AudioTooShortError):
        perceptual.visqol(estimate=short, reference=short, sample_rate=RATE)
    with pytest.raises(AudioShapeError):
        perceptual.visqol(estimate=short, reference=music, sample_rate=RATE)


def test_a_missing_library_is_named_with_the_command_that_adds_it(monkeypatch, music):
    monkeypatch.setattr(optional, "available", lambda module: False)
    perceptual._visqol.cache_clear()
    with pytest.raises(MissingExtraError, match=r"visqol.*pip install 'nitido\[metrics\]'"):
        perceptual.visqol(estimate=music, reference=music, sample_rate=RATE)
