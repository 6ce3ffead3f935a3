from __future__ import annotations

import numpy as np
import pytest
import soxr
from scipy.signal import firwin, oaconvolve
from tests.signals import noise, pink_noise

from nitido.demo.render import render
from nitido.diagnosis.bandwidth import BandwidthAnalyser
from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.chunks import windows
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav
from nitido.metrics.fidelity import log_spectral_distance_db
from nitido.restoration.stage import Step
from nitido.restoration.stages.bandwidth import Bandwidth

RATE = 48_000


def plan(wav: Wav, **settings: float) -> Step:
    analyser = BandwidthAnalyser(sample_rate=RATE, channels=len(wav))
    analyser.update(wav)
    diagnosis = Diagnosis(RATE, len(wav), wav.shape[1], (analyser.finish(),))
    return Bandwidth.plan(diagnosis, {**Bandwidth.defaults, **settings})


def apply(wav: Wav, step: Step, size: int | None = None) -> Wav:
    stage = Bandwidth(step.settings, sample_rate=RATE, channels=len(wav), samples=wav.shape[1])
    cut = windows([wav], size=size or wav.shape[1], context=stage.context_samples)
    return np.concatenate([stage.apply(window, start=start) for window, start in cut], axis=1)


def low_pass(wav: Wav, hz: float) -> Wav:
    taps = firwin(4095, hz, fs=RATE, window=("kaiser", 14))
    return oaconvolve(wav, taps[None], axes=1)[:, 2047 : 2047 + wav.shape[1]]


def tilt(wav: Wav, *, db_per_khz: float, from_khz: float = 0.0) -> Wav:
    khz = np.fft.rfftfreq(wav.shape[1], 1 / RATE) / 1000
    gain = 10 ** (db_per_khz * np.maximum(khz - from_khz, 0) / 20)
    return np.fft.irfft(np.fft.rfft(wav) * gain, wav.shape[1]).astype(np.float32)


def level_db(wav: Wav) -> float:
    return float(10 * np.log10(np.mean(wav.astype(float) ** 2) + 1e-30))


@pytest.fixture(scope="module")
def dulled() -> Wav:
    return lower_ceiling(render(seconds=8), sample_rate=RATE, ceiling_hz=16_000)


def test_below_the_crossover_nothing_changes(dulled: Wav) -> None:
    step = plan(dulled)
    change = low_pass(apply(dulled, step) - dulled, step.settings["crossover_hz"] - 50)
    assert level_db(change) - level_db(dulled) < -80


def test_the_top_octave_comes_nearer_to_the_original() -> None:
    clean = render(seconds=8)
    dull = lower_ceiling(clean, sample_rate=RATE, ceiling_hz=15_500)
    bands = {"sample_rate": RATE, "low_hz": 16_000.0, "high_hz": 19_000.0}
    before = log_spectral_distance_db(estimate=dull, reference=clean, **bands)
    after = log_spectral_distance_db(estimate=apply(dull, plan(dull)), reference=clean, **bands)
    assert after < before / 2


def test_the_treble_falls_silent_when_the_music_does(dulled: Wav) -> None:
    wav = dulled.copy()
    wav[:, 3 * RATE : 5 * RATE] = 0
    result = apply(wav, plan(wav))
    assert not result[:, 3 * RATE + 2000 : 5 * RATE - 2000].any()
    assert level_db((result - wav)[:, RATE : 2 * RATE]) > -80


def test_no_treble_is_invented_for_dull_music() -> None:
    wav = tilt(noise(seconds=5), db_per_khz=-7, from_khz=2)
    wav = lower_ceiling(wav, sample_rate=RATE, ceiling_hz=16_000)
    step = plan(wav)
    assert not step.on
    forced = Step("bandwidth", True, "", {**step.settings, "ceiling_hz": 16_000.0})
    assert level_db(apply(wav, forced) - wav) - level_db(wav) < -100


def test_as_much_treble_is_added_at_twice_the_sample_rate() -> None:
    wav = lower_ceiling(pink_noise(seconds=3), sample_rate=RATE, ceiling_hz=16_000)
    step = plan(wav)
    settings = {**step.settings, "model": "rule", "gate_db": -9.0}  # half open
    twice = soxr.resample(wav[0], RATE, 2 * RATE)[None]
    added_db = []
    for piece, rate in ((wav, RATE), (twice, 2 * RATE)):
        size = {"channels": 1, "samples": piece.shape[1]}
        stage = Bandwidth(settings, sample_rate=rate, **size)
        padded = np.pad(piece, ((0, 0), (stage.context_samples, stage.context_samples)))
        added_db.append(level_db(stage.apply(padded, start=0) - piece) - level_db(piece))
    assert added_db[1] == pytest.approx(added_db[0], abs=1.0)


