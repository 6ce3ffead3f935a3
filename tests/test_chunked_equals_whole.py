"""A piece worked on in chunks of any length is the piece worked on whole: each stage, and all."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from tests.signals import cut, pink_noise, sine

import nitido
from nitido.diagnosis.finding import Diagnosis
from nitido.dsp.chunks import join
from nitido.dsp.loop import Unrolled
from nitido.dsp.wav import Wav
from nitido.restoration.chain import Chain
from nitido.restoration.plan import Plan, build
from nitido.restoration.registry import STAGES
from nitido.restoration.resources import Resources

RATES_HZ = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000)
CHANNELS = (1, 2, 3, 64)
MANY_CHANNELS_HZ = (8_000, 48_000)
CHUNKS_SECONDS = (0.1, 0.37)
SECONDS = 0.7
DIFFERENCE_MAX_DB = -90.0
CUTS = ((1, 977), (4096,))

# Each stage with work to do; "stems" needs weights, and is held against Demucs itself elsewhere.
SETTINGS: dict[str, dict[str, Any]] = {
    "peak": {"peak_dbfs": -1.5},
    "declip": {"positive_level": [0.5], "negative_level": [-0.5]},
    "declick": {},
    "dc": {"offset": [0.05], "high_pass_hz": 30.0},
    "decomb": {
        "lines_hz": [400.0, 800.0, 1200.0, 2000.0],
        "lines_db": [20.0, 15.0, 12.0, 10.0],
        "spacing_hz": 400.0,
        "low_hz": 0.0,
        "rms_db": -10.0,
        "line_db": -20.0,
    },
    "deshimmer": {"spread_db": 2.0},
    "demud": {"bands_hz": [200.0, 500.0], "bands_db": [5.0, 3.0], "usual_db": -60.0},
    "deharsh": {"bands_hz": [2000.0, 3000.0], "bands_db": [5.0, 3.0], "usual_db": -60.0},
    "deess": {"starts_seconds": [0.2], "ends_seconds": [0.3], "lower_db": [5.0]},
    "match": {"gains_db": [2.0, -1.0, 0.5, 3.0]},
    "bandwidth": {"ceiling_hz": 2000.0, "crossover_hz": 1900.0, "rms_db": -14.0, "gate_db": -90.0},
    "transients": {"gain_db": 6.0},
    "stereo": {
        "side_hz": [120.0, 180.0],
        "side_db": [-60.0, 0.0],
        "turn_hz": [300.0, 320.0, 1200.0, 1300.0],
        "turn_degrees": [0.0, 150.0, 180.0, 0.0],
    },
    "width": {},
    "ending": {"fade_in_ms": 60.0, "fade_out_seconds": 0.3},
    "loudness": {"gain_db": 9.0, "ceiling_dbtp": -3.0},
}


@cache
def faulty(sample_rate: int, channels: int) -> Wav:
    """Return clipped music with an offset, lines, attacks, a click, and an end that is cut."""
    piece = {"seconds": SECONDS, "sample_rate": sample_rate, "channels": channels}
    wav = pink_noise(**piece, rms=0.15) + sine(400, **piece, amplitude=0.1)
    wav += sine(1200, **piece, amplitude=0.05) + np.float32(0.05)
    wav[:, :: sample_rate // 5] += 0.5
    wav = np.clip(wav, -0.5, 0.5)
    wav[:, wav.shape[1] // 2] = 3.0
    return wav


def plan_of(stages: tuple[str, ...], *, channels: int, sample_rate: int) -> Plan:
    """Return a plan in which these stages have work to do, and nothing is turned down."""
    steps = []
    for name in stages:
        per_channel = {
            key: value * channels
            for key, value in SETTINGS[name].items()
            if isinstance(value, list) and name in ("declip", "dc")
        }
        steps.append({"stage": name, "settings": {**SETTINGS[name], **per_channel}})
    budgets = dict.fromkeys(stages, -60.0)
    return Plan.from_dict(
        {"sample_rate": sample_rate, "budget_db": -60.0, "budgets_db": budgets, "steps": steps}
    )


def result(
    wav: Wav, stage: str, *, sample_rate: int, chunk_seconds: float, sizes: tuple[int, ...]
) -> Wav:
    """Return a stage's result, the piece coming in blocks of `sizes`, worked on in chunks."""
    plan = plan_of((stage,), channels=len(wav), sample_rate=sample_rate)
    blocks = cut(wav, *sizes)
    if stage != "loudness":
        chain = Chain(plan, sample_rate, len(wav), Unrolled(wav.shape[1]), chunk_seconds)
        return join(chain.run(blocks), channels=chain.channels_out)
    piece = {"sample_rate": sample_rate, "channels": len(wav), "samples": wav.shape[1]}
    size = max(1, round(chunk_seconds * sample_rate))
    pairs = build(plan["loudness"], **piece).stream(
        blocks, block_samples=size, resources=Resources()
    )
    return join((after for _, after in pairs), channels=len(wav))


