import numpy as np
import pytest
from tests.signals import pink_noise, silence

from nitido.dsp.wav import Wav
from nitido_lab.degradation.recipe import apply

RATE = 44_100
BANDS_HZ = {
    "sibilance": (5_000, 9_000),
    "sharp_s": (5_000, 9_000),
    "harshness": (2_000, 5_000),
    "mud": (200, 500),
}
FAULTS = sorted(BANDS_HZ)


def plant(fault: str, wav: Wav, **settings: int) -> Wav:
    return apply([{"kind": fault, **settings}], wav, sample_rate=RATE)


def music() -> Wav:
    """Return noise that swells and bursts, as bands of music do."""
    wav = pink_noise(seconds=6, sample_rate=RATE, channels=2)
    time = np.arange(wav.shape[1]) / RATE
    return np.asarray(wav * (0.3 + np.sin(np.pi * 2 * time) ** 8), np.float32)


def energy(wav: Wav, low_hz: float = 0, high_hz: float = 1e9) -> float:
    hz = np.fft.rfftfreq(wav.shape[1], 1 / RATE)
    inside = (hz >= low_hz) & (hz < high_hz)
    return float((np.abs(np.fft.rfft(wav, axis=1)[:, inside]) ** 2).sum())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stronger_fault_is_more_of_it_and_all_of_it_lies_in_its_band(fault: str) -> None:
    wav = music()
    low, high = BANDS_HZ[fault]
    added = [plant(fault, wav, strength=strength) - wav for strength in (1, 2, 3)]
    assert energy(added[0]) * 1.5 < energy(added[1]) < energy(added[2]) / 1.5
    for change in added:
        assert energy(change, low * 0.85, high / 0.85) > 0.9 * energy(change)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_same_seed_plants_the_same(fault: str) -> None:
    assert np.array_equal(plant(fault, music()), plant(fault, music()))
    if fault != "sharp_s":
        assert not np.array_equal(plant(fault, music(), seed=1), plant(fault, music(), seed=2))


@pytest.mark.parametrize("fault", FAULTS)
def test_silence_stays_silent(fault: str) -> None:
    assert not plant(fault, silence(seconds=2, sample_rate=RATE)).any()


def test_an_s_comes_and_goes_within_50_to_150_ms() -> None:
    wav = music()
    added = np.abs((plant("sibilance", wav, strength=3) - wav)[0])
    there = np.convolve(added, np.ones(441) / 441, "same") > 0.05 * added.max()
    edges = np.flatnonzero(np.diff(there.astype(int)))
    lengths = np.diff(edges)[::2] / RATE
    assert 5 < len(lengths) < 30
    assert 0.03 < lengths.min() < lengths.max() < 0.17


def test_harshness_is_there_only_while_it_is_loud() -> None:
    wav = music()
    added = np.abs(plant("harshness", wav, strength=3) - wav).reshape(2, -1, RATE // 20)
    loud = np.abs(wav).reshape(2, -1, RATE // 20).mean(axis=(0, 2))
    added = added.mean(axis=(0, 2))
    assert added[loud > np.median(loud)].sum() > 10 * added[loud <= np.median(loud)].sum()
