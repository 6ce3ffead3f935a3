from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.diagnosis.test_phase import narrow, turned
from tests.signals import noise, silence, sine

import nitido
from nitido.audio import open_source, write
from nitido.demo.comb import add_comb
from nitido.demo.render import render
from nitido.dsp.loudness import LoudnessMeter, TruePeakMeter
from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.report.text import describe_change, facts
from nitido.restoration.stage import Budget
from nitido.restoration.stages.decomb import Decomb


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


def test_a_result_that_is_opened_again_is_the_restoration_that_wrote_it(
    spoiled: Wav, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.wav", [spoiled], sample_rate=32_000, channels=1,
                 samples=spoiled.shape[1])  # fmt: skip
    first = nitido.restore(path)
    result = first.write(tmp_path / "b.wav", bit_depth=32)
    sidecar = json.loads((tmp_path / "b.wav.nitido.json").read_text("utf-8"))
    again = nitido.Restoration.reopen(path, result, sidecar)
    assert again.wav.tobytes() == first.wav.tobytes()
    assert again.removed.tobytes() == first.removed.tobytes()
    del sidecar["result"]  # what is said of the file
    assert json.loads(json.dumps(again.sidecar())) == sidecar
    del sidecar["after"]
    with pytest.raises(ConfigError, match=r"the sidecar of b\.wav is not the sidecar of a"):
        nitido.Restoration.reopen(path, result, sidecar)


def test_what_musicgen_made_is_restored_by_default_as_by_its_own_preset(spoiled: Wav) -> None:
    first = nitido.restore(spoiled, sample_rate=32_000)
    named = nitido.restore(spoiled, sample_rate=32_000, preset="musicgen")
    assert first.wav.tobytes() == named.wav.tobytes()
    assert "preset musicgen (it comes at 32 kHz, as MusicGen makes it)" in facts(first)
    assert first.sidecar()["plan"]["preset_reason"] == first.plan.preset_reason


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


def test_hiss_is_not_restored_as_if_it_were_music() -> None:
    hiss = lower_ceiling(noise(seconds=6, rms=1e-4), sample_rate=48_000, ceiling_hz=11_000)
    result = nitido.restore(add_comb(hiss, sample_rate=48_000), sample_rate=48_000)
    assert [finding.kind for finding in result.diagnosis.findings if finding.found] == ["loudness"]
    assert result.channels == 1
    assert not result.removed.any()


def test_a_dead_channel_stays_dead_and_the_other_is_restored() -> None:
    wav = lower_ceiling(noise(seconds=6, channels=2), sample_rate=48_000, ceiling_hz=16_000)
    wav[1] = 0
    result = nitido.restore(wav, sample_rate=48_000)
    assert result.diagnosis["width"].summary == "The right channel is silent."
    assert result.after["bandwidth"].value > 19_000
    assert not result.wav[1].any()


@pytest.mark.parametrize("preset", ["musicgen", "gentle"])
def test_rumble_is_taken_away_however_strong_it_is(preset: str) -> None:
    wav = noise(seconds=6) + sine(8, seconds=6, amplitude=0.4)
    result = nitido.restore(wav, sample_rate=48_000, preset=preset, stages=["dc"])
    assert result.diagnosis["rumble"].severity == "severe"
    assert not result.after["rumble"].found


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
    assert "200.0 is the least" in result.plan["decomb"].reason
    assert (
        "decomb was left out: more of it would have changed too much of the music."
        in result.sentences()
    )


@pytest.mark.parametrize("fault", ["a band in anti-phase", "loud clicks"])
def test_a_fault_as_large_as_the_music_is_mended_whole_and_the_rest_is_told_apart(
    fault: str,
) -> None:
    wav = narrow()
    if fault == "loud clicks":
        wav *= np.float32(0.1)
        wav[:, 4_800:-4_800:4_000] += np.float32(0.8)
    else:
        wav = turned(wav, 300, 4_000, 180)
    chosen = {"stages": ["declick", "stereo", "match"], "settings": {"match.amount": 0.4}}
    result = nitido.restore(wav, sample_rate=48_000, preset="song", **chosen)
    whole = result.changes[-1]
    assert whole.si_sdr_db < result.plan.budget_db < whole.beside_faults_db
    assert {change.verdict for change in result.changes} == {"kept"}
    assert not {"clicks", "phase"} & {one.kind for one in result.after.findings if one.found}
    assert any(
        re.search(r"\(beside what was wrong: [\d.]+ dB\)", said) for said in result.sentences()
    )
    assert describe_change(whole).endswith("under the music; 15 dB or more are asked.")


