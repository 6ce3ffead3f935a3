"""The range of masters: what eight in ten pieces have, and only where there are enough."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.signals import pink_noise, sine

from nitido.errors import ConfigError
from nitido_lab.masters import BANDS, measure_range

RATE = 44_100


def pieces(folder: Path, count: int) -> list[Path]:
    """Write pieces of noise, each a little brighter than the one before, and a short tone."""
    wav = pink_noise(seconds=15, sample_rate=RATE)
    spectrum, hz = np.fft.rfft(wav), np.maximum(np.fft.rfftfreq(wav.shape[1], 1 / RATE), 20)
    for number in range(count):
        tilt = (hz / 1000) ** (number / count)
        brighter = np.fft.irfft(spectrum * tilt, wav.shape[1])
        place = folder / f"{number:02d}.wav"
        soundfile.write(place, 0.1 * brighter.T / brighter.std(), RATE, subtype="FLOAT")
    soundfile.write(folder / "tone.wav", sine(440, seconds=3, sample_rate=RATE).T, RATE)
    return sorted(folder.iterdir())


def test_the_range_is_as_wide_as_the_pieces_differ_and_leaves_out_what_is_short(
    tmp_path: Path,
) -> None:
    found = measure_range(pieces(tmp_path, 10))
    width_db = np.array(found.high_db) - found.low_db
    assert len(width_db) == BANDS
    assert width_db[-1] > width_db[13] + 3
    assert "tone.wav" not in found.pieces


def test_too_few_pieces_have_no_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 full pieces are too few"):
        measure_range(pieces(tmp_path, 1))
