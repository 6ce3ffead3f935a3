import numpy as np
import pytest
from tests.signals import noise, sine

from nitido.dsp.spectral import Frames
from nitido.dsp.wav import Wav
from nitido.restoration.treble.carrier import beat, moved_up
from nitido.restoration.treble.carrier import noise as hiss

RATE = 48_000
GRID = Frames(2048, 512)


def voice(f0_hz: float, top_hz: float, seconds: float = 1.5) -> Wav:
    """Harmonics of one note, equally strong, up to a ceiling."""
    count = int(top_hz / f0_hz)
    tones = [
        sine(f0_hz * k, seconds=seconds, amplitude=0.05, phase=k * k) for k in range(1, count + 1)
    ]
    return np.sum(tones, axis=0).astype(np.float32)


@pytest.mark.parametrize("f0_hz", [311.0, 440.0, 523.25])
def test_moved_up_harmonics_fall_in_line_with_those_below(f0_hz: float) -> None:
    wav = voice(f0_hz, 5_000)
    crossover = int(5_000 / (RATE / 2048))
    spec = GRID.analyse(wav, first=0)
    added = slice(crossover + 3, int(14_000 / (RATE / 2048)))
    copied = np.zeros_like(spec)
    copied[:, :, added] = moved_up(spec, added, crossover, GRID, index=2)
    up = GRID.synthesise(copied, first=0, length=wav.shape[1])[0, 12_000:60_000]
    spectrum = np.abs(np.fft.rfft(up * np.hanning(len(up)))) ** 2
    hz = np.fft.rfftfreq(len(up), 1 / RATE)
    apart = np.abs(hz / f0_hz - np.round(hz / f0_hz)) * f0_hz
    inside = (hz > 5_300) & (hz < 13_500)
    near = spectrum[inside & (apart < 40)].sum()
    assert near > 0.85 * spectrum[inside].sum()


def test_a_tone_moved_up_is_still_one_steady_tone() -> None:
    wav = sine(4_321, seconds=1.5)
    crossover = int(5_000 / (RATE / 2048))
    spec = GRID.analyse(wav, first=0)
    added = slice(crossover + 3, 600)
    copied = np.zeros_like(spec)
    copied[:, :, added] = moved_up(spec, added, crossover, GRID, index=2)
    up = GRID.synthesise(copied, first=0, length=wav.shape[1])[0, 12_000:60_000]
    spectrum = np.abs(np.fft.rfft(up * np.hanning(len(up)))) ** 2
    peak = int(spectrum.argmax())
    assert peak > 5_000 * len(up) / RATE
    around = spectrum[peak - 150 : peak + 151]
    assert spectrum[peak - 2 : peak + 3].sum() > 0.9 * around.sum()


def test_noise_is_white_and_the_same_wherever_a_piece_is_cut() -> None:
    whole = hiss(200_000, channels=2, start=-3_000)
    part = hiss(50_000, channels=2, start=70_000)
    assert np.array_equal(whole[:, 73_000:123_000], part)
    assert whole.std() == pytest.approx(1.0, abs=0.01)
    assert abs(np.corrcoef(whole)[0, 1]) < 0.02


def test_the_noise_beats_with_the_music() -> None:
    wav = noise(seconds=1)
    wav[:, 20_000:20_300] *= 10  # a stick on a drum
    spec = GRID.analyse(wav, first=0)
    swell = beat(spec, slice(50, 400), GRID, first=0, length=wav.shape[1])[0]
    stroke = swell[20_000:20_300].mean()
    assert stroke > 1.5
    assert stroke > 3 * swell[19_400:19_800].mean()
    steady = beat(
        GRID.analyse(noise(seconds=1), first=0), slice(50, 400), GRID, first=0, length=RATE
    )
    assert steady[0, 4_000:44_000].mean() == pytest.approx(1.0, abs=0.1)


def test_silence_has_no_tones_to_move_and_no_beat() -> None:
    spec = GRID.analyse(np.zeros((1, 10_000), np.float32), first=0)
    assert not moved_up(spec, slice(200, 500), 190, GRID, index=0).any()
    swell = beat(spec, slice(50, 100), GRID, first=0, length=10_000)
    assert np.allclose(swell, 1.0)
