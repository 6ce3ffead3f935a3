from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.signals import noise, sine

from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav
from nitido.restoration.plan import Plan
from nitido.restoration.stage import Budget
from nitido.restoration.verify import Change, ChangeMeter, beside_faults, correct


def compare(before: Wav, after: Wav, block: int = 10_000, **taken: Any) -> Change:
    budget = Budget(si_sdr_db=20, **taken)
    meter = ChangeMeter("match", sample_rate=48_000, budget=budget, loudness_lufs=-20.0)
    for start in range(0, before.shape[1], block):
        meter.update(before[:, start : start + block], after[:, start : start + block])
    return meter.finish()


def test_an_unchanged_signal_reads_the_maximum() -> None:
    wav = noise(channels=2)
    change = compare(wav, wav)
    assert change.si_sdr_db == 120
    assert change.gain_db == 0


def test_a_mere_gain_is_no_damage() -> None:
    wav = noise(channels=2)
    change = compare(wav, 0.5 * wav)
    assert change.si_sdr_db > 90
    assert change.gain_db == pytest.approx(-6.02, abs=0.01)


@pytest.mark.parametrize("side", ["before", "after"])
def test_what_a_stage_leaves_alone_counts_as_the_meter_beside_it_heard_it(side: str) -> None:
    wav = noise(channels=2)
    after = wav.copy()
    after[:, 30_000:50_000] *= 0.5
    alone, beside, whole = (
        ChangeMeter("match", sample_rate=48_000, budget=Budget(si_sdr_db=20), all_of_it=all_of_it)
        for all_of_it in (True, True, False)
    )
    for meter in (alone, whole):
        meter.update(wav, after)
    heard = wav if side == "before" else after
    beside.update(heard, heard)
    beside.finish()
    expected, found = alone.finish(), whole.finish(**{side: beside.difference.after})
    assert found.si_sdr_db == pytest.approx(expected.si_sdr_db, abs=0.011)
    assert [row["level_db"] for row in found.bands] == [row["level_db"] for row in expected.bands]


@pytest.mark.parametrize("error_db", [-10, -20, -40, -60])
def test_noise_at_a_known_level_reads_as_that_level(error_db: float) -> None:
    wav, error = noise(seconds=4), noise(seconds=4, seed=1)
    change = compare(wav, wav + np.float32(10 ** (error_db / 20)) * error)
    assert change.si_sdr_db == pytest.approx(-error_db, abs=0.3)


def test_what_happens_above_the_protected_band_does_not_count() -> None:
    wav = noise(seconds=2)
    change = compare(wav, wav + sine(12_000, seconds=2))
    assert change.si_sdr_db > 45  # what is left is the ends of the tone
    treble = next(band for band in change.bands if band["low_hz"] == 8000)
    assert treble["level_db"] > 5


def test_what_happens_below_the_protected_band_does_not_count() -> None:
    wav = noise(seconds=4)
    rumble = sine(15, seconds=4, amplitude=0.4)  # 9 dB over the music
    assert compare(wav, wav + rumble).si_sdr_db > 34


def test_the_reading_does_not_depend_on_the_blocks() -> None:
    wav, error = noise(seconds=2), noise(seconds=2, seed=1, rms=0.01)
    readings = [compare(wav, wav + error, block).si_sdr_db for block in (777, 48_000, 96_000)]
    assert readings == pytest.approx([readings[0]] * 3, abs=0.01)


def test_a_widened_file_is_compared_by_its_downmix() -> None:
    mid, side = noise(), noise(seed=1)
    assert compare(mid, np.concatenate([mid + side, mid - side])).si_sdr_db > 90


@pytest.mark.parametrize("samples", [1, 100, 3000])
def test_short_and_silent_pieces_are_compared_too(samples: int) -> None:
    silence = np.zeros((1, samples), np.float32)
    assert compare(silence, silence).si_sdr_db == 120
    assert compare(silence + 0.1, silence + 0.1).si_sdr_db == 120


