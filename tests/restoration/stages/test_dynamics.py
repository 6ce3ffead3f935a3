"""Deess, deharsh, demud: what the fault added goes, what is not in its band stays as it was."""

import numpy as np
import pytest
from tests.signals import noise, pink_noise, silence

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.stages.dynamics import Deess, Deharsh, Demud

RATE = 48_000
STAGES = [Deess, Deharsh, Demud]
SETTINGS = {
    "deess": {
        "starts_seconds": [0.5, 1.2],
        "ends_seconds": [0.6, 1.3],
        "lower_db": [5.0, 3.0],
    },
    "deharsh": {
        "bands_hz": [2_245.0, 2_520.0, 2_828.0],
        "bands_db": [0.0, 5.0, 0.0],
        "usual_db": -40.0,
        "loud_db": -30.0,
    },
    "demud": {
        "bands_hz": [200.0, 251.0, 316.0, 398.0, 501.0],
        "bands_db": [9.0, 9.0, 9.0, 9.0, 9.0],
        "usual_db": -60.0,
        "loud_db": -50.0,
    },
}


def lowered(stage, wav: Wav, **changed) -> Wav:
    settings = {**stage.defaults, **SETTINGS[stage.name], **changed}
    bound = stage(settings, sample_rate=RATE, channels=len(wav), samples=wav.shape[1])
    context = bound.context_samples
    return bound.apply(np.pad(wav, ((0, 0), (context, context))), start=0)


def level_db(wav: Wav, low_hz: float, high_hz: float) -> float:
    hz = np.fft.rfftfreq(wav.shape[1], 1 / RATE)
    power = np.abs(np.fft.rfft(wav, axis=1)[:, (hz >= low_hz) & (hz < high_hz)]) ** 2
    return float(10 * np.log10(power.sum() + 1e-12))


@pytest.mark.parametrize("stage", STAGES)
def test_it_only_lowers_by_6_db_at_most_and_only_its_band(stage):
    wav = pink_noise(seconds=2, channels=2)
    result = lowered(stage, wav)
    low, high = stage.band_hz
    for at in np.geomspace(40, 20_000, 40):
        change_db = level_db(result, at, at * 1.15) - level_db(wav, at, at * 1.15)
        assert -6.0 < change_db < 0.01
        if at * 1.15 < low / 1.15 or at > high * 1.15:
            assert change_db == pytest.approx(0, abs=0.01)
    assert level_db(result - wav, low, high) > level_db(wav, low, high) - 20


def test_an_s_is_lowered_by_what_was_planned_and_the_rest_is_untouched():
    wav = noise(seconds=2)
    result = lowered(Deess, wav)
    during, beside = slice(25_000, 28_000), slice(35_000, 55_000)
    change_db = level_db(result[:, during], 5_600, 8_000) - level_db(wav[:, during], 5_600, 8_000)
    assert change_db == pytest.approx(-5, abs=0.3)
    np.testing.assert_array_equal(result[:, beside], wav[:, beside])


def test_what_rings_is_lowered_only_while_it_is_loud():
    wav = noise(seconds=2) * np.where(np.arange(2 * RATE) < RATE, 1.0, 0.02).astype(np.float32)
    result = lowered(Deharsh, wav)
    loud, soft = slice(0, RATE - 4_000), slice(RATE + 4_000, 2 * RATE)
    change_db = level_db(result[:, loud], 2_480, 2_560) - level_db(wav[:, loud], 2_480, 2_560)
    assert change_db == pytest.approx(-5, abs=0.6)
    np.testing.assert_array_equal(result[:, soft], wav[:, soft])


@pytest.mark.parametrize("stage", STAGES)
def test_amount_scales_it_and_zero_changes_nothing(stage):
    wav = noise(seconds=1.5)
    changes = [np.abs(lowered(stage, wav, amount=amount) - wav).sum() for amount in (0, 0.5, 1)]
    assert changes[0] == 0
    assert changes[1] < changes[2] < 2 * changes[1]


@pytest.mark.parametrize("stage", STAGES)
def test_silence_stays_silent(stage):
    assert not lowered(stage, silence(seconds=2, channels=2)).any()


@pytest.mark.parametrize("stage", STAGES)
def test_it_is_on_only_where_the_fault_was_found(stage):
    ok = Finding(stage.finding, 0.1, "dB", "ok", "Nothing.")
    step = stage.plan(Diagnosis(RATE, 1, RATE, (ok,)), stage.defaults)
    assert (step.on, step.reason, step.settings) == (False, stage.nothing, stage.defaults)


def test_the_plan_says_where_each_s_is_and_leaves_plain_ones_alone():
    details = {
        "rms_db": -20.0,
        "starts_seconds": [1.0, 2.0, 3.0],
        "ends_seconds": [1.1, 2.1, 3.1],
        "levels_db": [-36.0, -40.0, -22.0],
    }
    found = Finding("sibilance", -18.0, "dB", "slight", "The s is sharp.", details=details)
    step = Deess.plan(Diagnosis(RATE, 1, RATE, (found,)), Deess.defaults)
    assert step.reason == "The s is sharp"
    assert step.settings["starts_seconds"] == [1.0, 3.0]
    assert step.settings["lower_db"] == [2.0, 5.0]


@pytest.mark.parametrize("stage", STAGES)
def test_lists_that_do_not_belong_together_are_refused(stage):
    settings = {**stage.defaults, **SETTINGS[stage.name]}
    last = stage.lists[-1]
    with pytest.raises(ConfigError, match=f"{stage.name}.{last} need as many"):
        stage.check({**settings, last: settings[last][1:]})
