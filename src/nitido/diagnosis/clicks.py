"""Does it click: spikes shorter than 0.3 ms inside the music.

Music can be predicted from the samples just before, a spike cannot: the error of a linear
prediction is small but for an attack, after which it stays large, and a click, after which it is
small again at once. What stands out so is then cut out and rebuilt from both sides: if the error is
gone with it, these few samples were all that was wrong. After a resampler or a coder a click rings
at the highest frequencies: it is sought below them then, and what rings is rebuilt with it.
`find_clicks` says where; the stage ``declick`` asks it, too, and puts in what was rebuilt.

Source: Godsill and Rayner, Digital Audio Restoration, Springer 1998, ch. 5 (detection by the
prediction error and by a matched filter, least-squares interpolation in an autoregressive model).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.fourier import fast_size, irfft, kaiser_low_pass, rfft
from nitido.dsp.loop import Loop
from nitido.dsp.spectral import hann, running_max
from nitido.dsp.wav import Wav

Array: TypeAlias = NDArray[np.float64]
Floats: TypeAlias = NDArray[np.float32]

LONGEST_SECONDS = 0.0003
CELL_SECONDS = 0.00025
CELLS_PER_FRAME = 160  # 40 ms, in which the prediction stays the same
ORDER, FINE_ORDER = 24, 32  # of the prediction: to look for clicks, to judge one
LAGS_SAMPLES = 2**13  # correlated at once
# Where to look closer: the error stands out by so much from its highest within 5 ms on either side,
# and by half as much within 30 ms: one period of the lowest pulse wave, which jumps again.
NEAR_SECONDS, FAR_SECONDS, CLEAR_CELLS = 0.005, 0.03, 4
STANDS_OUT = 1.6
# What makes it a click. Set on clean/train, drum kits, and clicks of 6 to 30 dB in both.
SIDE_SECONDS = (0.001, 0.005)  # from it: the error that it is held against
EXPLAINED = 15.0  # what the repair takes of it, re the RMS of that error, at least …
# … and times the height re the RMS around: what is so sure need not be so loud. As it was, spread.
SURE = (140.0, 300.0)
HIGH = 3.5  # error re the highest of that
LEFT = 1.3  # what the repair may leave of it, re the highest; or a fiftieth
LEAST_OVER = 0.7  # its height re the RMS around: less is not heard, and a hi-hat may be like it
AROUND_SECONDS = (0.02, 0.01, 0.015)  # on either side: to predict, for its level, for the next
SWELL_DB = 13.0  # where it becomes so much louder or softer a sound begins or ends …
BEYOND_DOUBT = 1000.0  # … but for what is so much explained, times the height, …
RETURNS = 0.5  # … comes back to within so much of it, for a note may begin or end in mid-wave, …
STEEP = 20.0  # … and is so much steeper than what is beside it, for that may be a high note
NOT_MOVED = 0.05  # of the height: a sample that the repair moves by less stays as it is
RINGS = (3.0, 1.5)  # how steep it is right after it, re before and later; a rim shot dies away
LEAST = 1e-3  # its height, −60 dBFS: steps of 16 bits look like clicks in a fade
EDGE_SECONDS = 0.03  # a click nearer to the start or end is the business of `edges`
# A resampler or coder cuts the highest frequencies off, and there it rings. What was at 32 kHz is
# as it was up to 15 kHz, what came from a higher rate in 0.8 of its band.
KEPT_HZ, KEPT_SHARE, KEPT_WIDTH_HZ = 13_000.0, 0.4, 5_000.0  # or so much of the rate, if less
BESIDE_SECONDS = 0.00006  # by so much longer on either side, as the samples lie elsewhere now
LOADING, TIED = 1e-6, 0.01  # re the diagonal: to solve for a band-limited click, its ringing
REACH_SECONDS = 0.1  # how far around it is looked at
ALIKE = 45.0  # what matches by so much and is no click is like one
STYLE = 4  # so many of these, and more than clicks: it is the style of the music
SEVERE_PER_MINUTE = 10.0
JOIN_SECONDS = 0.001  # clicks of two channels nearer than this are one
SPANS = 50


@dataclass(frozen=True)
class Click:
    """One click in one channel.

    Attributes:
        start: its first sample.
        rebuilt: the samples `[n]` to be put in its place.
    """

    start: int
    rebuilt: Floats

    @property
    def end(self) -> int:
        """The sample after the last."""
        return self.start + len(self.rebuilt)


def reach_samples(sample_rate: int) -> int:
    """Return how much of the signal on either side decides whether a sample is a click."""
    return round(REACH_SECONDS * sample_rate) + 2 * _frame(sample_rate)


def find_clicks(channel: Floats, *, first: int, sample_rate: int) -> tuple[list[Click], list[int]]:
    """Return the clicks of one channel, in order, and the places that are only like one.

    The first and last `reach_samples` of the window are not searched, but for what overlaps them.

    Args:
        channel: a window of the piece, `[T]`; zero outside it.
        first: position in the piece of its first sample; places are counted from the same start.
        sample_rate: Hz.
    """
    found: list[Click] = []
    alike: list[int] = []
    for at in _suspects(channel, first, sample_rate):
        if found and at < found[-1].end - first + round(JOIN_SECONDS * sample_rate):
            continue
        click = _judge(channel, at, sample_rate)
        if isinstance(click, Click):
            found.append(Click(click.start + first, click.rebuilt))
        elif click:
            alike.append(at + first)
    return found, alike


def _frame(sample_rate: int) -> int:
    return CELLS_PER_FRAME * _cell(sample_rate)


def _cell(sample_rate: int) -> int:
    return max(2, round(CELL_SECONDS * sample_rate))


def _suspects(channel: Floats, first: int, rate: int) -> Iterator[int]:
    """Yield where in the window the prediction error stands out for a moment."""
    frame, cell = _frame(rate), _cell(rate)
    begin = frame // 2 - (first + frame // 2) % frame + frame  # of a frame of the piece
    count = (len(channel) - begin - frame // 2) // frame
    if count < 1:
        return
    error = np.abs(_prediction_error(channel, begin, count, frame))
    cells = error.reshape(-1, cell)
    peaks: Floats = running_max(error, cell)[::cell]
    near, far = round(NEAR_SECONDS * rate / cell), round(FAR_SECONDS * rate / cell)
    bound = STANDS_OUT * np.maximum(_beside(peaks, near), _beside(peaks, far) / 2)
    reach = -(-reach_samples(rate) // cell)
    for at in np.flatnonzero((peaks > bound) & (peaks > LEAST / 10)):
        place = begin + int(at) * cell + int(cells[at].argmax())
        if reach * cell <= place < len(channel) - reach * cell:
            yield place


def _prediction_error(channel: Floats, begin: int, count: int, frame: int) -> Floats:
    """Return the error of predicting `count` frames, each with its own coefficients."""
    parts = np.lib.stride_tricks.sliding_window_view(channel[begin - frame // 2 :], 2 * frame)
    padded = np.zeros((count, 2 * frame + ORDER), np.float32)
    np.multiply(parts[::frame][:count], hann(2 * frame), out=padded[:, : 2 * frame])
    taps = _predictor(np.stack([_lags(one, ORDER) for one in padded])).astype(np.float32)
    size = fast_size(frame + ORDER)  # the first samples are what a circular convolution mixes up
    parts = np.lib.stride_tricks.sliding_window_view(channel[begin + frame - size :], size)
    spec = rfft(parts[::frame][:count]) * rfft(taps, size)
    error: Floats = irfft(spec, size)[:, -frame:].ravel()
    return error


def _lags(padded: NDArray[Any], order: int) -> NDArray[Any]:
    """Return the autocorrelation `[order + 1]` of samples `[n + order]`, the last of them zero.

    In parts so short that they are summed by one thread, and alike everywhere.
    """
    starts = range(0, len(padded) - order, LAGS_SAMPLES)
    cut = [padded[start : start + LAGS_SAMPLES + order] for start in starts]
    sums = [np.correlate(part, part[: len(part) - order], "valid") for part in cut]
    return np.asarray(sum(sums[1:], sums[0]))


def _predictor(lags: NDArray[np.floating]) -> Array:
    """Return the taps `[K, order + 1]` of the prediction error, of autocorrelations `[K, …]`."""
    known: Array = lags.astype(np.float64)
    known[:, 0] = known[:, 0] * (1 + 1e-7) + 1e-9  # what is silent or band-limited stays solvable
    taps = np.linalg.solve(_toeplitz(known[:, :-1]), known[:, 1:, None])[:, :, 0]
    return np.concatenate([np.ones((len(known), 1)), -taps], axis=1)


def _toeplitz(lags: Array) -> Array:
    """Return the symmetric matrices `[…, n, n]` whose diagonals are `lags` `[…, n]`."""
    return lags[..., _distances(lags.shape[-1])]


@lru_cache(maxsize=32)
def _distances(count: int) -> NDArray[np.intp]:
    """Return how far rows and columns are from the diagonal, `[count, count]`, read-only."""
    number = np.arange(count)
    apart: NDArray[np.intp] = np.abs(number[:, None] - number)
    apart.flags.writeable = False
    return apart


def _beside(peaks: Floats, reach: int) -> Floats:
    """Return the highest of the cells up to `reach` away on either side, but for the nearest."""
    highest: Floats = running_max(np.pad(peaks, reach), reach - CLEAR_CELLS + 1)
    later = reach + CLEAR_CELLS
    return np.maximum(highest[: len(peaks)], highest[later : later + len(peaks)])


def _judge(channel: Floats, at: int, rate: int) -> Click | bool:
    """Return the click at a place, or whether there is something like one."""
    half, longest = round(AROUND_SECONDS[0] * rate), math.ceil(LONGEST_SECONDS * rate)
    low = at - half - FINE_ORDER
    part = channel[low : at + half + FINE_ORDER].astype(np.float64)
    offset = part.mean()
    part -= offset
    middle = half + FINE_ORDER
    taps = _fitted(_bridged(part, _fitted(part), middle - longest, middle + longest))
    found = _explained(part, taps, np.ones(1), rate)
    if not isinstance(found, Click) and found >= EXPLAINED:
        spread = _explained(part, taps, _kept_band(rate), rate)
        found = spread if isinstance(spread, Click) else max(found, spread)
    if not isinstance(found, Click):
        return found >= ALIKE
    return Click(low + found.start, found.rebuilt + np.float32(offset))


def _explained(part: Array, taps: Array, smooth: Array, rate: int) -> Click | float:
    """Return the click in the middle of a stretch, or else how much of the error is like one.

    Args:
        part: the stretch `[n]`; the click is counted from its start.
        taps: of its prediction error.
        smooth: a low-pass of odd length: only what it lets through of the error is looked at, and
            the click is taken to be spread. One tap: all of it.
        rate: Hz.
    """
    longest, spread = math.ceil(LONGEST_SECONDS * rate), len(smooth) > 1
    half, count = len(part) // 2 - FINE_ORDER, longest + spread * 2 * round(BESIDE_SECONDS * rate)
    near, far = (round(seconds * rate) for seconds in SIDE_SECONDS)
    reach, whole = len(smooth) // 2, np.convolve(taps, smooth)
    seen = slice(half - far - reach, half + far + reach + 2 * FINE_ORDER)
    error = np.convolve(part[seen], whole, "valid")  # from `half - far` on
    clear = near + reach
    sides = (error[: far - clear], error[far + clear + FINE_ORDER :])
    usual = max(_rms(side) for side in sides)
    highest = max(float(np.abs(side).max()) for side in sides) + 1e-9
    # Wherever the longest click may lie: how much of the error goes when it is taken away.
    first, last = far - longest - count // 2, far + 2 * longest + (count - longest) // 2
    matched = np.correlate(error[first - reach : last + FINE_ORDER + reach], whole, "valid")
    windows = np.lib.stride_tricks.sliding_window_view(matched, count)
    overlaps = _overlaps(whole, count)
    overlaps.flat[:: count + 1] *= 1 + spread * LOADING
    squares = windows.T * np.linalg.solve(overlaps, windows.T)
    gone = np.sqrt(squares.sum(axis=0).clip(0))
    best = int(gone.argmax())
    explained = float(gone[best]) / usual
    if explained < EXPLAINED:
        return explained
    click = np.zeros_like(part)
    start = half - far + first + best + FINE_ORDER
    click[start : start + count] = np.linalg.solve(overlaps, windows[best])
    heard = np.convolve(click, smooth, "same")
    wrong = np.flatnonzero(np.abs(heard) > NOT_MOVED * np.abs(heard).max())
    start, end = int(wrong[0]), int(wrong[-1]) + 1
    jump, after = abs(part[end] - part[start - 1]), slice(end, end + near)
    if spread:
        rest, start, end = part - click, start - longest, end + longest
        fixed = _bridged(part - heard, taps, start, end, tied=TIED)
    else:
        rest = fixed = _bridged(part, taps, start, end)
    inside = slice(far - near, far + near + FINE_ORDER)
    before = float(np.abs(error[inside]).max())
    left = float(np.abs(np.convolve(rest[seen], whole, "valid")[inside]).max())
    height = float(np.abs(fixed - part).max())
    around, swell = (round(seconds * rate) for seconds in AROUND_SECONDS[1:])
    level = _rms(fixed[start - around : end + around])
    swells_db = 10 * math.log10(
        (float(np.mean(part[end : end + swell] ** 2)) + 1e-12)
        / (float(np.mean(part[start - swell : start] ** 2)) + 1e-12)
    )
    over = height / level
    good = before >= HIGH * highest and left <= max(LEFT * highest, before / 50)
    good &= over >= LEAST_OVER and over * explained >= SURE[spread]
    good &= not spread or jump <= RETURNS * height
    sure = over * explained >= BEYOND_DOUBT
    sure &= jump <= RETURNS * height
    steps = np.abs(np.diff(part))
    beside = max(steps[start - far : start - 1].max(), steps[end : end + far].max())
    sure &= steps[start - 1 : end].max() >= STEEP * beside
    good &= abs(swells_db) <= SWELL_DB or sure
    good &= height >= LEAST
    steps = np.diff(np.convolve(rest, smooth, "same"))
    before_it, after_it = steps[start - far : start - near], steps[end + near : end + far]
    ring = _rms(steps[after]) / max(_rms(before_it), _rms(after_it))
    good &= ring <= RINGS[spread]
    if not good:
        return explained
    return Click(start, fixed[start:end].astype(np.float32))


@lru_cache(maxsize=8)
def _kept_band(rate: int) -> Array:
    """Return a low-pass for what resamplers and coders leave as it was."""
    middle_hz = min(KEPT_HZ, KEPT_SHARE * rate)
    return kaiser_low_pass(middle_hz, width_hz=KEPT_WIDTH_HZ, stop_db=80.0, sample_rate=rate)


def _rms(samples: Array) -> float:
    return math.sqrt(float(np.mean(samples**2))) + 1e-9


def _fitted(part: Array) -> Array:
    """Return the taps of the prediction error of a stretch `[n]`."""
    padded = np.zeros(len(part) + FINE_ORDER)
    padded[: len(part)] = part * hann(len(part) + 1)[1:]
    taps: Array = _predictor(_lags(padded, FINE_ORDER)[None])[0]
    return taps


def _overlaps(taps: Array, count: int) -> Array:
    """Return how alike the errors are that `count` neighbouring samples add, `[count, count]`."""
    lags = np.zeros(max(count, len(taps)))
    lags[: len(taps)] = np.correlate(taps, taps, "full")[len(taps) - 1 :]
    return _toeplitz(lags[:count])


def _bridged(part: Array, taps: Array, start: int, end: int, tied: float = 0.0) -> Array:
    """Return a stretch with the samples from `start` to `end` such that they are best predicted.

    The more they are `tied`, the less they are moved.
    """
    error = np.convolve(part[start - len(taps) + 1 : end + len(taps) - 1], taps, "valid")
    out = part.copy()
    matched = np.correlate(error, taps, "valid")
    overlaps = _overlaps(taps, end - start)
    overlaps.flat[:: end - start + 1] *= 1 + tied
    out[start:end] -= np.linalg.solve(overlaps, matched)
    return out


class ClicksAnalyser:
    """Looks for clicks, channel by channel, and for how much of the music is like them.

    Where the piece ends with a loop, what comes after its end is the loop's start.
    """

    def __init__(self, *, sample_rate: int, channels: int, loop: Loop | None = None) -> None:
        self._sample_rate = sample_rate
        self._loop = loop
        self._loop_start: Wav = np.zeros((channels, 0), np.float32)
        self._reach = reach_samples(sample_rate)
        self._edge = round(EDGE_SECONDS * sample_rate)
        self._join = round(JOIN_SECONDS * sample_rate)
        self._held: Wav = np.zeros((channels, 2 * self._reach), np.float32)  # silence before it
        self._position = -2 * self._reach  # of the first held sample in the piece
        self._waiting: list[Wav] = []
        self._samples = 0
        self._count = self._alike = 0
        self._last = self._last_alike = -self._join  # where the last one of them was
        self._spans: list[tuple[int, int]] = []

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if self._loop is not None and self._loop_start.shape[1] < self._around_seam:
            first = max(0, self._loop.start - self._samples)
            last = max(0, self._loop.start + self._around_seam - self._samples)
            self._loop_start = np.concatenate([self._loop_start, block[:, first:last]], axis=1)
        self._waiting.append(block.copy() if block.shape[1] < self._sample_rate else block)
        self._samples += block.shape[1]
        if sum(part.shape[1] for part in self._waiting) >= self._sample_rate:
            self._search()

    def finish(self) -> Finding:
        """Return the finding ``"clicks"``: how many there are; `where` holds the first of them."""
        self._held = np.concatenate([self._held, *self._waiting], axis=1)
        seam = np.concatenate([self._held[:, -self._around_seam :], self._loop_start], axis=1)
        self._waiting = [np.zeros((len(self._held), self._reach), np.float32)]
        self._search()
        if self._loop is not None and self._loop.end == self._samples:
            self._search_seam(seam, self._loop)
        rate, count = self._sample_rate, self._count
        style = count and self._alike >= STYLE and self._alike > count
        count = 0 if style else count
        severity: Severity = "ok"
        summary = "No clicks."
        if style:
            summary = "No clicks: the music itself is made of such sounds."
        if count:
            many = count > 1 and count * 60 * rate > SEVERE_PER_MINUTE * self._samples
            severity = "severe" if many else "moderate"
            summary = f"It clicks {'once' if count == 1 else f'{count} times'}, a moment each."
        return Finding(
            "clicks",
            float(count),
            "clicks",
            severity,
            summary,
            where=tuple((start / rate, end / rate) for start, end in self._spans if count),
            details={"count": count, "alike": self._alike},
        )

    @property
    def _around_seam(self) -> int:
        """How many samples on either side of the seam decide on what is at an edge."""
        return self._reach + self._edge + 2 * self._join

    def _search_seam(self, wav: Wav, loop: Loop) -> None:
        """Look where the end of a loop runs on into its start, `wav` from before to after."""
        near = self._around_seam
        if wav.shape[1] < 2 * near:
            return
        clicks, _ = self._find(wav, loop.end - near)
        last = loop.end + (self._edge if loop.start == 0 else 0)  # else other music leads to it
        self._note([click for click in clicks if loop.end - self._edge <= click.start < last])
        after = [(a, b) if a < loop.end else (a - loop.end, b - loop.end) for a, b in self._spans]
        self._spans = sorted(after)

    def _find(self, wav: Wav, first: int) -> tuple[list[Click], list[int]]:
        """Return the clicks of all channels in order, and the places that are only like one."""
        found = [find_clicks(one, first=first, sample_rate=self._sample_rate) for one in wav]
        clicks = [click for own, _ in found for click in own]
        alike = [at for _, own in found for at in own]
        return sorted(clicks, key=lambda click: click.start), sorted(alike)

    def _note(self, clicks: list[Click]) -> None:
        for click in clicks:
            if click.start >= self._last + self._join:
                self._count += 1
                if len(self._spans) < SPANS:
                    self._spans.append((click.start, click.end))
            self._last = click.end

    def _search(self) -> None:
        self._held = np.concatenate([self._held, *self._waiting], axis=1)
        self._waiting = []
        clicks, alike = self._find(self._held, self._position)
        last = self._samples - self._edge
        self._note([click for click in clicks if self._edge <= click.start < last])
        for at in alike:
            self._alike += at >= self._last_alike + self._join
            self._last_alike = at
        drop = self._held.shape[1] - 2 * self._reach
        self._held = self._held[:, drop:].copy()
        self._position += drop