def test_a_stage_over_budget_is_turned_down_twice_and_then_bypassed() -> None:
    plan = Plan.from_json('{"steps": [{"stage": "match", "settings": {"amount": 1.0}}]}')
    change = compare(noise(), noise(seed=1))
    assert not change.within_budget
    amounts = []
    for tries in range(3):
        plan = correct(plan, change, tries=tries)
        amounts.append(plan["match"].settings["amount"] if plan["match"].on else 0)
    assert amounts == [0.5, 0.25, 0]
    assert plan["match"].reason.startswith("left out: more would change too much")


def test_a_stage_turned_down_for_the_whole_is_told_the_bound_of_the_whole() -> None:
    plan = Plan.from_json('{"steps": [{"stage": "stereo"}], "budget_db": 15.0}')
    change = replace(compare(noise(), noise(seed=1) + noise()), stage="stereo", budget_db=-10.0)
    assert change.within_budget
    reason = correct(plan, change, tries=0)["stereo"].reason
    assert "all stages together (15.0 dB" in reason
    assert "-10.0 is the least" not in reason


def test_the_whole_is_judged_by_the_music_and_not_by_the_fault_that_a_stage_took_out() -> None:
    music, hum = noise(seconds=4), sine(500, seconds=4)
    error = noise(seconds=4, seed=1, rms=0.008)
    mends = replace(compare(music + hum, music), stage="stereo", budget_db=0.0)
    spoils = compare(music, music + error)
    whole = replace(compare(music + hum, music + error), stage="whole")
    assert not whole.within_budget
    judged = beside_faults(whole, [mends, spoils])
    assert judged.within_budget
    assert judged.si_sdr_db == whole.si_sdr_db
    assert judged.music_kept_db == pytest.approx(22.0, abs=0.3)
    twice = beside_faults(whole, [mends, spoils, spoils])
    assert twice.music_kept_db == pytest.approx(19.0, abs=0.3)
    assert not twice.within_budget
    assert beside_faults(whole, [spoils]) == whole


def test_a_stage_that_takes_music_is_turned_down_though_the_protected_band_is_as_it_was() -> None:
    plan = Plan.from_json('{"steps": [{"stage": "match", "settings": {"amount": 1.0}}]}')
    wav = noise(seconds=2, channels=2)
    dull = lower_ceiling(wav, sample_rate=48_000, ceiling_hz=9000.0)
    assert compare(wav, dull).within_budget
    change = compare(wav, dull, taken_sone=0.1)
    assert not change.within_budget
    assert change.taken_sone == compare(wav, dull, block=777, taken_sone=0.1).taken_sone
    turned_down = correct(plan, change, tries=0)["match"]
    assert turned_down.settings["amount"] == 0.5
    assert "more would take too much of the music" in turned_down.reason


def test_a_fault_that_is_taken_down_to_what_is_usual_is_no_music_and_what_lies_below_is() -> None:
    music, hiss = noise(seconds=4), noise(seconds=4, seed=1)
    band = lower_ceiling(hiss, sample_rate=48_000, ceiling_hz=9000.0)
    band -= lower_ceiling(hiss, sample_rate=48_000, ceiling_hz=5000.0)
    sharp = np.zeros_like(band)
    for start in range(24_000, band.shape[1], 48_000):  # an s of 100 ms in every second
        sharp[:, start : start + 4800] = 4 * band[:, start : start + 4800]
    taken = {"taken_sone": 0.1, "fault_hz": (4500.0, 9500.0)}
    assert compare(music + sharp, music, taken_sone=0.1).takes_too_much
    mended = compare(music + sharp, music, **taken)
    assert not mended.takes_too_much
    assert compare(music + sharp, music, block=777, **taken).taken_sone == mended.taken_sone
    assert compare(music, music - band, **taken).takes_too_much
    assert compare(music + sharp, music + 1.5 * sharp, **taken).takes_too_much
