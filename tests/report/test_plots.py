from pathlib import Path

import numpy as np
import pytest

import nitido
from nitido.demo import DECODER_HZ, spoil
from nitido.demo.render import render
from nitido.report.plots import SECONDS_MAX, overview


@pytest.fixture(scope="module")
def restoration() -> nitido.Restoration:
    return nitido.restore(spoil(render(seconds=6.0)[:, :96_000]), sample_rate=DECODER_HZ)


def images(restoration: nitido.Restoration) -> list[np.ndarray]:
    figure = overview(restoration)
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_the_picture_is_1600_by_1000_and_needs_no_screen(
    restoration: nitido.Restoration, tmp_path: Path
) -> None:
    figure = restoration.plot(tmp_path / "song.png")
    assert tuple(figure.get_size_inches() * figure.dpi) == (1600, 1000)
    assert (tmp_path / "song.png").stat().st_size > 50_000


def test_it_says_what_was_found_and_what_was_done(restoration: nitido.Restoration) -> None:
    figure = overview(restoration)
    said = {text.get_text() for axes in figure.axes for text in axes.texts}
    done = {step.stage for step in restoration.plan.steps if step.on}
    found = {finding.kind for finding in restoration.diagnosis.findings if finding.found}
    assert done | found <= said


def test_the_difference_shows_the_new_octave_as_added(restoration: nitido.Restoration) -> None:
    before, after, change = images(restoration)
    assert before.shape == after.shape == change.shape
    octave = slice(int(0.7 * len(change)), int(0.85 * len(change)))  # 17 to 20 kHz
    assert change[octave].mean() > 3
    body = slice(int(0.02 * len(change)), int(0.2 * len(change)))
    assert abs(change[body].mean()) < 1


def test_of_a_long_piece_only_the_first_minute_is_read() -> None:
    minutes = np.tile(render(seconds=10.0, sample_rate=16_000), (1, 12))
    restoration = nitido.restore(minutes, sample_rate=16_000, stages=[], output_sample_rate=16_000)
    read: list[int] = []
    blocks = restoration.blocks

    def counted():
        for block in blocks():
            read.append(block.shape[1])
            yield block

    restoration.blocks = counted
    overview(restoration)
    assert sum(read) < (SECONDS_MAX + 40) * 16_000  # a block or two more


@pytest.mark.parametrize("samples", [1, 100, 32_000])
def test_silence_and_next_to_nothing_are_drawn_as_well(samples: int) -> None:
    wav = np.zeros((1, samples), np.float32)
    overview(nitido.restore(wav, sample_rate=32_000)).canvas.draw()
