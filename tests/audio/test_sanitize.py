import numpy as np
import pytest
from tests.signals import cut, noise, sine

from nitido.audio import sanitize
from nitido.dsp.chunks import join


def test_sound_without_gaps_passes_untouched():
    wav = noise(seconds=3, channels=2)
    stream = sanitize(cut(wav, 10_000))
    assert np.array_equal(join(stream, channels=2), wav)
    assert stream.count == 0
    assert stream.spans == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gap_in_a_slow_tone_is_bridged_so_that_it_cannot_be_heard(bad):
    tone = sine(100, channels=2)
    broken = tone.copy()
    broken[0, 1000:1010] = bad
    stream = sanitize([broken])
    mended = join(stream, channels=2)
    assert np.abs(mended - tone).max() < 1e-3
    assert np.array_equal(mended[1], tone[1])
    assert stream.count == 10
    assert stream.spans == [(1000, 1010)]


def test_the_stream_that_came_in_is_not_written_to():
    broken = np.array([[0, np.nan, 1]], np.float32)
    assert join(sanitize([broken]), channels=1).tolist() == [[0, 0.5, 1]]
    assert np.isnan(broken[0, 1])


def test_a_gap_at_either_end_becomes_silence():
    broken = np.array([[np.nan, 1, 1, np.inf]], np.float32)
    assert join(sanitize([broken]), channels=1).tolist() == [[0, 1, 1, 0]]


def test_nothing_but_nan_becomes_silence_and_is_one_place():
    stream = sanitize(cut(np.full((2, 200_000), np.nan, np.float32), 4_096))
    assert not join(stream, channels=2).any()
    assert stream.count == 400_000
    assert stream.spans == [(0, 200_000)]


@pytest.mark.parametrize("sizes", [(1_000,), (65_536,), (7, 50_000)])
def test_the_cut_of_the_stream_does_not_matter(sizes):
    wav = noise(seconds=4)
    wav[:, 65_530:65_540] = np.nan
    wav[:, 100_000] = np.inf
    whole, pieces = sanitize([wav]), sanitize(cut(wav, *sizes))
    assert np.array_equal(join(whole, channels=1), join(pieces, channels=1))
    assert whole.spans == pieces.spans == [(65_530, 65_540), (100_000, 100_001)]


def test_of_many_places_all_are_counted_and_the_first_thousand_kept():
    wav = noise(seconds=1)
    wav[:, ::2] = np.nan
    stream = sanitize([wav])
    assert np.isfinite(join(stream, channels=1)).all()
    assert stream.count == 24_000
    assert len(stream.spans) == 1000
    assert stream.spans[-1] == (1998, 1999)
