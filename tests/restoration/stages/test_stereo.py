from __future__ import annotations

import numpy as np
import pytest
from tests.diagnosis.test_phase import RATE, narrow, phase, turned
from tests.signals import noise, pink_noise, silence

from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.chunks import windows
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.stages.stereo import Stereo

LOWS = {"side_hz": [120.0, 180.0], "side_db": [-60.0, 0.0]}
TURN = {"turn_hz": [390.0, 400.0, 2500.0, 2600.0], "turn_degrees": [0.0, 120.0, 120.0, 0.0]}


def diagnosed(wav: Wav) -> Diagnosis:
    return Diagnosis(RATE, wav.shape[0], wav.shape[1], (phase(wav),))


def mend(wav: Wav, settings: dict, *, size: int | None = None) -> Wav:
    piece = {"sample_rate": RATE, "channels": wav.shape[0], "samples": wav.shape[1]}
    stage = Stereo({**Stereo.defaults, **settings}, **piece)
    cut = windows([wav], size=size or wav.shape[1], context=stage.context_samples)
    return np.concatenate([stage.apply(window, start=start) for window, start in cut], axis=1)


def level_db(wav: Wav) -> float:
    return float(10 * np.log10(np.mean(wav.astype(np.float64) ** 2) + 1e-20))


def test_it_runs_where_the_sides_work_against_each_other_and_nowhere_else() -> None:
    assert not Stereo.plan(diagnosed(narrow()), Stereo.defaults).on
    assert not Stereo.plan(diagnosed(noise(channels=1)), Stereo.defaults).on
    step = Stereo.plan(diagnosed(turned(narrow(), 400, 2500, 170)), Stereo.defaults)
    assert step.on
    assert "turns back" in step.reason


@pytest.mark.parametrize("degrees", [120.0, 168.5, 180.0])
def test_what_mono_lost_comes_back_to_within_1_db(degrees: float) -> None:
    clean = narrow()
    spoilt = turned(clean, 400, 2500, degrees)
    mended = mend(spoilt, dict(Stereo.plan(diagnosed(spoilt), Stereo.defaults).settings))
    for was, now in zip(phase(clean).details["bands"], phase(mended).details["bands"], strict=True):
        assert now["fold_db"] == pytest.approx(was["fold_db"], abs=1.0)
    assert np.array_equal(mended[0], spoilt[0])
    assert level_db(mended[1]) == pytest.approx(level_db(spoilt[1]), abs=0.1)
    assert not phase(mended).found


@pytest.mark.parametrize("side", [0.1, 0.5])
@pytest.mark.parametrize(("low_hz", "high_hz"), [(20, 150), (300, 2000)])
def test_lows_and_wide_music_that_are_upside_down_come_back_to_within_1_db(
    side: float, low_hz: float, high_hz: float
) -> None:
    middle = pink_noise(seconds=9.0)
    clean = middle + np.float32(side) * pink_noise(seconds=9.0, channels=2, seed=1)
    spoilt = turned(clean, low_hz, high_hz, 180)
    mended = mend(spoilt, dict(Stereo.plan(diagnosed(spoilt), Stereo.defaults).settings))
    assert not phase(clean).found
    for was, now in zip(phase(clean).details["bands"], phase(mended).details["bands"], strict=True):
        assert now["fold_db"] == pytest.approx(was["fold_db"], abs=1.0)


def test_wide_lows_become_mono_and_the_middle_stays_to_minus_80_db() -> None:
    wav = pink_noise(seconds=3.0, channels=2)
    mended = mend(wav, LOWS)
    assert level_db(mended.sum(axis=0) - wav.sum(axis=0)) < level_db(wav) - 80
    before, after = (np.abs(np.fft.rfft(w[0] - w[1])) for w in (wav, mended))
    hz = np.fft.rfftfreq(wav.shape[1], 1 / RATE)
    low, high = (hz > 20) & (hz < 100), hz > 220
    assert np.linalg.norm(after[low]) < 0.01 * np.linalg.norm(before[low])
    assert np.linalg.norm(after[high] - before[high]) < 0.01 * np.linalg.norm(before[high])


@pytest.mark.parametrize("settings", [LOWS, TURN, {**LOWS, **TURN}])
def test_blocks_give_what_the_whole_gives_and_silence_stays_silent(settings: dict) -> None:
    wav = pink_noise(seconds=1.5, channels=2)
    whole = mend(wav, settings)
    assert whole.shape == wav.shape
    assert level_db(mend(wav, settings, size=7_001) - whole) < level_db(wav) - 90
    assert not mend(silence(channels=2), settings).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_not_stereo_stays_the_same_bits(channels: int) -> None:
    wav = noise(channels=channels)
    assert np.array_equal(mend(wav, {**LOWS, **TURN}), wav)


def test_no_amount_changes_nothing() -> None:
    wav = noise(channels=2)
    assert np.array_equal(mend(wav, {**LOWS, "amount": 0.0}), wav)


def test_a_point_without_its_value_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"side_hz has 1 values and stereo\.side_db 0"):
        Stereo.check({**Stereo.defaults, "side_hz": [120.0]})
