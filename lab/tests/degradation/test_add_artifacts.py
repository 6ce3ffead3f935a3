import numpy as np
import pytest
from tests.signals import click, noise, pink_noise, sine

from nitido.dsp.wav import Wav
from nitido.metrics.fidelity import si_sdr_db
from nitido_lab.degradation import add_artifacts as planted

RATE = 48_000


def level_db(wav: Wav, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(wav[0])) ** 2
    hz = np.fft.rfftfreq(wav.shape[1], 1 / RATE)
    return float(10 * np.log10(spectrum[(hz >= low_hz) & (hz < high_hz)].mean() + 1e-20))


def test_a_sloped_ceiling_leaves_nothing_above_it_and_everything_well_below() -> None:
    wav = noise(seconds=2)
    spoilt = planted.sloped_ceiling(wav, sample_rate=RATE, ceiling_hz=6_000, width_hz=1_000)
    assert level_db(spoilt, 6_050, 20_000) < level_db(wav, 6_050, 20_000) - 100
    assert abs(level_db(spoilt, 100, 4_900) - level_db(wav, 100, 4_900)) < 0.01
    middle = level_db(spoilt, 5_400, 5_600) - level_db(wav, 5_400, 5_600)
    assert -40 < middle < -15


def test_level_is_lost_where_the_decoder_loses_it() -> None:
    wav = noise(seconds=2)
    spoilt = planted.lose_level(wav, sample_rate=RATE)
    changes = {
        low: level_db(spoilt, low, high) - level_db(wav, low, high)
        for low, high in ((100, 900), (2_000, 7_000), (9_000, 13_000), (15_000, 20_000))
    }
    assert changes[100] == pytest.approx(0, abs=0.02)
    assert changes[2_000] == pytest.approx(-1.35, abs=0.02)
    assert changes[9_000] == pytest.approx(0, abs=0.02)
    assert changes[15_000] == pytest.approx(-6.5, abs=0.02)


def test_random_phase_keeps_the_low_end_and_the_levels() -> None:
    wav = pink_noise(seconds=2)
    spoilt = planted.random_phase(wav, sample_rate=RATE, from_hz=2_000, seed=1)
    change = spoilt - wav
    assert level_db(change, 50, 1_900) < level_db(wav, 50, 1_900) - 40
    assert level_db(change, 2_500, 20_000) > level_db(wav, 2_500, 20_000) - 3


def test_smearing_spreads_an_attack_by_its_milliseconds() -> None:
    wav = click(24_000) + 0.001 * noise(seconds=1)
    spoilt = planted.smear(wav, sample_rate=RATE, smear_ms=20.0)

    def spread_ms(sound: Wav) -> float:
        power = np.cumsum(sound[0].astype(float) ** 2)
        inside = np.flatnonzero((power > 0.1 * power[-1]) & (power < 0.9 * power[-1]))
        return len(inside) / RATE * 1000

    assert spread_ms(wav) < 1
    assert 5 < spread_ms(spoilt) < 60


def test_band_errors_are_larger_in_the_bass_than_in_the_treble() -> None:
    low, high = (sine(hz, seconds=2) for hz in (120, 10_000))
    errors = [
        si_sdr_db(estimate=planted.band_errors(tone, sample_rate=RATE, seed=2), reference=tone)
        for tone in (low, high)
    ]
    assert errors[0] < errors[1]


def test_clipping_cuts_the_peaks_and_nothing_else() -> None:
    wav = sine(440)
    spoilt = planted.clip(wav, sample_rate=RATE, over_db=6.0)
    assert np.abs(spoilt).max() == pytest.approx(0.5 * 10 ** (-6 / 20), rel=1e-3)
    quiet = np.abs(wav) < 0.24
    assert np.array_equal(spoilt[quiet], wav[quiet])


def test_a_cut_end_is_silent_from_there_on() -> None:
    wav = noise(seconds=1)
    spoilt = planted.cut_end(wav, sample_rate=RATE, seconds=0.25)
    assert np.array_equal(spoilt[:, :36_000], wav[:, :36_000])
    assert not spoilt[:, 36_000:].any()
