import numpy as np
import pytest
from tests.diagnosis.test_shimmer import analyse, flickering
from tests.signals import noise, pink_noise, silence, sine

from nitido.diagnosis.finding import Diagnosis, Finding
from nitido.dsp.wav import Wav
from nitido.restoration.stages.deshimmer import Deshimmer

RATE = 48_000


def calmed(wav: Wav, amount: float = 1.0) -> Wav:
    piece = {"sample_rate": RATE, "channels": len(wav), "samples": wav.shape[1]}
    stage = Deshimmer({**Deshimmer.defaults, "amount": amount}, **piece)
    edge = stage.context_samples
    return stage.apply(np.pad(wav, ((0, 0), (edge, edge))), start=0)


def level_db(wav: Wav, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(wav)).mean(axis=0) ** 2
    hz = np.fft.rfftfreq(wav.shape[1], 1 / RATE)
    return float(10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].mean() + 1e-20))


@pytest.mark.parametrize("found", [False, True])
def test_it_runs_where_shimmer_was_found(found: bool) -> None:
    finding = Finding("shimmer", 2.0, "%", "moderate" if found else "ok", "")
    step = Deshimmer.plan(Diagnosis(RATE, 1, RATE, (finding,)), Deshimmer.defaults)
    assert step.on == found


def test_flicker_is_calmed_at_its_level_and_the_more_the_larger_the_amount() -> None:
    wav = flickering(pink_noise(seconds=4))
    left = [analyse(calmed(wav, amount)).value or 0.0 for amount in (0.0, 0.5, 1.0)]
    assert left[0] > left[1] > left[2]
    assert left[2] < left[0] / 2
    assert abs(level_db(calmed(wav), 6_000, 13_000) - level_db(wav, 6_000, 13_000)) < 1.0


def test_below_4_khz_not_a_sample_changes() -> None:
    wav = flickering(pink_noise(seconds=3))
    change = calmed(wav) - wav
    assert level_db(change, 20, 4_000) < level_db(wav, 20, 4_000) - 80


@pytest.mark.parametrize("music", [noise(seconds=3), sine(8_000, seconds=3)])
def test_noise_and_tones_stay_as_they_are(music: Wav) -> None:
    change = calmed(music) - music
    assert level_db(change, 5_000, 14_000) < level_db(music, 5_000, 14_000) - 20


def test_silence_stays_silent() -> None:
    assert not calmed(silence(seconds=1, channels=2)).any()


def test_a_pause_stays_a_pause() -> None:
    wav = flickering(pink_noise(seconds=2))
    wav[:, RATE : RATE + RATE // 2] = 0
    assert np.abs(calmed(wav)[:, RATE + 1_024 : RATE + RATE // 2 - 1_024]).max() < 1e-6