def found(**details: float) -> Step:
    """Return the plan for a ceiling with plenty of steady treble below it, but for `details`."""
    steady = {
        "ceiling_hz": 11_000.0,
        "rolloff_hz": 10_500.0,
        "wall_db": 60.0,
        "rms_db": -20.0,
        "treble_db": -20.0,
        "fall_db_per_khz": -2.5,
        "end_fall_db_per_khz": -2.5,
    }
    finding = Finding("bandwidth", 11_000.0, "Hz", "moderate", "", details={**steady, **details})
    return Bandwidth.plan(Diagnosis(RATE, 1, RATE, (finding,)), Bandwidth.defaults)


@pytest.mark.parametrize(
    ("details", "amount"),
    [
        ({}, 1.0),
        ({"treble_db": -40.0}, 0.22),
        ({"treble_db": -37.0, "end_fall_db_per_khz": -0.4}, 0.22),  # hiss is level
        ({"treble_db": -20.0, "end_fall_db_per_khz": -0.4}, 1.0),
        ({"end_fall_db_per_khz": 3.0}, 1.0),
        ({"end_fall_db_per_khz": -6.0, "ceiling_hz": 16_000.0}, 0.5),
        ({"end_fall_db_per_khz": -6.0, "ceiling_hz": 16_000.0, "treble_db": -40.0}, 0.22),
        ({"end_fall_db_per_khz": -6.0}, 1.0),  # the network is better
    ],
)
def test_where_there_may_have_been_little_less_is_added_and_said(
    details: dict[str, float], amount: float
) -> None:
    step = found(**details)
    assert step.settings["amount"] == amount
    assert (f"{amount:.0%} is added" in step.reason) == (amount < 1)


@pytest.mark.parametrize("name", ["treble_db", "end_fall_db_per_khz"])
def test_what_a_coder_moves_by_half_a_decibel_moves_the_treble_by_little(name: str) -> None:
    plans = [found(**{name: float(value)}) for value in np.arange(-45.0, 20.0, 0.5)]
    amounts = [step.settings["amount"] if step.on else 0.0 for step in plans]
    assert np.abs(np.diff(amounts)).max() <= 0.25


def test_a_ceiling_that_is_a_fault_always_gets_something_above_it() -> None:
    step = found(treble_db=-41.0, end_fall_db_per_khz=0.0)
    assert step.on
    assert step.settings["amount"] > 0


@pytest.mark.parametrize("amount", [0.0, -0.0])
def test_an_amount_of_nothing_leaves_the_stage_off(amount: float) -> None:
    wav = low_pass(pink_noise(seconds=4), 11_000)
    step = plan(wav, amount=amount)
    assert not step.on
    assert "0 adds nothing" in step.reason


def test_how_deep_the_silence_above_is_tells_of_the_last_coder_only() -> None:
    settings = [found(treble_db=-37.0, wall_db=db).settings for db in (22.0, 38.0, 90.0)]
    assert settings == [settings[0]] * 3


def test_faint_treble_above_loud_lows_gets_less_and_plenty_gets_all_of_it() -> None:
    plenty = low_pass(pink_noise(seconds=4), 11_000)
    faint = low_pass(tilt(pink_noise(seconds=4), db_per_khz=-3.8), 11_000)
    assert plan(plenty).settings["amount"] == 1.0
    assert 0 < plan(faint).settings["amount"] < 0.8


def test_full_band_music_is_left_alone() -> None:
    step = plan(render(seconds=5))
    assert not step.on
    assert "no ceiling" in step.reason


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_channel_gets_its_own_treble(channels: int) -> None:
    wav = lower_ceiling(noise(seconds=2, channels=channels), sample_rate=RATE, ceiling_hz=16_000)
    added = apply(wav, plan(wav)) - wav
    assert added.shape == wav.shape
    assert [level_db(channel) > -60 for channel in added] == [True] * channels


def test_blocks_of_any_length_give_the_same_result(dulled: Wav) -> None:
    step = plan(dulled)
    whole = apply(dulled, step)
    for size in (RATE, 12_345, 7 * RATE):
        assert np.abs(apply(dulled, step, size) - whole).max() < 10 ** (-90 / 20)


def test_twice_the_same_input_gives_the_same_samples(dulled: Wav) -> None:
    step = plan(dulled)
    assert np.array_equal(apply(dulled, step), apply(dulled, step))


def test_steady_noise_goes_on_above_the_ceiling_without_hole_or_step() -> None:
    wav = tilt(noise(seconds=4), db_per_khz=-2.5)
    wav = lower_ceiling(wav, sample_rate=RATE, ceiling_hz=16_000)
    result = apply(wav, plan(wav))
    spectrum = np.abs(np.fft.rfft(result[0])) ** 2
    hz = np.fft.rfftfreq(result.shape[1], 1 / RATE)
    bands = [
        10 * np.log10(spectrum[(hz >= low) & (hz < low + 250)].mean())
        for low in range(13_000, 19_000, 250)
    ]
    assert np.abs(np.diff(bands)).max() < 4
