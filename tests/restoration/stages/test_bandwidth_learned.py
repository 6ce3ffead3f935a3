"""The stage with the network that ships, on music that it never heard."""

import numpy as np
import pytest

from nitido.demo.render import render
from nitido.diagnosis.bandwidth import BandwidthAnalyser
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.chunks import windows
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.metrics.fidelity import log_spectral_distance_db
from nitido.restoration.preset import adjust, load_preset
from nitido.restoration.stage import Step
from nitido.restoration.stages.bandwidth import LEARNED_HZ, Bandwidth, better_model

RATE = 48_000


def plan(wav: Wav, model: str = "auto") -> Step:
    analyser = BandwidthAnalyser(sample_rate=RATE, channels=len(wav))
    analyser.update(wav)
    diagnosis = Diagnosis(RATE, len(wav), wav.shape[1], (analyser.finish(),))
    return Bandwidth.plan(diagnosis, {**Bandwidth.defaults, "model": model})


def apply(wav: Wav, step: Step, size: int | None = None) -> Wav:
    stage = Bandwidth(step.settings, sample_rate=RATE, channels=len(wav), samples=wav.shape[1])
    cut = windows([wav], size=size or wav.shape[1], context=stage.context_samples)
    return np.concatenate([stage.apply(window, start=start) for window, start in cut], axis=1)


def level_db(wav: Wav) -> float:
    return float(10 * np.log10(np.mean(wav.astype(float) ** 2) + 1e-30))


def below(wav: Wav, hz: float) -> Wav:
    return lower_ceiling(wav, sample_rate=RATE, ceiling_hz=hz)


@pytest.fixture(scope="module")
def clean() -> Wav:
    return render(seconds=6)


@pytest.fixture(scope="module")
def dull(clean: Wav) -> Wav:
    return lower_ceiling(clean, sample_rate=RATE, ceiling_hz=8_000)


def test_the_better_model_is_taken_and_written_into_the_plan(dull: Wav) -> None:
    low, high = LEARNED_HZ
    assert better_model("auto", (low + high) / 2) == "learned"
    assert better_model("auto", 16_000) == "rule"
    assert plan(dull).settings["model"] == better_model("auto", 8_000)
    assert plan(dull, "rule").settings["model"] == "rule"
    assert plan(dull, "learned").settings["model"] == "learned"


def test_a_model_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="'auto' or 'rule' or 'learned'"):
        adjust(load_preset("musicgen"), settings={"bandwidth.model": "magic"})


def test_below_the_crossover_nothing_changes_in_music_without_holes(dull: Wav) -> None:
    step = plan(dull, "learned")
    change = below(apply(dull, step) - dull, step.settings["crossover_hz"] - 50)
    assert level_db(change) - level_db(dull) < -80


def test_where_the_sound_sinks_before_it_ends_no_dark_line_stays(clean: Wav, dull: Wav) -> None:
    low = below(clean, 7_300)
    sunk = low + np.float32(0.1) * (dull - low)
    result = apply(sunk, plan(sunk, "learned"))
    seam, under, over = (
        level_db(below(result, high) - below(result, high - 200)) for high in (7_500, 7_200, 7_900)
    )
    assert seam > under - 6
    assert seam > over - 6


def test_the_learned_treble_is_nearer_to_the_music_than_none(clean: Wav, dull: Wav) -> None:
    bands = {"sample_rate": RATE, "low_hz": 8_500.0, "high_hz": 16_000.0}
    before = log_spectral_distance_db(estimate=dull, reference=clean, **bands)
    result = apply(dull, plan(dull, "learned"))
    assert log_spectral_distance_db(estimate=result, reference=clean, **bands) < before / 2


def test_blocks_of_any_length_give_the_same_result(dull: Wav) -> None:
    step = plan(dull, "learned")
    whole = apply(dull, step)
    for size in (RATE, 34_567):
        assert np.abs(apply(dull, step, size) - whole).max() < 10 ** (-90 / 20)


def test_the_treble_falls_silent_when_the_music_does(dull: Wav) -> None:
    wav = dull.copy()
    wav[:, 3 * RATE : 5 * RATE] = 0
    result = apply(wav, plan(wav, "learned"))
    assert np.abs(result[:, 3 * RATE + 4000 : 5 * RATE - 4000]).max() < 1e-5
    assert level_db((result - wav)[:, RATE : 2 * RATE]) > -80


def test_twice_the_same_input_gives_the_same_samples(dull: Wav) -> None:
    step = plan(dull, "learned")
    assert np.array_equal(apply(dull, step), apply(dull, step))


def test_silence_stays_silent_whatever_is_asked_for() -> None:
    settings = {**Bandwidth.defaults, "model": "learned", "ceiling_hz": 8_000.0}
    settings |= {"crossover_hz": 7_480.0}
    silent = np.zeros((2, RATE), np.float32)
    assert not apply(silent, Step("bandwidth", True, "", settings)).any()
