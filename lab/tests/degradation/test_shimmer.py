import numpy as np
import pytest
from tests.signals import noise, pink_noise, silence

from nitido.dsp.spectral import Frames
from nitido.dsp.wav import Wav
from nitido.errors import ConfigError
from nitido_lab.degradation.shimmer import FORMS, STRENGTHS, shimmer

RATE = 44_100
forms = pytest.mark.parametrize("form", FORMS)


def level_db(wav: Wav, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(wav)).mean(axis=0) ** 2
    hz = np.fft.rfftfreq(wav.shape[1], 1 / RATE)
    return float(10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].mean() + 1e-20))


@forms
def test_the_stronger_the_shimmer_the_less_of_the_treble_is_left(form: str) -> None:
    wav = pink_noise(seconds=2, sample_rate=RATE)
    left = []
    for strength in (0.0, *STRENGTHS):
        change = shimmer(wav, sample_rate=RATE, strength=strength, form=form) - wav
        left.append(level_db(change, 6_000, 13_000) - level_db(wav, 6_000, 13_000))
    assert left[0] < -100
    assert left == sorted(left)
    assert left[-1] > -10


@forms
def test_it_replaces_the_sound_at_its_level_and_leaves_the_rest_alone(form: str) -> None:
    wav = pink_noise(seconds=2, sample_rate=RATE, channels=2)
    spoilt = shimmer(wav, sample_rate=RATE, strength=1.0, form=form, seed=3)
    assert abs(level_db(spoilt, 6_000, 13_000) - level_db(wav, 6_000, 13_000)) < 1.0
    for low_hz, high_hz in ((50, 4_500), (14_500, 20_000)):
        assert level_db(spoilt - wav, low_hz, high_hz) < level_db(wav, low_hz, high_hz) - 40


@forms
def test_it_is_silent_where_the_music_is(form: str) -> None:
    wav = noise(seconds=1, sample_rate=RATE)
    wav[:, RATE // 2 :] = 0
    spoilt = shimmer(wav, sample_rate=RATE, strength=1.0, form=form)
    after = RATE // 2 + 2_100  # a frame later
    assert np.abs(spoilt[:, after:]).max() < 1e-6
    quiet = silence(seconds=1, sample_rate=RATE)
    assert not shimmer(quiet, sample_rate=RATE, strength=1.0, form=form).any()


def test_bins_jump_from_frame_to_frame_further_than_those_of_noise() -> None:
    wav = noise(seconds=2, sample_rate=RATE)

    def median_jump_db(sound: Wav) -> float:
        spec = Frames(1024, 512).analyse(sound, first=0)[0, :, 140:300]
        return float(np.median(np.abs(np.diff(20 * np.log10(np.abs(spec) + 1e-9), axis=0))))

    spoilt = shimmer(wav, sample_rate=RATE, strength=1.0, form="birdies")
    assert median_jump_db(wav) < 5
    assert median_jump_db(spoilt) > 6.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"form": "glitter"}, "no shimmer 'glitter'"), ({"strength": 2.0}, "outside 0 to 1")],
)
def test_a_shimmer_that_is_none_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shimmer(noise(seconds=0.1), sample_rate=RATE, **{"strength": 0.5, **settings})
