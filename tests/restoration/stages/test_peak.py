"""The first step of the founding pipeline: peak to full scale, 16 bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from tests.signals import noise, silence

import nitido
from nitido.dsp.wav import Wav


def peaked(wav: Wav, sample_rate: int = 32_000) -> Wav:
    stages = {"stages": ["peak"], "output_sample_rate": sample_rate}
    return nitido.restore(wav, sample_rate=sample_rate, **stages).wav


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rms", [0.001, 0.1, 1.0])
def test_it_is_what_the_founding_pipeline_wrote_and_read_again(
    channels: int, rms: float, tmp_path: Path
) -> None:
    wav = noise(seconds=1, sample_rate=32_000, channels=channels, rms=rms)
    sixteen = (wav / np.abs(wav).max() * 32_767).astype(np.int16)
    sf.write(tmp_path / "first.wav", sixteen.T, 32_000)
    read, _ = sf.read(tmp_path / "first.wav", dtype="float32", always_2d=True)
    ours = peaked(wav)
    assert np.abs(ours - read.T).max() <= 1 / 32_768  # one step, where it is a matter of rounding
    assert np.mean(ours != read.T) < 1e-3


def test_the_highest_sample_is_at_full_scale() -> None:
    assert np.abs(peaked(noise(seconds=1, rms=0.01))).max() == pytest.approx(1, abs=1e-4)


def test_silence_stays_silent() -> None:
    assert not peaked(silence()).any()


def test_no_other_preset_wants_it() -> None:
    diagnosis = nitido.diagnose(noise(), sample_rate=48_000)
    for preset in ("musicgen", "gentle", "master", "stems"):
        assert not nitido.plan(diagnosis, preset=preset)["peak"].on
