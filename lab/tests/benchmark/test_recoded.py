from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from tests.signals import noise, pink_noise

from nitido.dsp.spectral import lower_ceiling
from nitido.dsp.wav import Wav
from nitido_lab.benchmark.recoded import (
    CLEAN,
    DROPOUT_SECONDS,
    KINDS,
    VERSIONS,
    measure,
    set_on,
)

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


def write(path: Path, wav: Wav, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, wav.T, rate, subtype="FLOAT")


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    dull = lower_ceiling(pink_noise(seconds=3), sample_rate=48_000, ceiling_hz=12_000)
    stem = next(f"clip-{number}" for number in range(9) if not set_on(f"clip-{number}"))
    write(tmp_path / "musicgen" / f"{stem}.wav", 0.3 * dull, 48_000)
    write(tmp_path / CLEAN / "noise.wav", noise(seconds=3), 48_000)
    return tmp_path


def test_every_version_of_every_clip_is_looked_at(audio: Path) -> None:
    rows = measure(audio, workers=1).rows
    planted = [row for row in rows if row.kind == "gaps" and row.before]
    assert len(rows) - len(planted) == 2 * len(VERSIONS) * len(KINDS)
    assert len(planted) == len(VERSIONS) * len(DROPOUT_SECONDS)
    assert np.mean([row.found for row in planted if row.version.startswith(("mp3", "s"))]) > 0.7
    ceilings = [row for row in rows if row.kind == "bandwidth" and not row.clean]
    assert all(row.before and row.found for row in ceilings)
    assert not any(row.alarm for row in rows)


@pytest.mark.parametrize("name", ["soxr-back", "pcm16", "swr-48000"])
def test_a_version_is_the_clip_again(name: str) -> None:
    wav = 0.3 * lower_ceiling(pink_noise(seconds=2), sample_rate=48_000, ceiling_hz=12_000)
    made, rate = VERSIONS[name](wav, 48_000)
    assert rate == 48_000
    inside = slice(2_000, -2_000)
    assert np.abs(made[:, inside] - wav[:, inside]).max() < 2e-3
