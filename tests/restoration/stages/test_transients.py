"""Transients: strokes get sharper, everything that lasts stays as it is."""

import numpy as np
import pytest

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.restoration.stages.transients import Transients, percussive_mask

RATE = 48_000
TIME = np.arange(3 * RATE) / RATE
STROKES = tuple(RATE // 2 * k + 37 * k for k in range(1, 6))


def sharpen(wav, *, block=None, sample_rate=RATE, **settings):
    channels, samples = wav.shape
    stage = Transients(
        {**Transients.defaults, **settings},
        sample_rate=sample_rate,
        channels=channels,
        samples=samples,
    )
    context = stage.context_samples
    padded = np.pad(wav, ((0, 0), (context, context)))
    block = block or samples
    parts = [
        stage.apply(padded[:, at : min(at + block, samples) + 2 * context], start=at)
        for at in range(0, samples, block)
    ]
    return np.concatenate(parts, axis=1)


def chord():
    return 0.1 * sum(np.sin(2 * np.pi * hz * TIME) for hz in (220, 277.2, 329.6, 440))


def drums():
    """Return short strokes of noise, one every half second."""
    rng = np.random.default_rng(1)
    wav = np.zeros(len(TIME))
    for at in STROKES:
        length = min(RATE // 10, len(wav) - at)
        decay = np.exp(-np.arange(length) / RATE / 0.02)
        wav[at : at + length] += 0.4 * decay * rng.standard_normal(length)
    return wav


def as_wav(*channels):
    return np.stack(channels).astype(np.float32)


def rms_db(wav):
    return 10 * np.log10(np.mean(wav**2) + 1e-20)


def diagnosis(severity):
    return Diagnosis(RATE, 1, RATE, (Finding("comb", 7.0, "dB", severity, "lines"),))


def test_the_attack_of_a_stroke_is_lifted_and_its_tail_is_not():
    wav = as_wav(drums())
    sharp = sharpen(wav)
    for at in STROKES:
        attack, tail = slice(at + 64, at + 480), slice(at + 2400, at + 4000)
        assert 1.5 < rms_db(sharp[:, attack]) - rms_db(wav[:, attack]) <= 3.05
        assert abs(rms_db(sharp[:, tail]) - rms_db(wav[:, tail])) < 0.1


def test_nothing_sounds_before_the_stroke():
    wav = as_wav(chord() + drums())
    change = sharpen(wav) - wav
    for at in STROKES:
        assert not change[:, at - 4000 : at - RATE // 750].any()
        assert rms_db(change[:, at - 240 : at]) < rms_db(change[:, at : at + 480]) - 20


STEADY = {
    "tone": 0.5 * np.sin(2 * np.pi * 440 * TIME),
    "chord": chord(),
    "vibrato": 0.5 * np.sin(2 * np.pi * 440 * TIME + 3 * np.sin(2 * np.pi * 6 * TIME)),
    "tremolo": np.sin(2 * np.pi * 440 * TIME) * (0.5 + 0.4 * np.sin(2 * np.pi * 5 * TIME)),
    "hum": 0.8 * np.sin(2 * np.pi * 50 * TIME),
    "noise": 0.1 * np.random.default_rng(0).standard_normal(len(TIME)),
    "rumble": 0.002 * np.cumsum(np.random.default_rng(0).standard_normal(len(TIME))),
}


@pytest.mark.parametrize("sound", STEADY)
def test_steady_sound_is_never_lifted(sound):
    wav = as_wav(STEADY[sound])
    change = (sharpen(wav) - wav)[:, RATE // 4 : -RATE // 4]  # it does begin and end abruptly
    assert not change.any()


def test_both_sides_of_a_stereo_stroke_are_lifted_alike():
    wav = as_wav(drums(), 0.5 * drums())
    left, right = sharpen(wav)
    np.testing.assert_allclose(right, 0.5 * left, atol=1e-5)


def test_cut_in_blocks_equals_whole():
    wav = as_wav(chord() + drums(), drums())
    whole = sharpen(wav)
    for block in (RATE, 7 * RATE // 3, 12_345):
        assert np.abs(sharpen(wav, block=block) - whole).max() < 10 ** (-90 / 20) * 0.5


@pytest.mark.parametrize("sample_rate", [8_000, 44_100, 192_000])
def test_any_sample_rate_works_in_blocks_as_whole(sample_rate):
    wav = as_wav(chord() + drums())
    whole = sharpen(wav, sample_rate=sample_rate)
    blocks = sharpen(wav, sample_rate=sample_rate, block=30_011)
    assert np.abs(whole - wav).max() > 0.01
    assert np.abs(blocks - whole).max() < 10 ** (-90 / 20) * 0.5


def test_silence_stays_silent_and_one_sample_is_enough():
    assert not sharpen(np.zeros((2, 5000), np.float32)).any()
    assert sharpen(np.ones((2, 1), np.float32)).shape == (2, 1)


def test_the_mask_knows_a_tone_from_a_click():
    mag = np.full((60, 400), 1e-3, np.float32)
    mag[:, 100] = 1  # lasts: a line along time
    mag[30, :] += 0.5  # a stroke: a line along frequency
    mask = percussive_mask(mag)
    assert mask[10, 100] < 0.01
    assert mask[30, 250] > 0.99


def test_only_a_piece_with_a_decoder_comb_is_sharpened():
    assert Transients.plan(diagnosis("moderate"), Transients.defaults).on
    assert not Transients.plan(diagnosis("ok"), Transients.defaults).on
    assert not Transients.plan(diagnosis("moderate"), {"gain_db": 3.0, "amount": 0.0}).on


def test_the_settings_of_the_caller_are_kept():
    settings = {"gain_db": 2.0, "amount": 0.5}
    assert Transients.plan(diagnosis("moderate"), settings).settings == settings
