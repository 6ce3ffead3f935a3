import shutil

import numpy as np
import pytest
from tests.signals import noise, silence

from nitido.demo.render import render
from nitido.diagnosis.bandwidth import BandwidthAnalyser
from nitido.dsp.alignment import find_alignment
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError, MissingExtraError
from nitido_lab.degradation import lossy

RATE = 48_000


@pytest.fixture(scope="module")
def music() -> Wav:
    return render(seconds=4.0, sample_rate=RATE)


def ceiling_hz(wav: Wav) -> float:
    analyser = BandwidthAnalyser(sample_rate=RATE, channels=len(wav))
    analyser.update(wav)
    return float(analyser.finish().details["ceiling_hz"])


def test_the_lower_the_bit_rate_of_an_mp3_the_lower_its_ceiling(music: Wav) -> None:
    ceilings = [
        ceiling_hz(lossy.mp3(music, sample_rate=RATE, kbps=kbps)) for kbps in (24, 48, 64, 128)
    ]
    assert ceilings == sorted(ceilings)
    assert ceilings[0] < 6_000
    assert ceilings[-1] > 14_000


@pytest.mark.parametrize("coder", ["mp3", "opus", "vorbis", "aac"])
def test_coded_music_lies_where_it_was(coder: str, music: Wav) -> None:
    if coder == "aac" and shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    rate = {"vorbis": {"quality": 0.1}}.get(coder, {"kbps": 48})
    coded = getattr(lossy, coder)(music, sample_rate=RATE, **rate)
    assert coded.shape == music.shape
    found = find_alignment(estimate=coded, reference=music, sample_rate=RATE)
    assert found.lag_samples == 0
    assert 0.9 < found.correlation < 0.9999


def test_long_pieces_do_not_crash_the_coder() -> None:
    long = noise(seconds=45, sample_rate=32_000)
    coded = lossy.vorbis(long, sample_rate=32_000, quality=0.15)
    assert coded.shape == long.shape


def test_silence_is_coded_as_silence() -> None:
    quiet = silence(seconds=1, channels=2)
    assert np.abs(lossy.mp3(quiet, sample_rate=RATE, kbps=32)).max() < 1e-4


def test_rates_that_no_coder_knows_are_refused(music: Wav) -> None:
    with pytest.raises(ConfigError, match="outside"):
        lossy.mp3(music, sample_rate=RATE, kbps=1_000)
    with pytest.raises(ConfigError, match="resample to 48000"):
        lossy.opus(music, sample_rate=44_100, kbps=48)


def test_aac_without_ffmpeg_says_what_to_install(
    music: Wav, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingExtraError, match="install ffmpeg"):
        lossy.aac(music, sample_rate=RATE, kbps=64)
