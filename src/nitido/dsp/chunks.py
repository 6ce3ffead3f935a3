"""Cut and join streams of audio: counts samples, knows no model and no file.

A stream is an iterator of waveforms `[C, n]`, one after the other; n may differ from block to
block. Whatever is built on `windows` gives the same result however the stream was cut.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from nitido.cores import usable_cores
from nitido.dsp.wav import Wav

Item = TypeVar("Item")
OnProgress = Callable[[float, float], None]  # takes seconds done, and in all

GRID_SAMPLES = 2**14
BLOCK_VALUES = 2**21  # worked on at once, over all channels: 8 MiB


def block_length(seconds: float, *, sample_rate: int, channels: int) -> int:
    """Return how many samples to work on at once: so many seconds, or fewer of many channels.

    About half a second stays, as stages look at more than that around a block. It is a multiple of
    `GRID_SAMPLES`: so whatever works through a block in such parts finds the same ones in any.

    >>> [block_length(6.0, sample_rate=48_000, channels=channels) for channels in (2, 8, 64)]
    [278528, 262144, 32768]
    """
    most = max(BLOCK_VALUES // channels, sample_rate // 2)
    return max(1, min(round(seconds * sample_rate), most) // GRID_SAMPLES) * GRID_SAMPLES


def reblock(blocks: Iterable[Wav], size: int) -> Iterator[Wav]:
    """Yield the same samples in blocks of exactly `size`, the last one shorter.

    >>> [b.shape[1] for b in reblock([np.zeros((1, 5), np.float32)] * 3, 6)]
    [6, 6, 3]
    """
    held: list[Wav] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += block.shape[1]
        while count >= size:
            whole = held[0] if len(held) == 1 else np.concatenate(held, axis=1)
            yield whole[:, :size]
            rest = whole[:, size:]
            held, count = ([rest], rest.shape[1]) if rest.shape[1] else ([], 0)
    if count:
        yield np.concatenate(held, axis=1)


def windows(blocks: Iterable[Wav], *, size: int, context: int) -> Iterator[tuple[Wav, int]]:
    """Yield `(window, start)`: `size` samples from `start` on, with `context` more on either side.

    `window` is `[C, context + n + context]` with n = `size`, less at the end. Before the first and
    after the last sample of the stream the context is zero.
    """
    history: Wav | None = None  # [C, context + not yet yielded]
    start = 0
    for block in reblock(blocks, size):
        if history is None:
            history = np.zeros((block.shape[0], context), np.float32)
        history = np.concatenate([history, block], axis=1)
        while history.shape[1] >= size + 2 * context:
            yield history[:, : size + 2 * context], start
            history = history[:, size:]
            start += size
    if history is None:
        return
    history = np.pad(history, ((0, 0), (0, context)))
    while history.shape[1] > 2 * context:
        window = history[:, : size + 2 * context]
        yield window, start
        history = history[:, size:]
        start += size


def take(blocks: Iterable[Wav], count: int) -> Iterator[Wav]:
    """Yield exactly `count` samples of the stream: cut what is too long, fill with zeros."""
    left = count
    channels = 1
    for block in blocks:
        channels = block.shape[0]
        if left <= 0:
            break
        yield block[:, :left]
        left -= min(left, block.shape[1])
    if left > 0:
        yield np.zeros((channels, left), np.float32)


def join(blocks: Iterable[Wav], *, channels: int) -> Wav:
    """Return the whole stream as one waveform `[C, T]`."""
    held = list(blocks)
    if not held:
        return np.zeros((channels, 0), np.float32)
    return held[0] if len(held) == 1 else np.concatenate(held, axis=1)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the same items, computing the next one in a thread while the last one is used.

    With one core to use there is no thread: handing over costs about a sixth of a restoration. All
    items are to be asked for by one thread, whose end is the end of this one: a daemon that the
    interpreter leaves behind inside a library written in C++ would make the process abort.
    """
    if usable_cores() == 1:
        yield from items
        return
    consumer = threading.current_thread()
    ready: queue.Queue[tuple[bool, Item | BaseException | None]] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def work() -> None:
        def put(more: bool, item: Item | BaseException | None) -> bool:
            while not stop.is_set() and consumer.is_alive():
                try:
                    ready.put((more, item), timeout=0.1)
                except queue.Full:
                    continue
                return True
            return False

        try:
            for item in items:
                if not put(True, item):
                    return
            put(False, None)
        except BaseException as error:  # handed to the consumer, who raises it
            put(False, error)

    thread = threading.Thread(target=work, daemon=False, name="nitido-ahead")
    thread.start()
    try:
        while True:
            more, item = ready.get()
            if not more:
                if isinstance(item, BaseException):
                    raise item
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()


def tell_progress(
    blocks: Iterable[Wav],
    sample_rate: int,
    samples: int,
    on_progress: OnProgress | None,
    share: tuple[float, float],
) -> Iterator[Wav]:
    """Yield the blocks, telling the callback how far the whole work is."""
    done, low, high = 0, *share
    total_seconds = samples / sample_rate
    for block in blocks:
        yield block
        done += block.shape[1]
        if on_progress is not None:
            on_progress(
                (low + (high - low) * done / max(samples, 1)) * total_seconds, total_seconds
            )
