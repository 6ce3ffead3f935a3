import numpy as np
import pytest
from tests.signals import noise, sine

from nitido.diagnosis.phase import PhaseAnalyser
from nitido_lab.degradation import stereo

RATE = 48_000


def fold_db(wav: np.ndarray, hz: float) -> float:
    meter = PhaseAnalyser(sample_rate=RATE, channels=2)
    meter.update(wav)
    bands = meter.finish().details["bands"]
    return next(row["fold_db"] for row in bands if row["low_hz"] <= hz < row["high_hz"])


def test_wide_lows_keep_the_middle_and_everything_above() -> None:
    wav = noise(seconds=4, channels=2)
    spoilt = stereo.wide_lows(wav, sample_rate=RATE, below_hz=150.0, side_db=6.0)
    assert np.allclose(spoilt.sum(axis=0), wav.sum(axis=0), atol=1e-5)
    change = np.abs(np.fft.rfft(spoilt[0] - wav[0]))
    assert change[150 * 4 + 1 :].max() < 1e-3 * change.max()
    assert fold_db(spoilt, 60) == pytest.approx(-10 * np.log10(1 + 10**0.6), abs=0.5)


@pytest.mark.parametrize(("degrees", "loss_db"), [(120.0, 6.0), (168.5, 20.0)])
def test_a_turned_band_loses_what_its_angle_says_on_one_loudspeaker(
    degrees: float, loss_db: float
) -> None:
    wav = sine(1000, seconds=2, channels=2)
    settings = {"low_hz": 500.0, "high_hz": 2000.0, "degrees": degrees}
    spoilt = stereo.turn_band(wav, sample_rate=RATE, **settings)
    assert fold_db(spoilt, 1000) == pytest.approx(-loss_db, abs=0.1)
    assert np.array_equal(
        np.abs(np.fft.rfft(wav[1])).argmax(), np.abs(np.fft.rfft(spoilt[1])).argmax()
    )


def test_a_phasey_side_has_two_notches_in_mono_per_swing() -> None:
    wav = np.repeat(noise(seconds=4), 2, axis=0)
    spoilt = stereo.phasey(wav, sample_rate=RATE, degrees=180.0, swings=3.0)
    gain = np.abs(np.fft.rfft(spoilt.sum(axis=0))) / np.abs(np.fft.rfft(wav.sum(axis=0)))
    low = gain < 0.1
    assert np.count_nonzero(low[1:] & ~low[:-1]) == 6
