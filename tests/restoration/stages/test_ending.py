"""Ending: a cut is faded, music is not."""

import numpy as np
import pytest

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.restoration.stages.ending import Ending

RATE = 32_000


def noise(seconds=10.0, channels=2):
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal((channels, round(seconds * RATE)))).astype(np.float32)


def fade(wav, *, block=None, **settings):
    channels, samples = wav.shape
    stage = Ending(
        {**Ending.defaults, **settings}, sample_rate=RATE, channels=channels, samples=samples
    )
    assert stage.context_samples == 0
    block = block or samples
    parts = [stage.apply(wav[:, at : at + block], start=at) for at in range(0, samples, block)]
    return np.concatenate(parts, axis=1)


def diagnosis(*, cut=False, click=False, seconds=10.0):
    start = Finding("start", -90.0, "dBFS", "ok", "", details={"click": click})
    end = Finding("end", -20.0, "dBFS", "ok", "", details={"cut": cut, "level_dbfs": -20.0})
    return Diagnosis(RATE, 1, round(seconds * RATE), (start, end))


def test_a_fade_out_ends_in_silence_and_never_gets_louder():
    faded = fade(np.ones((1, RATE), np.float32), fade_out_seconds=0.1)[0]
    assert faded[-1] == 0
    assert np.all(np.diff(faded) <= 0)
    assert np.all(faded[: -RATE // 10] == 1)


def test_a_fade_in_starts_in_silence_and_leaves_the_rest_alone():
    wav = noise(1.0)
    faded = fade(wav, fade_in_ms=2.0)
    assert not faded[:, 0].any()
    np.testing.assert_array_equal(faded[:, 64:], wav[:, 64:])


def test_the_planned_fade_keeps_at_least_25_db_of_the_music():
    wav = noise(10.0, channels=1)
    step = Ending.plan(diagnosis(cut=True), Ending.defaults)
    faded, reference = fade(wav, **step.settings)[0].astype(float), wav[0].astype(float)
    scaled = reference * (faded @ reference) / (reference @ reference)
    error = faded - scaled
    assert 10 * np.log10((scaled @ scaled) / (error @ error)) > 25


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, 0.08), (30.0, 0.15), (600.0, 0.3)])
def test_a_cut_gets_a_fade_of_half_a_percent(seconds, expected):
    step = Ending.plan(diagnosis(cut=True, seconds=seconds), Ending.defaults)
    assert step.on
    assert step.settings["fade_out_seconds"] == expected
    assert step.settings["fade_in_ms"] == 0


def test_a_click_at_the_start_gets_two_milliseconds():
    step = Ending.plan(diagnosis(click=True), Ending.defaults)
    assert step.on
    assert step.settings["fade_in_ms"] == 2.0
    assert step.settings["fade_out_seconds"] == 0


def test_music_that_ends_by_itself_is_not_faded():
    assert not Ending.plan(diagnosis(), Ending.defaults).on


def test_a_loop_is_never_faded():
    step = Ending.plan(diagnosis(cut=True, click=True), {**Ending.defaults, "loop": True})
    assert not step.on
    assert "loop" in step.reason


def test_what_the_caller_asks_for_goes_before_the_diagnosis():
    asked = {**Ending.defaults, "fade_out_seconds": 3.0}
    for cut in (False, True):
        step = Ending.plan(diagnosis(cut=cut), asked)
        assert step.on
        assert step.settings["fade_out_seconds"] == 3.0


def test_cut_in_blocks_equals_whole():
    wav = noise(3.0)
    whole = fade(wav, fade_in_ms=50.0, fade_out_seconds=1.5)
    for block in (RATE, 1000, 77_777):
        blocks = fade(wav, block=block, fade_in_ms=50.0, fade_out_seconds=1.5)
        np.testing.assert_array_equal(blocks, whole)


def test_a_fade_longer_than_the_piece_uses_what_there_is():
    for samples in (1, 2, 100):
        faded = fade(np.ones((1, samples), np.float32), fade_out_seconds=1.0)
        assert faded.shape == (1, samples)
        assert faded[0, -1] == 0