def difference_db(found: Wav, whole: Wav) -> float:
    """Return the RMS of the difference re the RMS of the whole, dB."""
    assert found.shape == whole.shape
    wrong, right = (
        float(np.sqrt(np.mean(w.astype(np.float64) ** 2))) for w in (found - whole, whole)
    )
    return float(20 * np.log10(max(wrong, 1e-12) / right))


@cache
def whole_result(stage: str, sample_rate: int, channels: int) -> Wav:
    wav = faulty(sample_rate, channels)
    return result(wav, stage, sample_rate=sample_rate, chunk_seconds=100, sizes=(wav.shape[1],))


def check_stage(
    stage: str, sample_rate: int, channels: int, chunk_seconds: float, sizes: tuple[int, ...]
) -> None:
    if stage == "width":
        channels = min(channels, 2)
    wav = faulty(sample_rate, channels)
    found = result(wav, stage, sample_rate=sample_rate, chunk_seconds=chunk_seconds, sizes=sizes)
    whole = whole_result(stage, sample_rate, channels)
    assert difference_db(found, whole) <= DIFFERENCE_MAX_DB


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "stems"])
def test_each_stage_has_work_to_do_here(stage: str) -> None:
    channels = 1 if stage == "width" else 2
    wav = faulty(48_000, channels)
    found = whole_result(stage, 48_000, channels)
    assert difference_db(found[:channels], wav) > -60


@given(
    stage=st.sampled_from(sorted(SETTINGS)),
    sample_rate=st.sampled_from(RATES_HZ),
    channels=st.sampled_from([1, 2, 3]),
    chunk_seconds=st.sampled_from([0.1, 0.37]) | st.floats(0.08, 0.8),
    sizes=st.lists(st.integers(1, 50_000), min_size=1, max_size=3).filter(lambda s: sum(s) > 500),
)
@settings(max_examples=60, deadline=None)
def test_a_stage_in_chunks_is_the_stage_on_the_whole(
    stage: str, sample_rate: int, channels: int, chunk_seconds: float, sizes: list[int]
) -> None:
    check_stage(stage, sample_rate, channels, chunk_seconds, tuple(sizes))


@pytest.mark.soak
@pytest.mark.parametrize("stage", sorted(SETTINGS))
@pytest.mark.parametrize("sample_rate", RATES_HZ)
def test_every_stage_at_every_rate_and_number_of_channels(stage: str, sample_rate: int) -> None:
    for channels, chunk_seconds, sizes in itertools.product(CHANNELS, CHUNKS_SECONDS, CUTS):
        if channels == 64 and (sample_rate not in MANY_CHANNELS_HZ or sizes != CUTS[1]):
            continue
        check_stage(stage, sample_rate, channels, chunk_seconds, sizes)
    whole_result.cache_clear()


@cache
def whole_piece(sample_rate: int, channels: int) -> tuple[Wav, Diagnosis]:
    """Return a piece restored in one chunk, and what was found in it."""
    restored = nitido.restore(
        faulty(sample_rate, channels), sample_rate=sample_rate, block_seconds=100
    )
    assert any(step.on for step in restored.plan.steps)
    return restored.wav, restored.diagnosis


@pytest.mark.parametrize(
    ("sample_rate", "channels", "chunk_seconds"),
    [(8_000, 2, 0.1), (11_025, 1, 0.37), (32_000, 1, 0.1), (48_000, 3, 0.3), (96_000, 2, 0.5)],
)
def test_a_piece_restored_in_chunks_is_the_piece_restored_whole(
    sample_rate: int, channels: int, chunk_seconds: float
) -> None:
    whole, diagnosis = whole_piece(sample_rate, channels)
    wav = faulty(sample_rate, channels)
    found = nitido.restore(wav, sample_rate=sample_rate, block_seconds=chunk_seconds)
    assert found.diagnosis == diagnosis
    assert difference_db(found.wav, whole) <= DIFFERENCE_MAX_DB


@pytest.mark.soak
@pytest.mark.parametrize("sample_rate", RATES_HZ)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_restored_in_chunks_at_every_rate_and_number_of_channels(
    sample_rate: int, channels: int
) -> None:
    whole, _ = whole_piece(sample_rate, channels)
    wav = faulty(sample_rate, channels)
    for chunk_seconds in (0.1, 0.21):
        found = nitido.restore(wav, sample_rate=sample_rate, block_seconds=chunk_seconds)
        assert difference_db(found.wav, whole) <= DIFFERENCE_MAX_DB
    whole_piece.cache_clear()
