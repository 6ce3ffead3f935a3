from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tests.signals import noise

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.chunks import windows
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido.restoration.stages.declip import TOLERANCE, Declip

RATE = 32_000


def music(*, seconds: float = 3.0, seed: int = 0) -> Wav:
    """Return plucked chords with a little noise, peak 1, `[1, T]`."""
    rng = np.random.default_rng(seed)
    wav = np.zeros(round(seconds * RATE))
    time = np.arange(RATE) / RATE
    for start in range(0, len(wav), RATE // 4):
        for note in rng.choice([48, 52, 55, 59, 60, 64, 67], 3, replace=False):
            pitch_hz = 440 * 2 ** ((note - 69) / 12)
            for partial in range(1, 13):
                tone = np.sin(2 * np.pi * partial * pitch_hz * time + rng.uniform(0, 6))
                tone *= np.exp(-time * (2 + partial)) / partial * np.minimum(1, time * 500)
                wav[start : start + RATE] += tone[: len(wav) - start]
    wav += 0.002 * rng.standard_normal(len(wav))
    return (wav / np.abs(wav).max()).astype(np.float32)[None]


def stage_for(wav: Wav, level: float, **settings: Any) -> Declip:
    channels = wav.shape[0]
    levels = {"positive_level": [level] * channels, "negative_level": [-level] * channels}
    return Declip(
        {**Declip.defaults, **levels, **settings},
        sample_rate=RATE,
        channels=channels,
        samples=wav.shape[1],
    )


def restore(wav: Wav, level: float, *, size: int | None = None, **settings: Any) -> Wav:
    stage = stage_for(wav, level, **settings)
    cut = windows([wav], size=size or wav.shape[1], context=stage.context_samples)
    return np.concatenate([stage.apply(window, start=start) for window, start in cut], axis=1)


def gained_db(clean: Wav, level_db: float) -> float:
    """Return by how much SDR over the clipped samples rises, dB."""
    level = np.float32(10 ** (level_db / 20))
    clipped = np.clip(clean, -level, level)
    lost = np.abs(clean) >= level
    restored = restore(clipped, float(level))
    before, after = ((wav - clean)[lost] for wav in (clipped, restored))
    return float(10 * np.log10(np.sum(before**2) / np.sum(after**2)))


def diagnosis(*, clipped: bool) -> Diagnosis:
    details = {
        "positive_level": [0.9, None],
        "negative_level": [-0.9, None],
        "clipped_samples": 812,
        "runs": 90,
    }
    finding = Finding(
        "clipping", 1.0, "samples/s", "moderate" if clipped else "ok", "", details=details
    )
    return Diagnosis(RATE, 2, RATE, (finding,))


def test_a_piece_that_is_not_clipped_needs_nothing() -> None:
    step = Declip.plan(diagnosis(clipped=False), Declip.defaults)
    assert not step.on
    assert step.settings == Declip.defaults


def test_measured_levels_become_the_settings() -> None:
    step = Declip.plan(diagnosis(clipped=True), Declip.defaults)
    assert step.on
    assert step.settings["positive_level"] == [0.9, None]
    assert step.settings["negative_level"] == [-0.9, None]
    assert step.reason == "restores 812 clipped samples from their surroundings"


def test_levels_that_are_given_keep_precedence() -> None:
    given = {**Declip.defaults, "positive_level": [0.5, 0.5]}
    step = Declip.plan(diagnosis(clipped=True), given)
    assert step.on
    assert step.settings == given


@pytest.mark.parametrize("level_db", [-3.0, -6.0, -10.0])
def test_clipped_chords_come_back_closer_to_what_they_were(level_db: float) -> None:
    gains = [gained_db(music(seed=seed), level_db) for seed in range(3)]
    assert np.mean(gains) >= 8
    assert min(gains) >= 6


def test_clipped_recordings_come_back_closer_to_what_they_were(shared_audio: Path) -> None:
    gains = []
    for name in ("contrabassoon", "moonlight", "ravel", "strauss"):
        path = shared_audio / "clean" / "test" / f"visqol_{name}.flac"
        clean = soundfile.read(path, frames=150_000, dtype="float32", always_2d=True)[0].T[:1]
        clean = clean / np.abs(clean).max()
        gains += [gained_db(clean, level_db) for level_db in (-3.0, -6.0, -10.0)]
    assert np.mean(gains) >= 6
    assert min(gains) >= 2


def test_samples_below_the_level_are_not_touched_and_clipped_ones_never_fall_below_it() -> None:
    level = np.float32(0.5)
    clipped = np.clip(music(), -level, level)
    restored = restore(clipped, 0.5)
    reliable = np.abs(clipped) < level - TOLERANCE
    np.testing.assert_array_equal(restored[reliable], clipped[reliable])
    assert np.abs(restored[~reliable]).min() >= level
    assert np.array_equal(np.sign(restored), np.sign(clipped))


def test_no_peak_rises_higher_than_allowed() -> None:
    clipped = np.clip(music(), -0.1, 0.1)
    assert np.abs(restore(clipped, 0.1, max_gain_db=6.0)).max() <= 0.2


def test_a_piece_below_the_level_passes_unchanged() -> None:
    wav = music()
    np.testing.assert_array_equal(restore(wav, 1.5), wav)


def test_a_channel_without_a_level_passes_unchanged() -> None:
    wav = np.repeat(np.clip(music(seconds=1), -0.5, 0.5), 2, axis=0)
    restored = restore(wav, 0.5, positive_level=[None, 0.5], negative_level=[None, -0.5])
    np.testing.assert_array_equal(restored[0], wav[0])
    assert restored[1].max() > 0.6


def test_half_the_amount_goes_half_the_way() -> None:
    clipped = np.clip(music(seconds=1), -0.5, 0.5)
    half, full = (restore(clipped, 0.5, amount=amount) for amount in (0.5, 1.0))
    np.testing.assert_allclose(half - clipped, (full - clipped) / 2, atol=1e-6)


def test_cut_in_blocks_or_whole_the_result_is_the_same_to_the_bit() -> None:
    clipped = np.clip(np.concatenate([music(), noise(seconds=3, sample_rate=RATE)]), -0.2, 0.2)
    whole = restore(clipped, 0.2)
    for size in (RATE, 12_345):
        assert np.array_equal(restore(clipped, 0.2, size=size), whole)


def test_a_plateau_of_a_single_sample_piece_stays_finite() -> None:
    restored = restore(np.ones((1, 1), np.float32), 1.0)
    assert 1.0 <= restored[0, 0] <= 2.0


def test_levels_must_match_the_channels() -> None:
    with pytest.raises(ConfigError, match="1 values for 2 channels"):
        stage_for(np.zeros((2, 10), np.float32), 0.5, positive_level=[0.5])
