import numpy as np
import pytest
from tests.signals import noise, pink_noise, silence

from nitido.report.contrast_plot import SECONDS_MAX, contrast_figure
from nitido.report.tracks import Track


def figure(before, after, **more):
    tracks = [
        Track(name, wav, 48_000, name) for name, wav in (("before", before), ("after", after))
    ]
    return contrast_figure(*tracks, **more)


def images(drawn):
    return [axes.images[0].get_array() for axes in drawn.axes if axes.images]


def test_a_mere_gain_makes_no_difference_in_the_picture():
    music = pink_noise(seconds=3.0, channels=2)
    *_, difference = images(figure(music, 0.1 * music))
    assert np.abs(difference).max() < 0.1


def test_what_was_added_is_above_zero_in_the_picture():
    music = pink_noise(seconds=3.0)
    *_, difference = images(figure(music, music + noise(seconds=3.0, rms=0.02)))
    assert difference[-20:].mean() > 1
    assert difference[:20].mean() < 0  # at the same loudness, the rest is less


def test_both_are_on_one_scale():
    drawn = figure(pink_noise(), noise(rms=0.01))
    scales = [axes.images[0].get_clim() for axes in drawn.axes if axes.images]
    assert scales[0] == scales[1]


@pytest.mark.parametrize("samples", [1, 100, 48_000])
def test_silence_and_next_to_nothing_are_drawn_as_well(samples):
    wav = silence()[:, :samples]
    figure(wav, wav, said=["Nothing."]).canvas.draw()


def test_of_long_sounds_the_first_minute_is_shown():
    wav = np.zeros((1, 48_000 * 61), np.float32)
    left = figure(wav, wav).axes[0].get_xlim()
    assert left == (0, SECONDS_MAX)
