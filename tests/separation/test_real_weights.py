"""The real htdemucs, where its weights are in the cache: run by hand with -m weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import nitido
from nitido.separation.demucs_model import missing

pytestmark = pytest.mark.weights


def test_real_music_is_nearly_all_in_the_stems(shared_audio: Path) -> None:
    if (reason := missing("htdemucs")) is not None:
        pytest.skip(reason)
    path = shared_audio / "musicgen" / "azira18_rock-90s.wav"
    wav, _ = sf.read(path, dtype="float32", always_2d=True)
    stems = nitido.separate(path)
    level_db = {name: 20 * np.log10(stem.std() / wav.std()) for name, stem in stems.items()}
    assert np.abs(sum(stems.values()) - wav.T).max() < 1e-5
    assert level_db["residual"] < -10
    assert level_db["drums"] > -20
