import subprocess
import sys
import threading

import numpy as np
import pytest
from tests.signals import cut, noise

from nitido.dsp.chunks import GRID_SAMPLES, ahead, block_length, join, reblock, take, windows

WAV = noise(seconds=0.02, channels=2)  # 960 samples


@pytest.mark.parametrize("sizes", [(1,), (7, 100), (959,), (960,), (5000,)])
@pytest.mark.parametrize("size", [1, 64, 960, 1000])
def test_reblocked_audio_is_the_same_audio(sizes, size):
    blocks = list(reblock(cut(WAV, *sizes), size))
    assert np.array_equal(np.concatenate(blocks, axis=1), WAV)
    assert all(block.shape[1] == size for block in blocks[:-1])
    assert 0 < blocks[-1].shape[1] <= size


def test_nothing_reblocked_is_nothing():
    assert list(reblock([], 8)) == []
    assert list(reblock([np.zeros((2, 0), np.float32)], 8)) == []


@pytest.mark.parametrize("context", [0, 1, 100, 500])
@pytest.mark.parametrize("size", [64, 480, 1000])
def test_the_middles_of_windows_join_to_the_whole(size, context):
    middles, expected = [], 0
    for window, start in windows(cut(WAV, 70, 3), size=size, context=context):
        assert start == expected
        middle = window[:, context : window.shape[1] - context]
        middles.append(middle)
        expected += middle.shape[1]
    assert np.array_equal(np.concatenate(middles, axis=1), WAV)


@pytest.mark.parametrize("size", [64, 480, 1000])
def test_a_window_shows_the_neighbours_and_silence_beyond_the_ends(size):
    context = 200
    padded = np.pad(WAV, ((0, 0), (context, context)))
    for window, start in windows(cut(WAV, 333), size=size, context=context):
        assert np.array_equal(window, padded[:, start : start + window.shape[1]])


def test_windows_do_not_depend_on_the_cut():
    whole = list(windows([WAV], size=100, context=30))
    pieces = list(windows(cut(WAV, 1, 13, 250), size=100, context=30))
    assert [start for _, start in whole] == [start for _, start in pieces]
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(whole, pieces, strict=True))


def test_one_sample_has_one_window():
    found = [(w.tolist(), s) for w, s in windows([np.ones((1, 1), np.float32)], size=4, context=2)]
    assert found == [([[0, 0, 1, 0, 0]], 0)]


@pytest.mark.parametrize("count", [0, 1, 500, 960, 1500])
def test_take_cuts_what_is_long_and_fills_what_is_short_with_silence(count):
    taken = join(take(cut(WAV, 77), count), channels=2)
    assert taken.shape == (2, count)
    assert np.array_equal(taken[:, :960], WAV[:, :count])
    assert not taken[:, 960:].any()


def test_nothing_joined_has_the_channels_asked_for():
    assert join([], channels=6).shape == (6, 0)


@pytest.mark.parametrize(("cores", "working"), [(1, "MainThread"), (2, "nitido-ahead")])
def test_working_ahead_needs_a_second_core_and_changes_nothing(monkeypatch, cores, working):
    monkeypatch.setattr("nitido.dsp.chunks.usable_cores", lambda: cores)
    threads = set()

    def numbers():
        for number in range(50):
            threads.add(threading.current_thread().name)
            yield number

    assert list(ahead(numbers())) == list(range(50))
    assert threads == {working}


def test_an_error_ahead_reaches_the_one_who_waits():
    def broken():
        yield 1
        raise OSError("disk gone")

    stream = ahead(broken())
    assert next(stream) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(stream)


def test_stopping_early_stops_the_thread(monkeypatch):
    monkeypatch.setattr("nitido.dsp.chunks.usable_cores", lambda: 2)
    before = threading.active_count()
    stream = ahead(iter(range(10**9)))
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_no_thread_outlives_a_program_that_ends_in_between():
    """One that the interpreter leaves behind in a library of C++ would make it abort."""
    program = """
import atexit, itertools, threading
from nitido.dsp.chunks import GRID_SAMPLES, ahead

def tell():  # called when threads were waited for
    print([thread.name for thread in threading.enumerate()])

atexit.register(tell)
stream = ahead(ahead(itertools.count()))
print(next(stream))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "0\n['MainThread']\n"


def test_many_channels_are_worked_on_in_shorter_blocks():
    def numbers(channels, sample_rate=48_000):
        return channels * block_length(6.0, sample_rate=sample_rate, channels=channels)

    assert numbers(2) == pytest.approx(2 * 6 * 48_000, rel=0.05)
    assert max(numbers(channels) for channels in range(1, 65)) <= 2**21
    assert numbers(64, 192_000) == pytest.approx(64 * 96_000, rel=0.2)  # half a second stays


@pytest.mark.parametrize("seconds", [1e-9, 0.7, 6.0])
def test_blocks_begin_on_the_grid_that_filters_work_on(seconds):
    length = block_length(seconds, sample_rate=44_100, channels=2)
    assert length
    assert length % GRID_SAMPLES == 0
