from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from nitido_lab.benchmark.faulty import write_piece
from nitido_lab.benchmark.memory import Memory, peak_mib


def test_a_piece_of_any_length_is_written_without_holding_it(tmp_path: Path) -> None:
    write_piece(tmp_path / "piece.wav", 0.75)
    info = sf.info(tmp_path / "piece.wav")
    assert (info.frames, info.samplerate, info.channels) == (45 * 48_000, 48_000, 2)
    wav, _ = sf.read(tmp_path / "piece.wav")
    assert np.array_equal(wav[: 15 * 48_000], wav[30 * 48_000 :])


def test_the_peak_is_of_the_process_that_restores(tmp_path: Path) -> None:
    write_piece(tmp_path / "piece.wav", 0.05)
    here = np.ones(2**26)  # 512 MiB that are not its own
    peaks = [
        peak_mib(tmp_path / "piece.wav", tmp_path / f"{name}.wav", name)
        for name in ("nitido", "mastering-eq")
    ]
    assert here.all()
    assert all(40 < peak < 400 for peak in peaks)
    assert sf.info(tmp_path / "mastering-eq.wav").frames == 3 * 48_000


def test_growth_and_losses_are_said(tmp_path: Path) -> None:
    result = Memory(
        (1.0, 11.0), {"nitido": (200.0, 220.0), "resample": (100.0, 900.0)}, {"demucs": "no demucs"}
    )
    assert result.sentences() == [
        "nitido takes 20 MiB more for 11 min than for 1.",
        "Left out: demucs (no demucs).",
    ]
    assert result.table().rows == (("nitido", "200", "220"), ("resample", "100", "900"))
    less = Memory((1.0, 10.0), {"nitido": (141.0, 136.0)}, {})
    assert less.sentences() == ["nitido takes 5 MiB less for 10 min than for 1."]
    short = Memory((1.0,), {"nitido": (200.0,), "resample": (100.0,)}, {})
    assert short.sentences() == ["nitido loses to resample: 200 MiB against 100 for 1 min."]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_an_hour_takes_as_much_memory_as_ten_minutes(tmp_path: Path) -> None:
    """Takes 2 GB of disk."""
    peaks = []
    for minutes in (10, 60):
        write_piece(tmp_path / "piece.wav", minutes)
        peaks.append(peak_mib(tmp_path / "piece.wav", tmp_path / "result.wav", "nitido"))
        (tmp_path / "result.wav").unlink()
    assert peaks[1] < 400
    assert peaks[1] < 1.1 * peaks[0]
