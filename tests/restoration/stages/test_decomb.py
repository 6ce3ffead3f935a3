from __future__ import annotations

import numpy as np
import pytest
from tests.signals import noise, sine

from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.diagnosis.comb import CombAnalyser
from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.chunks import windows
from nitido.dsp.wav import Wav
from nitido.metrics.fidelity import si_sdr_db
from nitido.restoration.stage import Step
from nitido.restoration.stages.decomb import Decomb

RATE = 32_000


def find(wav: Wav) -> Finding:
    analyser = CombAnalyser(sample_rate=RATE, channels=len(wav))
    analyser.update(wav)
    return analyser.finish()


def plan(wav: Wav) -> Step:
    diagnosis = Diagnosis(RATE, len(wav), wav.shape[1], (find(wav),))
    return Decomb.plan(diagnosis, Decomb.defaults)


def apply(wav: Wav, step: Step, size: int | None = None) -> Wav:
    stage = Decomb(step.settings, sample_rate=RATE, channels=len(wav), samples=wav.shape[1])
    cut = windows([wav], size=size or wav.shape[1], context=stage.context_samples)
    return np.concatenate([stage.apply(window, start=start) for window, start in cut], axis=1)


def combed(seconds: float = 8.0) -> tuple[Wav, Wav]:
    clean = render(seconds=seconds, sample_rate=RATE).mean(axis=0, keepdims=True)
    return clean, add_comb(clean, sample_rate=RATE, seed=3)


def test_the_lines_go_down_to_the_level_of_the_sound_beside_them() -> None:
    _, wav = combed()
    before = find(wav).details["by_spacing_db"]
    after = find(apply(wav, plan(wav))).details["by_spacing_db"]
    for spacing in ("8000", "2000", "400"):
        assert before[spacing] > 4
        assert after[spacing] < before[spacing] / 2


def test_the_result_is_nearer_to_the_clean_sound_than_the_combed_one() -> None:
    clean, wav = combed()
    restored = apply(wav, plan(wav))
    assert si_sdr_db(estimate=restored, reference=clean) > si_sdr_db(estimate=wav, reference=clean)


def test_sound_without_a_comb_is_left_alone() -> None:
    step = plan(noise(seconds=6, sample_rate=RATE))
    assert not step.on
    assert "no decoder comb" in step.reason


@pytest.mark.parametrize("pitch_hz", [400.0, 2000.0, 4000.0, 8000.0])
def test_a_note_on_the_grid_that_starts_and_stops_keeps_its_level(pitch_hz: float) -> None:
    _, wav = combed()
    envelope = np.zeros(wav.shape[1], np.float32)
    envelope[2 * RATE : 3 * RATE] = envelope[5 * RATE : 6 * RATE] = 1
    note = sine(pitch_hz, seconds=8, sample_rate=RATE, amplitude=0.03) * envelope
    wav = wav + note
    restored = apply(wav, plan(wav))
    middle = slice(2 * RATE + 4000, 3 * RATE - 4000)
    before, after = (np.abs(np.vdot(w[0, middle], note[0, middle])) for w in (wav, restored))
    assert 20 * np.log10(after / before) == pytest.approx(0, abs=0.5)


def test_blocks_of_any_length_give_the_same_result() -> None:
    _, wav = combed(6)
    step = plan(wav)
    whole = apply(wav, step)
    for size in (RATE, 12_345, 5 * RATE):
        assert np.abs(apply(wav, step, size) - whole).max() < 10 ** (-90 / 20)


def test_the_lines_do_not_come_back_in_the_quiet_before_an_attack() -> None:
    time = np.arange(8 * RATE) / RATE
    hz = np.arange(2000.0, 7000.0, 400.0)
    comb = 3e-4 * sum(np.sin(2 * np.pi * f * time + f) for f in hz)
    loud = np.zeros(8 * RATE)
    for second in (2.1, 4.45, 6.3):
        loud[round(second * RATE) : round((second + 0.8) * RATE)] = 1
    wav = (comb + (0.1 * loud + 1e-5) * noise(seconds=8, sample_rate=RATE, rms=1.0)[0])[None]
    wav = wav.astype(np.float32)
    lines = {"lines_hz": list(hz), "lines_db": [20.0] * len(hz), "rms_db": -25.0}
    restored = apply(wav, Step("decomb", True, "", {**Decomb.defaults, **lines, "line_db": -50.0}))
    for second in (2.1, 4.45, 6.3):
        quiet = slice(round((second - 0.12) * RATE), round((second - 0.005) * RATE))
        before, after = (np.mean(w[0, quiet] ** 2) for w in (wav, restored))
        assert 10 * np.log10(after / before) < -10


def test_no_line_is_put_into_the_quiet_between_two_hits() -> None:
    _, wav = combed()
    played = np.arange(wav.shape[1]) % (RATE // 5) < RATE // 10
    wav = wav * np.where(played, 1.0, 1e-3).astype(np.float32)
    lines = {**plan(combed()[1]).settings, "rms_db": -20.0}
    restored = apply(wav, Step("decomb", True, "", lines))
    middle = np.arange(wav.shape[1]) % (RATE // 5) - RATE * 15 // 100
    quiet = np.abs(middle) < RATE // 50
    before, after = (np.mean(np.diff(w[0])[quiet[1:]] ** 2) for w in (wav, restored))
    assert 10 * np.log10(after / before) < 1


def test_silence_stays_silent() -> None:
    _, wav = combed()
    step = plan(wav)
    assert not apply(np.zeros_like(wav), step).any()


def test_half_the_amount_takes_half_the_lines() -> None:
    _, wav = combed()
    step = plan(wav)
    half = Step("decomb", True, "", {**step.settings, "amount": 0.5})
    full_change, half_change = (wav - apply(wav, chosen) for chosen in (step, half))
    assert half_change == pytest.approx(0.5 * full_change, abs=1e-6)
