import numpy as np
import pytest
import soundfile
import soxr
from scipy.signal import butter, sosfilt
from tests.signals import noise, pink_noise, sine

from nitido.diagnosis.shimmer import ShimmerAnalyser
from nitido.dsp.spectral import Frames

RATE = 48_000


def analyse(wav, *, sample_rate=RATE, cut=10**9):
    analyser = ShimmerAnalyser(sample_rate=sample_rate, channels=wav.shape[0])
    for start in range(0, wav.shape[1], cut):
        analyser.update(wav[:, start : start + cut])
    return analyser.finish()


def flickering(wav, *, sample_rate=RATE, low_hz=5_000, high_hz=14_000):
    """Return the sound with one bin in twenty kept in each frame, the others 20 dB down."""
    frames = Frames(1024, 512)
    spec = frames.analyse(np.pad(wav, ((0, 0), (1024, 1024))), first=-1024)
    hz = np.arange(513) * sample_rate / 1024
    kept = np.random.default_rng(0).random(spec.shape[1:]) < 1 / 20
    spec *= np.where(kept | (hz < low_hz) | (hz > high_hz), 1.0, 0.05)
    return frames.synthesise(spec, first=-1024, length=wav.shape[1] + 2048)[:, 1024:-1024]


def test_bins_that_come_and_go_are_found():
    finding = analyse(flickering(pink_noise(seconds=4)))
    assert finding.found
    assert "flickers" in finding.summary


def vibrato():
    time = np.arange(4 * RATE) / RATE
    phase = 2 * np.pi * 880 * time + 880 * 0.015 / 6 * np.sin(2 * np.pi * 6 * time)
    return sum(np.sin(k * phase) / k for k in range(1, 20))[None]


def hats():
    strokes = noise(seconds=4) * np.exp(-np.arange(4 * RATE) % (RATE // 8) / (0.02 * RATE))
    return sosfilt(butter(4, 6_000, "high", fs=RATE, output="sos"), strokes)


def distorted_guitar():
    time = np.arange(4 * RATE) / RATE
    strings = sum(
        np.sin(2 * np.pi * hz * (1 + 0.001 * k) * time) for k, hz in enumerate((82, 124, 165))
    )
    return np.tanh(8 * strings + pink_noise(seconds=4, rms=0.02)[0])[None]


def tremolo():
    time = np.arange(4 * RATE) / RATE
    return pink_noise(seconds=4) * (1 + 0.9 * np.sin(2 * np.pi * 8 * time))


@pytest.mark.parametrize(
    "music", [vibrato, hats, distorted_guitar, tremolo, lambda: noise(seconds=4, channels=2)]
)
def test_what_musicians_do_is_no_shimmer(music):
    finding = analyse(np.asarray(0.1 * music(), np.float32))
    assert not finding.found
    assert finding.value < 0.5


def test_only_the_treble_is_listened_to():
    assert not analyse(flickering(noise(seconds=4), low_hz=1_000, high_hz=4_500)).found


@pytest.mark.parametrize("gain", [1e-4, 10.0])
def test_how_loud_it_is_does_not_count(gain):
    wav = flickering(pink_noise(seconds=3))
    quiet = analyse(np.float32(gain) * wav)
    assert quiet.value == pytest.approx(analyse(wav).value, abs=0.05)


@pytest.mark.parametrize(("sample_rate", "channels"), [(32_000, 1), (44_100, 64), (96_000, 2)])
def test_it_is_found_at_every_rate_and_width(sample_rate, channels):
    wav = np.tile(pink_noise(seconds=3, sample_rate=sample_rate), (channels, 1))
    assert not analyse(wav, sample_rate=sample_rate).found
    spoilt = flickering(pink_noise(seconds=3))
    wide = soxr.resample(spoilt[0], RATE, sample_rate)[None]
    assert analyse(np.tile(wide, (channels, 1)), sample_rate=sample_rate).found


@pytest.mark.parametrize("cut", [997, 48_000, 100_000])
def test_it_does_not_depend_on_how_the_piece_is_cut(cut):
    wav = flickering(pink_noise(seconds=3))
    assert analyse(wav, cut=cut).value == pytest.approx(analyse(wav).value, abs=0.02)


def test_where_it_flickers_is_told_also_in_a_long_piece():
    wav = pink_noise(seconds=60)
    wav[:, 10 * RATE : 50 * RATE] = flickering(wav[:, 10 * RATE : 50 * RATE])
    finding = analyse(wav, cut=5 * RATE)
    assert finding.found
    assert finding.where[0][0] == pytest.approx(10, abs=1)
    assert finding.where[-1][1] == pytest.approx(50, abs=1)


@pytest.mark.parametrize(
    "wav",
    [
        np.zeros((2, 96_000), np.float32),
        np.ones((1, 1), np.float32),
        sine(440, seconds=3),
        noise(seconds=0.5),
    ],
)
def test_where_there_is_hardly_any_treble_nothing_is_said(wav):
    finding = analyse(wav)
    assert finding.value is None
    assert not finding.found


def test_at_8_khz_there_is_no_treble_to_judge():
    assert analyse(noise(seconds=3, sample_rate=8_000), sample_rate=8_000).value is None


@pytest.mark.parametrize("name", ["castanets", "glock", "guitar", "harpsichord", "strauss"])
def test_good_recordings_do_not_shimmer(shared_audio, name):
    wav, sample_rate = soundfile.read(
        shared_audio / "clean" / "test" / f"visqol_{name}.flac", dtype="float32", always_2d=True
    )
    assert not analyse(wav.T, sample_rate=sample_rate).found
