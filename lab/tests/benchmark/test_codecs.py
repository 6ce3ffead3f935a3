import shutil

import numpy as np
import pytest
from tests.signals import silence

from nitido.demo.render import render
from nitido.diagnosis.comb import CombAnalyser
from nitido.dsp.alignment import find_alignment
from nitido.dsp.wav import Wav
from nitido.metrics.artefacts import bandwidth
from nitido_lab.benchmark.codecs import CODECS, DECODER_HZ, SAMPLE_RATE


@pytest.fixture(scope="module")
def music() -> Wav:
    return render(seconds=6.0, sample_rate=SAMPLE_RATE)


def usable(*names: str) -> list[str]:
    return [name for name in names or CODECS if CODECS[name].missing() is None]


@pytest.mark.parametrize("name", usable("mp3-64", "aac-64", "opus-48", "vorbis-64"))
def test_a_coded_piece_lies_where_it_was_and_has_lost_something(name: str, music: Wav) -> None:
    coded = CODECS[name].apply(music)
    assert coded.shape == music.shape
    assert coded.dtype == np.float32
    found = find_alignment(estimate=coded, reference=music, sample_rate=SAMPLE_RATE)
    assert found.lag_samples == 0
    assert 0.95 < found.correlation < 0.9999


def test_the_simulated_decoder_leaves_mono_at_32_khz_with_a_comb(music: Wav) -> None:
    coded = CODECS["musicgen-simulated"].apply(music)
    assert coded.shape == (1, music.shape[1] * DECODER_HZ // SAMPLE_RATE)
    analyser = CombAnalyser(sample_rate=DECODER_HZ, channels=1)
    analyser.update(coded)
    finding = analyser.finish()
    assert finding.found
    assert finding.details["spacing_hz"] == 400.0


def test_low_rates_cost_treble(music: Wav) -> None:
    whole = bandwidth(estimate=music, sample_rate=SAMPLE_RATE)["bandwidth_hz"]
    coded = bandwidth(estimate=CODECS["mp3-64"].apply(music), sample_rate=SAMPLE_RATE)[
        "bandwidth_hz"
    ]
    assert coded is not None
    assert whole is not None
    assert coded < 17_000 < whole


def test_silence_stays_where_it_is() -> None:
    for name in usable("mp3-64", "opus-48", "vorbis-64", "musicgen-simulated"):
        assert np.abs(CODECS[name].apply(silence(channels=2))).max() < 1e-4


def test_what_is_not_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "ffmpeg" in str(CODECS["aac-64"].missing())
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "pip install 'nitido[generate]'" in str(CODECS["encodec-32khz"].missing())
