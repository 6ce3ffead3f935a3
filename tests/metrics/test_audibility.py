"""Music taken, in sones: what the ear would miss, and what it would hear beside the music."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
from tests.signals import noise, pink_noise, silence, sine

from nitido.demo.render import render
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav
from nitido.metrics.audibility import MusicTakenMeter, music_taken_sone

RATE = 48_000


@pytest.fixture(scope="module")
def music() -> Wav:
    return render(seconds=6.0)


def taken(estimate: Wav, reference: Wav, sample_rate: int = RATE) -> float:
    sone = music_taken_sone(estimate=estimate, reference=reference, sample_rate=sample_rate)
    assert sone is not None
    return sone


def hissing(wav: Wav, level_db: float) -> Wav:
    rms = float(np.sqrt(np.mean(np.square(wav)))) * 10 ** (level_db / 20)
    return wav + pink_noise(seconds=6.0, channels=2, rms=rms, seed=1)[:, : wav.shape[1]]


def equalised(wav: Wav, gain_db: float) -> Wav:
    """A bell an octave wide at 3 kHz."""
    amplitude, angle = 10 ** (gain_db / 40), 2 * np.pi * 3000 / RATE
    side, middle = np.sin(angle) / 2.8, -2 * np.cos(angle)
    up = [1 + side * amplitude, middle, 1 - side * amplitude]
    down = [1 + side / amplitude, middle, 1 - side / amplitude]
    return np.asarray(scipy.signal.lfilter(up, down, wav, axis=1), np.float32)


def with_holes(wav: Wav, count: float) -> Wav:
    """Gaps of 30 ms."""
    holed = wav.copy()
    for start in np.linspace(0.1, 0.9, int(count)) * wav.shape[1]:
        holed[:, int(start) : int(start) + 1440] *= 1 - np.hanning(1440).astype(np.float32)
    return holed


def echoing(wav: Wav, level_db: float) -> Wav:
    """The piece, softer, 60 ms before itself: what stands before each attack."""
    return wav + np.float32(10 ** (level_db / 20)) * np.roll(wav, -2880, axis=1)


@pytest.mark.parametrize(
    ("harm", "strengths"),
    [
        (hissing, (-60, -50, -40, -30, -20)),
        (equalised, (0, 1, 2, 4, 6)),
        (equalised, (0, -1, -2, -4, -6)),
        (with_holes, (0, 1, 4, 16)),
        (echoing, (-60, -40, -30, -20, -10)),
        (lambda wav, hz: lower_ceiling(wav, sample_rate=RATE, ceiling_hz=hz), (2e4, 1e4, 6e3, 3e3)),
    ],
    ids=["hiss", "boost", "cut", "holes", "pre-echo", "low-pass"],
)
def test_the_more_harm_the_more_is_taken(
    music: Wav, harm: Callable[[Wav, float], Wav], strengths: tuple[float, ...]
) -> None:
    readings = [taken(harm(music, strength), music) for strength in strengths]
    assert all(less < more for less, more in pairwise(readings))
    assert readings[0] < 0.02
    assert readings[-1] > 0.5


def test_what_nobody_hears_takes_nothing(music: Wav) -> None:
    """The same again, softer, upside down, with its phases turned, or with a soft ultrasound."""
    phases = scipy.signal.lfilter([-0.5, 1.0], [1.0, -0.5], music, axis=1).astype(np.float32)
    assert taken(music, music) == 0
    for same in (0.5 * music, -music, phases, music + sine(21_000, seconds=6.0, amplitude=0.01)):
        assert taken(same, music) < 0.02


def test_a_tone_of_40_phon_is_one_sone_and_music_that_is_gone_is_all_its_loudness() -> None:
    """Zwicker's definition; the standard's loudness is scaled for its own bands, so within 20 %."""
    tone = sine(1000, seconds=2.0, amplitude=10 ** ((40 - 92) / 20))
    meter = MusicTakenMeter(RATE, loudness_lufs=None)
    meter.update(tone, 0.0 * tone)
    assert meter.finish() == pytest.approx(1.0, rel=0.2)


def test_the_reading_depends_neither_on_blocks_nor_on_rate_nor_on_level(music: Wav) -> None:
    dull = lower_ceiling(music, sample_rate=RATE, ceiling_hz=6000.0)
    whole = taken(dull, music)
    assert taken(0.05 * dull, 0.05 * music) == pytest.approx(whole, rel=0.02)
    halves = [scipy.signal.resample_poly(wav, 2, 3, axis=1) for wav in (dull, music)]
    lower = taken(*(np.asarray(half, np.float32) for half in halves), 32_000)
    assert lower == pytest.approx(whole, rel=0.1)
    meter, other = (MusicTakenMeter(RATE, loudness_lufs=-14.0) for _ in range(2))
    other.update(music, dull)
    for start in range(0, music.shape[1], 777):
        meter.update(music[:, start : start + 777], dull[:, start : start + 777])
    assert meter.finish() == pytest.approx(other.finish(), rel=1e-5)


@pytest.mark.parametrize("samples", [1, 100, 3000])
def test_short_and_silent_pieces_are_measured_too(samples: int) -> None:
    nothing, something = silence(channels=2)[:, :samples], noise(channels=2)[:, :samples]
    assert taken(something, something) == 0
    assert taken(nothing, something) > 0
    for wav in (nothing, something):
        assert music_taken_sone(estimate=wav, reference=nothing, sample_rate=RATE) is None
