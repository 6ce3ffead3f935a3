"""Tone: a lift where it is asked for, nowhere else, and nothing moves."""

import numpy as np
import pytest

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.restoration.stages.tone import Tone

RATE = 48_000


def lift(wav, *, block=None, sample_rate=RATE, **settings):
    channels, samples = wav.shape
    stage = Tone(
        {**Tone.defaults, **settings}, sample_rate=sample_rate, channels=channels, samples=samples
    )
    context = stage.context_samples
    padded = np.pad(wav, ((0, 0), (context, context)))
    block = block or samples
    parts = [
        stage.apply(padded[:, at : min(at + block, samples) + 2 * context], start=at)
        for at in range(0, samples, block)
    ]
    return np.concatenate(parts, axis=1)


def noise(seconds=2.0, channels=2):
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal((channels, round(seconds * RATE)))).astype(np.float32)


def gain_db(hz, *, sample_rate=RATE, **settings):
    time = np.arange(sample_rate // 2) / sample_rate
    tone = np.sin(2 * np.pi * hz * time)[None].astype(np.float32)
    middle = slice(sample_rate // 8, -sample_rate // 8)
    lifted = lift(tone, sample_rate=sample_rate, **settings)
    return 10 * np.log10(np.mean(lifted[:, middle] ** 2) / np.mean(tone[:, middle] ** 2))


def diagnosis(severity):
    return Diagnosis(RATE, 2, RATE, (Finding("comb", 7.0, "dB", severity, "lines"),))


@pytest.mark.parametrize("hz", [1300, 2000, 4000, 6500])
def test_the_band_comes_back_by_its_loss(hz):
    assert gain_db(hz) == pytest.approx(1.3, abs=0.05)


@pytest.mark.parametrize("hz", [50, 200, 600, 10_500, 18_000])
def test_bass_and_air_are_untouched(hz):
    assert gain_db(hz) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("hz", [1000, 8000])
def test_half_of_the_lift_is_reached_at_the_edges(hz):
    assert gain_db(hz) == pytest.approx(0.65, abs=0.05)


def test_a_band_beyond_half_the_sample_rate_goes_on_to_the_top():
    assert gain_db(3500, sample_rate=8_000) == pytest.approx(1.3, abs=0.05)


def test_nothing_shifts_by_a_sample():
    click = np.zeros((1, 2001), np.float32)
    click[0, 1000] = 1
    lifted = lift(click, gain_db=6.0)[0]
    assert lifted.argmax() == 1000
    np.testing.assert_allclose(lifted, lifted[::-1], atol=1e-6)


def test_amount_zero_changes_nothing():
    np.testing.assert_allclose(lift(noise(), amount=0.0), noise(), atol=1e-6)


def test_cut_in_blocks_equals_whole():
    whole = lift(noise())
    for block in (RATE, 7_777):
        assert np.abs(lift(noise(), block=block) - whole).max() < 10 ** (-90 / 20) * 0.5


def test_silence_stays_silent_and_one_sample_is_enough():
    assert not lift(np.zeros((2, 1000), np.float32)).any()
    assert lift(np.ones((2, 1), np.float32)).shape == (2, 1)


def test_only_a_piece_with_a_decoder_comb_is_lifted():
    on = Tone.plan(diagnosis("moderate"), Tone.defaults)
    assert on.on
    assert on.reason == "gives back the 1.3 dB that the codec loses between 1 and 8 kHz"
    assert not Tone.plan(diagnosis("ok"), Tone.defaults).on


def test_the_settings_of_the_caller_are_kept():
    settings = {**Tone.defaults, "gain_db": 0.8, "high_hz": 6000.0}
    assert Tone.plan(diagnosis("moderate"), settings).settings == settings
