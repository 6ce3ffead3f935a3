from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from tests.signals import noise, silence

import nitido
from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.spectral import lower_ceiling
from nitido.wav import Wav


@pytest.fixture(scope="module")
def spoiled() -> Wav:
    """A piece as MusicGen might have made it: comb, ceiling, cut, quiet, mono, 32 kHz."""
    clean = render(seconds=12, sample_rate=32_000)[:, : 32_000 * 8].mean(axis=0, keepdims=True)
    return add_comb(clean, sample_rate=32_000) * np.float32(0.2)


def test_a_spoiled_piece_comes_back_without_its_faults(spoiled: Wav) -> None:
    result = nitido.restore(spoiled, sample_rate=32_000)
    for kind in ("comb", "bandwidth", "width", "end"):
        assert result.diagnosis[kind].found
        assert not result.after[kind].found
    assert result.after["loudness"].value == pytest.approx(-14, abs=0.2)


@pytest.mark.parametrize(
    ("rate", "samples"), [(8_000, 8_001), (32_000, 32_001), (44_100, 30_000), (192_000, 50_000)]
)
def test_the_result_is_exactly_as_long_as_the_input(rate: int, samples: int) -> None:
    wav = noise(seconds=samples / rate, sample_rate=rate)
    result = nitido.restore(wav, sample_rate=rate)
    assert result.wav.shape[1] == -(-samples * 48_000 // rate)


def test_blocks_of_any_length_give_the_same_result(spoiled: Wav) -> None:
    whole = nitido.restore(spoiled, sample_rate=32_000, block_seconds=100).wav
    for seconds in (1.0, 7.0):
        cut = nitido.restore(spoiled, sample_rate=32_000, block_seconds=seconds).wav
        assert np.abs(cut - whole).max() < 10 ** (-90 / 20)


def test_twice_the_same_input_gives_the_same_bytes(spoiled: Wav) -> None:
    first, second = (nitido.restore(spoiled, sample_rate=32_000).wav for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_plan_can_be_replayed_to_the_same_bytes(spoiled: Wav) -> None:
    first = nitido.restore(spoiled, sample_rate=32_000)
    plan = nitido.Plan.from_json(first.plan.to_json())
    second = nitido.restore(spoiled, sample_rate=32_000, plan=plan)
    assert second.wav.tobytes() == first.wav.tobytes()


def test_input_is_result_plus_what_was_removed(spoiled: Wav) -> None:
    result = nitido.restore(spoiled, sample_rate=32_000)
    before = np.concatenate(list(result.input_blocks()), axis=1)
    assert result.removed + result.wav == pytest.approx(before, abs=1e-6)


def test_music_without_a_fault_passes_untouched() -> None:
    wav = render(seconds=8)
    result = nitido.restore(wav, sample_rate=48_000, without=["loudness"])
    assert [step.stage for step in result.plan.steps if step.on] == []
    assert np.array_equal(result.wav, wav)


def test_silence_stays_silent() -> None:
    result = nitido.restore(silence(seconds=2, channels=2), sample_rate=48_000)
    assert not result.wav.any()


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_almost_nothing_is_restored_as_well(samples: int) -> None:
    wav = np.full((1, samples), 0.1, np.float32)
    assert nitido.restore(wav, sample_rate=48_000).wav.shape[1] == samples


def test_samples_that_are_no_numbers_are_filled_in_and_reported() -> None:
    wav = noise(seconds=2)
    wav[0, 5000:5010] = np.nan
    wav[0, 9000] = np.inf
    result = nitido.restore(wav, sample_rate=48_000)
    assert result.diagnosis["nonfinite"].value == 11
    assert np.isfinite(result.wav).all()


@pytest.mark.parametrize("channels", [1, 2, 5, 8])
def test_every_number_of_channels_is_accepted(channels: int) -> None:
    wav = lower_ceiling(noise(channels=channels), sample_rate=48_000, ceiling_hz=16_000)
    result = nitido.restore(wav, sample_rate=48_000)
    assert result.channels == max(channels, 2)
    assert result.after["bandwidth"].value > 19_000


def test_a_stage_over_its_budget_is_turned_down_and_the_result_says_so(spoiled: Wav) -> None:
    plan = nitido.plan(
        nitido.diagnose(spoiled, sample_rate=32_000), stages=["decomb", "transients"]
    )
    strict: Mapping[str, float] = {"decomb": 200.0}
    plan = nitido.Plan(plan.preset, plan.sample_rate, plan.steps, 0.0, strict)
    result = nitido.restore(spoiled, sample_rate=32_000, plan=plan)
    verdicts = {change.stage: change.verdict for change in result.changes}
    assert verdicts["decomb"] == "bypassed"
    assert not result.plan["decomb"].on
    assert "the budget is 200" in result.plan["decomb"].reason


def test_gentle_changes_less_than_musicgen(spoiled: Wav) -> None:
    whole = {
        preset: nitido.restore(spoiled, sample_rate=32_000, preset=preset).changes[-1]
        for preset in ("gentle", "musicgen")
    }
    assert whole["gentle"].si_sdr_db >= 30
    assert whole["gentle"].si_sdr_db > whole["musicgen"].si_sdr_db


def test_what_the_callback_raises_stops_the_work() -> None:
    def enough(done_seconds: float, total_seconds: float) -> None:
        raise nitido.CancelledError(f"enough at {done_seconds} of {total_seconds}")

    with pytest.raises(nitido.CancelledError):
        nitido.restore(noise(seconds=2), sample_rate=48_000, on_progress=enough)


def test_progress_runs_forward_to_the_end(spoiled: Wav) -> None:
    seen: list[float] = []
    nitido.restore(spoiled, sample_rate=32_000, on_progress=lambda done, _: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(8.0)
