"""Widening: what mono listeners keep, what stereo listeners get."""

import numpy as np
import pytest
import soundfile
from scipy import signal

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.restoration.stages.width import Width

RATE = 48_000


def music(seconds=3.0, channels=1, seed=0):
    """Pink noise in bursts: energy everywhere, most of it low."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(round(seconds * RATE)))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 30))
    wav = np.fft.irfft(spectrum, round(seconds * RATE))
    wav *= 0.1 / wav.std() * (0.6 + 0.4 * np.sin(np.arange(len(wav)) / RATE * 11))
    return np.repeat(wav[None], channels, axis=0).astype(np.float32)


def widen(wav, *, block=None, sample_rate=RATE, **settings):
    channels, samples = wav.shape
    stage = Width(
        {**Width.defaults, **settings},
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


def level_db(error, reference):
    return 20 * np.log10(np.abs(error).max() / np.abs(reference).max() + 1e-12)


def diagnosis(channels=1, mono=True):
    finding = Finding("width", 1.0, "", "slight", "mono", details={"mono": mono})
    return Diagnosis(RATE, channels, RATE, (finding,))


def test_left_plus_right_of_a_widened_file_is_the_mono_file():
    mono = music()
    wide = widen(mono, amount=2.0)
    assert wide.shape == (2, mono.shape[1])
    assert wide.dtype == np.float32
    assert level_db(wide.mean(axis=0) - mono[0], mono) < -100
    assert level_db(wide.sum(axis=0) - 2 * mono[0], mono) < -80


def test_the_two_sides_differ_once_widened():
    left, right = widen(music())
    assert 0.9 < np.corrcoef(left, right)[0, 1] < 0.999


def test_two_equal_channels_are_widened_like_one():
    np.testing.assert_allclose(widen(music(channels=2)), widen(music()), atol=1e-6)


def test_bass_stays_in_the_middle():
    bass = signal.sosfilt(signal.butter(8, 120, fs=RATE, output="sos"), music())
    left, right = widen(bass.astype(np.float32))
    middle = slice(RATE // 4, -RATE // 4)  # the bass itself begins and ends abruptly
    assert level_db((left - right)[middle], left) < -60


def test_neither_side_is_coloured_by_more_than_3_5_db():
    mono = music(seconds=8.0)
    power = np.abs(np.fft.rfft(mono[0])) ** 2
    hz = np.fft.rfftfreq(mono.shape[1], 1 / RATE)
    for side in widen(mono):
        ratio = np.abs(np.fft.rfft(side)) ** 2
        for centre in 1000 * 2.0 ** (np.arange(-13, 14) / 3):
            near = (hz > centre * 2 ** (-1 / 6)) & (hz < centre * 2 ** (1 / 6))
            change_db = 10 * np.log10(ratio[near].sum() / power[near].sum())
            assert abs(change_db) < 3.5, f"{centre:.0f} Hz"


def test_an_attack_is_not_smeared_forward():
    click = np.zeros((1, RATE), np.float32)
    click[0, RATE // 2] = 1
    side = widen(click)[0] - click[0]
    assert np.abs(side[: RATE // 2 - round(0.003 * RATE)]).max() < 1e-7
    early = side[: RATE // 2 - round(0.0005 * RATE)]
    assert np.sum(early**2) < 1e-4


def test_cut_in_blocks_equals_whole():
    mono = music()
    whole = widen(mono)
    for block in (RATE, 7 * RATE // 3, 12_345):
        assert level_db(widen(mono, block=block) - whole, whole) < -90


def test_silence_stays_silent_and_one_sample_is_enough():
    assert not widen(np.zeros((1, 1000), np.float32)).any()
    assert widen(np.ones((1, 1), np.float32)).shape == (2, 1)


@pytest.mark.parametrize("sample_rate", [8_000, 32_000, 192_000])
def test_any_sample_rate_keeps_the_sum(sample_rate):
    mono = music(seconds=1.0)
    wide = widen(mono, sample_rate=sample_rate)
    assert level_db(wide.mean(axis=0) - mono[0], mono) < -100


def test_each_side_stays_close_to_real_music(shared_audio):
    names = ["azira18_cinematic-epic.wav", "azira18_rock-90s.wav", "m2ugen_violin-solo.flac"]
    ratios_db = []
    for name in [*names, "rsxdalv_jpop.ogg", "rsxdalv_edm-cheerful.ogg"]:
        audio, rate = soundfile.read(shared_audio / "musicgen" / name, always_2d=True)
        mono = audio.T[:, : 10 * rate].astype(np.float32)
        protected = signal.butter(4, (60, 7000), "band", fs=rate, output="sos")
        reference = signal.sosfilt(protected, mono[0].astype(float))
        for side in widen(mono, sample_rate=rate):
            estimate = signal.sosfilt(protected, side.astype(float))
            scaled = reference * (estimate @ reference) / (reference @ reference)
            error = estimate - scaled
            ratios_db.append(10 * np.log10((scaled @ scaled) / (error @ error)))
    assert np.mean(ratios_db) > 20
    assert min(ratios_db) > 17


def test_mono_is_planned_to_be_widened_with_the_settings_of_the_caller():
    step = Width.plan(diagnosis(), {**Width.defaults, "amount": 0.5})
    assert step.on
    assert step.settings == {"amount": 0.5, "low_hz": 200.0}
    assert Width.plan(diagnosis(channels=2), Width.defaults).on


def test_stereo_and_more_channels_are_left_alone():
    assert not Width.plan(diagnosis(channels=2, mono=False), Width.defaults).on
    assert not Width.plan(diagnosis(channels=6), Width.defaults).on
    assert not Width.plan(diagnosis(), {**Width.defaults, "amount": 0.0}).on
