import numpy as np
import pytest
from tests.signals import pink_noise, silence, sine

from nitido.diagnosis.finding import Finding
from nitido.diagnosis.mud import MudAnalyser
from nitido.dsp.wav import Wav

RATE = 44_100


def analyse(wav: Wav, *, sample_rate: int = RATE) -> Finding:
    analyser = MudAnalyser(sample_rate=sample_rate, channels=len(wav))
    analyser.update(wav)
    return analyser.finish()


def hill(gain_db: float, low_hz: float = 170, high_hz: float = 600) -> Wav:
    wav = pink_noise(seconds=30, sample_rate=RATE)
    spectrum, hz = np.fft.rfft(wav), np.fft.rfftfreq(wav.shape[1], 1 / RATE)
    spectrum[:, (hz > low_hz) & (hz < high_hz)] *= 10 ** (gain_db / 20)
    return np.fft.irfft(spectrum, wav.shape[1]).astype(np.float32)


@pytest.mark.parametrize(
    ("gain_db", "severity"),
    [(-6, "ok"), (0, "ok"), (3, "ok"), (6.6, "slight"), (8.8, "moderate"), (11.5, "severe")],
)
def test_a_hill_is_mud_by_its_height(gain_db, severity):
    finding = analyse(hill(gain_db))
    assert finding.value == pytest.approx(0.9 * gain_db, abs=0.8)  # its foot lifts the line
    assert finding.severity == severity


@pytest.mark.parametrize(("low_hz", "high_hz"), [(220, 290), (50, 500), (200, 3_000)])
def test_a_favourite_note_and_a_warm_or_full_sound_are_not_mud(low_hz, high_hz):
    assert not analyse(hill(9, low_hz, high_hz)).found


def test_a_lone_instrument_is_not_judged():
    piece = {"seconds": 30, "sample_rate": RATE}
    wav = sine(220, **piece) + sine(440, **piece) * np.float32(0.5)
    assert analyse(wav + 0.001 * pink_noise(**piece)).value is None


@pytest.mark.parametrize("wav", [silence(seconds=9), silence(seconds=0), np.ones((2, 1), "f4")])
def test_where_there_is_too_little_nothing_is_judged(wav):
    assert analyse(wav).value is None
