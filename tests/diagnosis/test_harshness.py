import numpy as np
import pytest
from tests.signals import cut, pink_noise, silence, sine

from nitido.diagnosis.finding import Finding
from nitido.diagnosis.harshness import HarshnessAnalyser
from nitido.dsp.wav import Wav

RATE = 44_100
SECONDS = 12


def analyse(*blocks: Wav, sample_rate: int = RATE) -> Finding:
    analyser = HarshnessAnalyser(sample_rate=sample_rate, channels=len(blocks[0]))
    for block in blocks:
        analyser.update(block)
    return analyser.finish()


def swell() -> Wav:
    """Return a level that goes up and down by 12 dB, a little differently each time."""
    time = np.arange(SECONDS * RATE) / RATE
    return (10 ** (0.3 * np.sin(2 * np.pi * (0.9 * time + 0.1 * time**1.5)))).astype(np.float32)


def ringing(gain_db: float, *, when_loud: bool = True) -> Wav:
    """Return noise in which 2.4, 3.2 and 4.1 kHz are raised."""
    wav = pink_noise(seconds=SECONDS, sample_rate=RATE)
    hz = np.maximum(np.fft.rfftfreq(wav.shape[1], 1 / RATE), 1)
    peaks = [np.exp(-0.5 * (np.log2(hz / at) / 0.1) ** 2) for at in (2_400, 3_200, 4_100)]
    raise_by = 10 ** (gain_db / 20 * np.max(peaks, axis=0)) - 1
    excess = np.fft.irfft(np.fft.rfft(wav) * raise_by, wav.shape[1]).astype(np.float32)
    level = swell()
    return (wav + (excess * (level > 1) if when_loud else excess)) * level / 4


@pytest.mark.parametrize(
    ("gain_db", "severity"), [(0, "ok"), (8, "slight"), (10, "moderate"), (14, "severe")]
)
def test_what_rings_when_it_is_loud_is_harsh(gain_db, severity):
    assert analyse(ringing(gain_db)).severity == severity


def test_the_places_that_ring_are_named():
    details = analyse(ringing(10)).details
    raised = dict(zip(details["bands_hz"], details["bands_db"], strict=True))
    assert min(raised[hz] for hz in (2519.8, 3174.8, 4000.0)) > max(raised[2828.4], 2.0)


def test_a_colour_that_is_always_there_is_not_harshness():
    finding = analyse(ringing(5, when_loud=False))
    assert finding.value < 0.3


def test_it_does_not_depend_on_the_volume():
    wav = ringing(8)
    assert analyse(wav * np.float32(0.02)).value == pytest.approx(analyse(wav).value, abs=0.2)


def test_a_lone_instrument_is_not_judged():
    wav = sine(880, seconds=SECONDS, sample_rate=RATE) + sine(
        2640, seconds=SECONDS, sample_rate=RATE
    )
    assert analyse(wav * swell() / 4).value is None


@pytest.mark.parametrize("wav", [silence(seconds=9), silence(seconds=0), np.ones((2, 1), "f4")])
def test_where_there_is_too_little_nothing_is_judged(wav):
    assert analyse(wav).value is None


def test_it_does_not_depend_on_how_the_piece_is_cut():
    wav = ringing(8)
    assert analyse(*cut(wav, 1, 977, 44_100)) == analyse(wav)
