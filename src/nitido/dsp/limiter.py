"""How far a look-ahead true-peak limiter has to turn down, worked out once per control interval.

Control intervals are about 1.3 ms long and lie on the grid of the whole piece. All that the limiter
needs of the sound is the true peak of each; so the loudness of a limited piece can be computed for
any gain without touching a sample, and `Loudness` limits by exactly the same curve.

The curve is a pure function of the peaks around it: everything in it has an end.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.loudness import SIDE_TAPS, most_reached, peaks_between, rows_reach
from nitido.dsp.wav import Wav

Floats = NDArray[np.float32]

INTERVALS_PER_SECOND = 750  # 64 samples at 48 kHz
OVERSAMPLING = 8  # white noise peaks 0.2 dB higher, here and there 1.5, than 4 times show
LOOK_AHEAD_SECONDS = 0.005  # shorter clicks, longer is heard as a gap before a drum
HOLD_SECONDS = 0.010  # from peak to peak of 50 Hz, so the gain does not follow the wave itself
RELEASE_SECONDS = 0.060  # with both half as long again, real clips keep 0.6 dB less SI-SDR
BATCH = 256  # intervals oversampled at once, bounds the memory


def interval_samples(sample_rate: int) -> int:
    """Return the length of a control interval, samples.

    >>> interval_samples(48_000), interval_samples(44_100)
    (64, 59)
    """
    return max(1, round(sample_rate / INTERVALS_PER_SECOND))


def interval_peaks(window: Wav, *, interval: int, floor: float) -> Floats:
    """Return the true peak of each control interval, `[n]`, the highest of all channels.

    Peaks above `floor` are true peaks. An interval whose true peak cannot exceed it, judged by its
    samples and the most that interpolation can add, is not oversampled and gives its sample peak.

    Args:
        window: `[C, SIDE_TAPS + n · interval + SIDE_TAPS]`, starting `SIDE_TAPS` before the first.
        interval: samples.
        floor: of interest are peaks above it, full scale 1.
    """
    count = (window.shape[1] - 2 * SIDE_TAPS) // interval
    width = 2 * SIDE_TAPS + interval
    if not count:
        return np.zeros(0, np.float32)
    rows = np.lib.stride_tricks.sliding_window_view(window, width, axis=1)[:, ::interval]
    middle = window[:, SIDE_TAPS : SIDE_TAPS + count * interval]
    peaks = np.abs(middle).reshape(-1, count, interval).max(axis=2)
    # Interpolation sees SIDE_TAPS samples on either side, which lie in the intervals beside it.
    beside = -(-SIDE_TAPS // interval)
    bends = np.abs(np.diff(window, n=2, axis=1)[:, SIDE_TAPS - 1 :][:, : count * interval])
    both = np.stack([peaks, bends.reshape(-1, count, interval).max(axis=2)])
    around = np.pad(both, ((0, 0), (0, 0), (beside, beside)), constant_values=np.inf)
    reach = np.maximum.reduce([around[:, :, k : k + count] for k in range(2 * beside + 1)])
    channel, index = np.nonzero(most_reached(*reach, factor=OVERSAMPLING) > floor)
    for begin in range(0, len(index), BATCH):
        at = channel[begin : begin + BATCH], index[begin : begin + BATCH]
        chosen = rows[at]
        high = rows_reach(chosen, factor=OVERSAMPLING) > floor
        at = at[0][high], at[1][high]
        if len(at[0]):
            found = peaks_between(chosen[high], outputs=interval, factor=OVERSAMPLING)
            peaks[at] = np.maximum(peaks[at], found)
    return peaks.max(axis=0)  # type: ignore[no-any-return]


def reach_intervals(sample_rate: int) -> int:
    """Return how many intervals before and after its own the gain of an interval may depend on."""
    attack, release = _shapes(sample_rate)
    return len(release) + 2 * len(attack)


@lru_cache(maxsize=8)
def _shapes(sample_rate: int) -> tuple[Floats, Floats]:
    """Return the weights of the attack, which sum to 1, and the course of the release, 1 to 0."""
    rate = sample_rate / interval_samples(sample_rate)
    length = max(1, round(LOOK_AHEAD_SECONDS * rate)) + 1
    attack = np.hanning(length + 2)[1:-1]
    hold = round(HOLD_SECONDS * rate)
    fall = round(RELEASE_SECONDS * rate)
    release = np.ones(hold + fall)
    release[hold:] = 0.5 + 0.5 * np.cos(np.pi * np.arange(fall) / fall)
    return (attack / attack.sum()).astype(np.float32), release.astype(np.float32)


def reduction_db(peaks: Floats, *, ceiling: float, sample_rate: int) -> Floats:
    """Return by how much the limiter turns down at the edges of the intervals, dB, `[n + 1]`.

    Between two edges the gain runs in a straight line, and at no point of an interval is it higher
    than the interval's own peak allows:

    1. an edge needs what the more demanding of its two intervals needs;
    2. every need is held, then let go along a raised cosine; the deepest one rules (release);
    3. the greatest need within the look-ahead is averaged by weights of the same length, so that
       each value averaged has already seen the peak (attack).

    Args:
        peaks: true peaks, `[n]`; before and after them is silence.
        ceiling: the highest peak allowed, on the same scale.
        sample_rate: Hz.
    """
    reduction = np.zeros(len(peaks) + 1, np.float32)
    over = np.flatnonzero(peaks > ceiling)
    if not len(over):
        return reduction
    attack, release = _shapes(sample_rate)
    # Work where there is something to do: from the first need to the end of the last release.
    reach = reach_intervals(sample_rate)
    first, last = max(0, over[0] - reach), min(len(peaks), over[-1] + reach)
    own = np.zeros(last - first, np.float32)
    own[over - first] = 20 * np.log10(peaks[over] / ceiling)
    need = np.maximum(np.append(own, 0), np.append(0, own)).astype(np.float32)
    held = need.copy()
    for delay in range(1, min(len(release), len(need))):
        np.maximum(held[delay:], need[:-delay] * release[delay], out=held[delay:])
    steps = len(attack) - 1
    ahead = np.pad(held, (steps, steps))  # `steps` earlier, so that the average has its past
    ahead = np.lib.stride_tricks.sliding_window_view(ahead, steps + 1).max(axis=1)
    averaged = np.convolve(ahead, attack, mode="valid")
    reduction[first : last + 1] = averaged
    return reduction


def gain_curve(edges_db: Floats, *, interval: int) -> Floats:
    """Return the gain of every sample, `[n · interval]`, of reductions at the `n + 1` edges, dB."""
    edges = (10 ** (-edges_db / 20)).astype(np.float32)
    along = np.arange(interval, dtype=np.float32) / np.float32(interval)
    return (edges[:-1, None] + np.diff(edges)[:, None] * along).ravel()