def test_a_stage_that_takes_more_music_than_it_may_is_turned_down_in_plan_sidecar_and_words(
    spoiled: Wav, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Decomb, "budget", Budget(si_sdr_db=0.0, taken_sone=1e-3))
    result = nitido.restore(spoiled, sample_rate=32_000, stages=["decomb"])
    change = next(one for one in result.changes if one.stage == "decomb")
    assert change.verdict != "kept"
    assert "sone of it; 0.001 is the most" in result.plan["decomb"].reason
    assert change.to_dict()["budget_sone"] == 1e-3
    assert "of music; 0.001 may be taken." in describe_change(change)


@pytest.mark.parametrize("preset", ["musicgen", "gentle"])
def test_an_end_that_was_cut_is_faded_however_loud_it_is(preset: str) -> None:
    wav = noise(seconds=6, rms=0.02)
    wav[:, -14_400:] *= 15  # nearly all of the energy lies in the last moment
    result = nitido.restore(wav, sample_rate=48_000, preset=preset, without=["loudness"])
    assert result.diagnosis["end"].found
    assert not result.after["end"].found
    assert result.plan["ending"].on
    assert any("(beside the ends: untouched)" in said for said in result.sentences())


def test_gentle_changes_less_than_musicgen(spoiled: Wav) -> None:
    whole = {
        preset: nitido.restore(spoiled, sample_rate=32_000, preset=preset).changes[-1]
        for preset in ("gentle", "musicgen")
    }
    assert whole["gentle"].si_sdr_db >= 30
    assert whole["gentle"].si_sdr_db >= whole["musicgen"].si_sdr_db
    added = {preset: change.bands[-1]["difference_db"] for preset, change in whole.items()}
    assert added["gentle"] < added["musicgen"] - 2


def at_full_scale(kind: str) -> Wav:
    samples = 24_000
    time = np.arange(samples) / 48_000
    wav = {
        "constant": np.ones(samples),
        "negative constant": -np.ones(samples),
        "short constant": np.ones(5_000),
        "single sample": np.ones(1),
        "step": np.sign(time - 0.25),
        "square": np.sign(np.sin(2 * np.pi * 1000 * time + 0.1)),
        "noise of two values": np.sign(noise(seconds=0.5)[0]),
        "impulses": np.where(np.arange(samples) % 7000 == 1000, -1.0, 0.0),
        "near Nyquist": np.sin(2 * np.pi * 23_900 * time + 0.7),
        "a quarter of the rate": np.sin(2 * np.pi * 12_000 * time + np.pi / 4),
        "music on a constant": np.clip(noise(seconds=0.5, rms=0.2)[0] + 0.5, -1, 1),
        "what is no number": np.where(np.arange(samples) % 5000 < 50, np.inf, 0.5),
        "beyond full scale": 4 * noise(seconds=0.5)[0],
    }[kind]
    return np.float32(wav)[None]


@pytest.mark.parametrize("preset", ["musicgen", "gentle", "master"])
@pytest.mark.parametrize(
    "kind",
    [
        "constant",
        "negative constant",
        "short constant",
        "single sample",
        "step",
        "square",
        "noise of two values",
        "impulses",
        "near Nyquist",
        "a quarter of the rate",
        "music on a constant",
        "what is no number",
        "beyond full scale",
    ],
)
def test_no_written_peak_exceeds_the_ceiling(tmp_path: Path, kind: str, preset: str) -> None:
    path = nitido.restore(at_full_scale(kind), sample_rate=48_000, preset=preset).write(
        tmp_path / "a.wav"
    )
    source = open_source(path)
    meter = TruePeakMeter(source.sample_rate, source.channels)
    for block in source.blocks():
        meter.update(block)
    assert 20 * np.log10(meter.true_peak + 1e-9) <= -1 + 0.1


