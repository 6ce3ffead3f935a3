import numpy as np
import pytest
import soundfile
from tests.signals import cut, pink_noise, silence

from nitido.diagnosis.finding import Finding
from nitido.diagnosis.sibilance import SibilanceAnalyser
from nitido.dsp.wav import Wav

RATE = 44_100
WORDS_SECONDS = np.cumsum([0.7, 0.5, 0.31, 0.84, 0.43, 0.62, 0.37, 1.1, 0.55, 0.71])


def analyse(*blocks: Wav, sample_rate: int = RATE) -> Finding:
    analyser = SibilanceAnalyser(sample_rate=sample_rate, channels=len(blocks[0]))
    for block in blocks:
        analyser.update(block)
    return analyser.finish()


def hiss(low_hz: float, high_hz: float, *, seconds: float = 8.0, sample_rate: int = RATE) -> Wav:
    """Return noise of RMS 1 in a band."""
    rng = np.random.default_rng(1)
    spectrum = np.fft.rfft(rng.standard_normal(round(seconds * sample_rate)))
    hz = np.fft.rfftfreq(round(seconds * sample_rate), 1 / sample_rate)
    noise = np.fft.irfft(spectrum * ((hz > low_hz) & (hz < high_hz)))
    return np.asarray(noise / noise.std(), np.float32)[None]


def swells(starts_seconds, *, attack: float = 0.03, decay: float = 0.02) -> Wav:
    """Return an envelope that is up for 80 ms at each place."""
    time = np.arange(8 * RATE) / RATE
    rise = [np.minimum((time - at) / attack, (at + 0.1 - time) / decay) for at in starts_seconds]
    return np.clip(np.max(rise, axis=0), 0, 1).astype(np.float32)[None]


def strokes(starts_seconds) -> Wav:
    """Return an envelope that is there at once and dies away."""
    time = np.arange(8 * RATE) / RATE
    decays = [np.exp(-(time - at) / 0.05) * (time >= at) for at in starts_seconds]
    return np.max(decays, axis=0).astype(np.float32)[None]


def band_of_players() -> Wav:
    """Return noise that falls by 6 dB per octave, of RMS 0.1."""
    spectrum = np.fft.rfft(pink_noise(seconds=8, sample_rate=RATE))
    wav = np.fft.irfft(spectrum / np.sqrt(1 + np.arange(spectrum.shape[1]) / 1_600), 8 * RATE)
    return np.asarray(0.1 * wav / wav.std(), np.float32)


def voice(level_db: float) -> Wav:
    s = 0.1 * 10 ** (level_db / 20) * hiss(5_000, 9_000) * swells(WORDS_SECONDS)
    return band_of_players() + s.astype(np.float32)


@pytest.mark.parametrize(
    ("level_db", "severity"), [(-12, "ok"), (-8, "slight"), (-4, "moderate"), (2, "severe")]
)
def test_an_s_is_sharp_by_how_much_of_the_energy_it_holds(level_db, severity):
    finding = analyse(voice(level_db))
    share = 10 ** (level_db / 10) * (swells(WORDS_SECONDS) ** 2).mean()
    assert finding.severity == severity
    assert finding.value == pytest.approx(10 * np.log10(share / (1 + share)), abs=1.2)


def test_each_s_is_found_where_it_is():
    finding = analyse(voice(-2))
    assert len(finding.where) == len(WORDS_SECONDS)
    for (start, end), word in zip(finding.where, WORDS_SECONDS, strict=True):
        assert word < start < end < word + 0.11


@pytest.mark.parametrize(
    "burst",
    [
        hiss(5_000, 15_000) * strokes(WORDS_SECONDS),  # a cymbal
        hiss(5_000, 9_000) * strokes(WORDS_SECONDS),  # a cymbal, coded at a low rate
        hiss(5_000, 15_000) * swells(WORDS_SECONDS),  # a shaker
        hiss(300, 9_000) * swells(WORDS_SECONDS),  # a snare with brushes
        np.sin(2 * np.pi * 6_300 * np.arange(8 * RATE) / RATE)[None] * swells(WORDS_SECONDS),
        hiss(5_000, 9_000) * swells(np.arange(0.4, 7.8, 0.41)),  # keeps time
    ],
    ids=["cymbal", "dull cymbal", "shaker", "snare", "whistle", "beat"],
)
def test_what_only_is_bright_is_no_s(burst):
    wav = band_of_players() + np.float32(0.1) * burst.astype(np.float32)
    assert not analyse(wav).found


@pytest.mark.parametrize("wav", [silence(seconds=3), silence(seconds=0), np.ones((2, 1), "f4")])
def test_where_there_is_nothing_there_is_no_s(wav):
    assert analyse(wav).value is None


def test_it_does_not_depend_on_how_the_piece_is_cut():
    wav = voice(-2)
    assert analyse(*cut(wav, 1, 977, 44_100)) == analyse(wav)


@pytest.mark.parametrize("name", ["sms_carnatic.wav", "sms_singing-female.wav", "mdn_viper.ogg"])
def test_good_recordings_have_no_sharp_s(shared_audio, name):
    path = shared_audio / "clean" / "train" / name
    wav, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert not analyse(np.ascontiguousarray(wav.T), sample_rate=sample_rate).found
