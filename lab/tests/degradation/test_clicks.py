import numpy as np
import pytest
from tests.signals import pink_noise

from nitido_lab.degradation.clicks import LONGEST_SECONDS, add_clicks, clicks, draw_clicks

RATE = 48_000


@pytest.mark.parametrize("sample_rate", [32_000, 44_100, 48_000])
def test_clicks_are_short_and_everything_else_stays_the_same_bits(sample_rate: int) -> None:
    wav = pink_noise(seconds=10, sample_rate=sample_rate, channels=2)
    drawn = draw_clicks(wav, sample_rate=sample_rate, over_db=20.0, per_second=2.0, seed=1)
    changed = add_clicks(wav, drawn) != wav
    assert len(drawn) == 20
    for click in drawn:
        inside = slice(click.start, click.start + click.samples)
        assert changed[list(click.channels), inside].any()
        assert click.samples <= LONGEST_SECONDS * sample_rate + 0.5
        changed[:, inside] = False
    assert not changed.any()


def test_a_spike_is_as_high_over_the_music_around_as_asked_within_3_db() -> None:
    wav = 0.1 * pink_noise(seconds=20)
    for click in draw_clicks(wav, sample_rate=RATE, over_db=12.0, per_second=2.0, seed=0):
        around = wav[0, click.start - 480 : click.start + 480]
        assert 8.9 < 20 * np.log10(abs(click.height) / around.std()) < 15.1


def test_the_same_seed_gives_the_same_clicks_and_silence_none() -> None:
    wav = pink_noise(seconds=2)
    first, again, other = (clicks(wav, sample_rate=RATE, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not clicks(np.zeros_like(wav), sample_rate=RATE).any()