def test_a_limiter_over_its_budget_is_left_idle_and_the_ceiling_still_holds() -> None:
    wav = noise(seconds=1, rms=0.02)
    wav[:, ::9_000] = 0.9  # would have to be limited to reach −14 LUFS
    # The preset song would take them for clicks.
    plan = nitido.plan(nitido.diagnose(wav, sample_rate=48_000), preset="musicgen")
    strict = nitido.Plan(plan.preset, plan.sample_rate, plan.steps, 0.0, {"loudness": 110.0})
    result = nitido.restore(wav, sample_rate=48_000, plan=strict)
    assert result.plan["loudness"].settings["max_limiting_db"] == 0
    assert result.after["loudness"].details["true_peak_dbtp"] <= -1 + 0.1


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


CUTS = """
import hashlib, json, sys
import nitido
from nitido.dsp import chunks
from nitido.dsp.spectral import lower_ceiling
from nitido.restoration import chain
from tests.signals import noise, sine

chunks.usable_cores = chain.usable_cores = lambda: int(sys.argv[2])
music = noise(seconds=4, channels=2) + 10 * noise(seconds=4, seed=1) ** 3
settings = {"match.mode": "on", "transients.mode": "on", "dc.high_pass_hz": 20}
seconds = float(sys.argv[1])
for ceiling_hz in (15_000, 8_000):  # treble by rule, and by the network
    wav = lower_ceiling(music, sample_rate=48_000, ceiling_hz=ceiling_hz)
    wav += sum(sine(hz, seconds=4, amplitude=0.01) for hz in range(1600, ceiling_hz - 1000, 400))
    result = nitido.restore(wav, sample_rate=48_000, block_seconds=seconds, settings=settings)
    said = [result.plan.to_dict(), [c.to_dict() for c in result.changes], result.after.to_dict()]
    digest = hashlib.sha256(result.wav.tobytes() + json.dumps(said).encode()).hexdigest()
    on = [step.stage for step in result.plan.steps if step.on]
    print(result.plan["bandwidth"].settings["model"], *on, digest)
"""


def test_bytes_and_findings_are_the_same_in_any_blocks_and_on_any_number_of_threads() -> None:
    told = set()
    for seconds, threads in (("6", "1"), ("0.1", "2"), ("1.3", "4")):
        env = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)}
        command = [sys.executable, "-c", CUTS, seconds, threads]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        told.add(done.stdout)
    assert len(told) == 1, told
    for line, model in zip(told.pop().splitlines(), ("rule", "learned"), strict=True):
        assert {model, "dc", "decomb", "bandwidth", "transients", "loudness"} <= {*line.split()}


@pytest.mark.parametrize("mask", [0x3F, 0x60F, 0])
def test_surround_keeps_its_speakers_and_plays_as_loud_as_they_make_it(
    tmp_path: Path, mask: int
) -> None:
    wav = noise(seconds=3, channels=6, rms=0.02)
    wav[3:] *= 2
    write(
        tmp_path / "a.wav", [wav], sample_rate=48_000, channels=6, samples=wav.shape[1], mask=mask
    )
    settings = {"loudness.target_lufs": -23.0}
    result = nitido.restore(tmp_path / "a.wav", stages=["loudness"], settings=settings)
    result.write(tmp_path / "b.wav")
    assert open_source(tmp_path / "b.wav").mask == mask
    heard = LoudnessMeter(48_000, 6, mask)
    heard.update(result.wav)
    assert heard.integrated_lufs == pytest.approx(-23, abs=0.05)
    assert result.after["loudness"].value == pytest.approx(-23, abs=0.05)


def test_what_is_missing_from_a_damaged_file_is_said_in_the_sidecar(tmp_path: Path) -> None:
    wav = noise(seconds=2, channels=2)
    path = tmp_path / "a.wav"
    write(path, [wav], sample_rate=48_000, channels=2, samples=wav.shape[1])
    path.write_bytes(path.read_bytes()[:300_000])
    result = nitido.restore(path, damaged="take")
    (warning,) = result.sidecar()["before"]["warnings"]
    assert "cut short" in warning
    assert warning == result.sentences()[0]
