"""A long piece between two passes lies on disk, not in memory."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from tests.signals import cut, noise

from nitido.dsp.chunks import join
from nitido.dsp.wav import Wav
from nitido.errors import AudioShapeError
from nitido.restoration.scratch import MEMORY_MAX_BYTES, Scratch
from nitido.restoration.stages.loudness import LevelProfile, Loudness


@pytest.mark.parametrize("seconds", [0.01, 100])
@pytest.mark.parametrize("block_samples", [None, 777_777])
def test_what_was_set_down_is_read_back(seconds: float, block_samples: int | None) -> None:
    wav = noise(seconds=seconds, channels=2)
    scratch = Scratch(channels=2)
    for passed, block in zip(scratch.fill(cut(wav, 5, 99_999)), cut(wav, 5, 99_999), strict=True):
        assert np.array_equal(passed, block)
    assert scratch.samples == wav.shape[1]
    for _ in range(2):
        assert np.array_equal(join(scratch.blocks(block_samples), channels=2), wav)


def test_a_long_piece_takes_no_more_memory_than_a_short_one() -> None:
    block = noise(seconds=1, channels=2)
    scratch = Scratch(channels=2)
    tracemalloc.start()
    for _ in range(4 * MEMORY_MAX_BYTES // block.nbytes):
        scratch.append(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    for read in scratch.blocks():
        assert read.nbytes <= 2**21
    _, peak_reading = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * MEMORY_MAX_BYTES
    assert peak_reading - before < MEMORY_MAX_BYTES / 2


def test_blocks_with_other_channels_than_announced_are_refused() -> None:
    with pytest.raises(AudioShapeError, match="2 channels were announced, 1 came"):
        Scratch(channels=2).append(noise(seconds=0.01))


def test_the_gain_of_a_piece_of_hours_is_found_without_holding_its_profile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The profile is looked at in parts; however long they are, the gain is the same."""
    quiet, loud = (noise(seconds=2, sample_rate=8000, rms=rms, seed=1) for rms in (0.02, 0.2))

    def blocks() -> Iterator[Wav]:
        for turn in range(30):
            yield loud if turn % 7 == 3 else quiet

    gains = []
    for part in (2**16, 1000, 137):
        monkeypatch.setattr("nitido.restoration.stages.loudness.STORED_INTERVALS", part)
        profile = LevelProfile(sample_rate=8000, channels=1)
        for block in blocks():
            profile.update(block)
        settings, _ = profile.resolve({**Loudness.defaults, "target_lufs": -9.0})
        gains.append(settings["gain_db"])
    assert gains == [gains[0]] * 3
    assert -6 < gains[0] < 20
