"""Is the waveform clipped: peaks cut off flat at one level, at full scale or after a gain change.

A cut-off peak is a run of three or more samples that lie together at the very extreme of the piece,
with the waveform breaking off steeply on both sides, at a slope that would have carried it higher.
Single samples at full scale are not clipped, nor is the round top of a slow wave, a plateau that
something else rises above, or a wave that is made of steps, as the pulse of a games console is.

A coder or a resampler leaves no plateau level. What it leaves of many are crests that are as broad
near their top as further down, which music hardly has, and all of them about as high, where far
fewer are a little lower. So clipping that is heard is found again; light clipping is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.wav import Wav

Floats = NDArray[np.float32]

STEP = 2.0**-15  # one step of a 16-bit file
LEVEL_STEPS = 4  # how level a plateau must be: dither spreads a flat top over this many steps
QUIETEST = 0.01  # −40 dBFS: no gain change leaves clipped music quieter than this
SHORTEST_SAMPLES = 3  # two equal samples at a peak are a coincidence
LONGEST_SECONDS = 0.02  # a longer plateau is a held value, not a cut-off peak
FEWEST_RUNS = 3  # per level: a plateau must come again
FLANK_SAMPLES = 3  # beside a plateau, from which the slope is taken
SLOPE_SHARE = 0.5  # least slope there re the step onto the plateau: a pulse has the step alone
ALIKE = 30.0  # most that the two steps differ: a filtered pulse creeps up to its top and drops off
LED_SHARE = 0.2  # of the plateaus: with fewer of such slopes the wave is made of steps
CLEAR_PER_SECOND = 10.0  # a few clipped peaks per minute are not heard, one per beat and more is
SEVERE_PER_SECOND = 500.0  # 1 % of the samples of a 48 kHz file
SPANS = 50
JOIN_SECONDS = 0.05  # spans closer than this are one place

# Crests: the highest sample of every 5 ms, and how far the wave stays above a share of it. Set on
# 32 excerpts of clean/train, clipped by 2 and 5 dB. All of clean/ (every other one of train), 8 s:
# with 500 clipped samples per second and more 21 of 34 are found through MP3 128k, 17 through Opus
# 96k; with 100 and more 3 and 5 of 29; with fewer none. Not clipped: 0 of 85 as they are, 1 of 85
# through either coder, which it reached at +7 dBFS and was clipped by.
CREST_SECONDS, CREST_REACH_SECONDS = 0.005, 0.01
CREST_SHARES = (0.5, 0.85)  # foot and shoulder
FLAT = 0.7  # width at the shoulder re the foot: a sine has 0.53, clipped by 3 dB 0.73
FOOT_SAMPLES = 4  # a narrower crest is not resolved
# Least from foot to shoulder, both sides together: a pulse jumps, and a filtered one creeps a bit.
FLANKS_SECONDS = 0.00012
LEVEL_DB, LEVELS = 0.2, 200  # classes of the height, 0 to −40 dBFS
ALIKE_LEVELS = 4  # flat crests of a clip level spread over 0.8 dB, …
BELOW_TOP_LEVELS = 10  # … which overshoots exceed by 2 dB at most
LOWER_LEVELS = (14, 44)  # below these: how many crests of this music are flat by themselves
FEWEST_FLAT, FLAT_AGAIN, PILED = 6, 4.0, 2.0  # times as many as lower down, as just below
LOWER_SHARE = 0.3  # least of lower crests: where there are none, each may be flat, as of pulses
CREST_RANGE = 0.28  # no crest counts that lies further below the highest so far: 11 dB


@dataclass
class _Runs:
    """The flat runs at or above one threshold, counted."""

    count: int = 0
    led: int = 0  # of these, up to and down from which a slope leads
    samples: int = 0
    lowest: float = math.inf
    spans: list[list[int]] = field(default_factory=list)

    def add(
        self, starts: NDArray[np.intp], ends: NDArray[np.intp], lowest: float, gap: int
    ) -> None:
        self.count += starts.size
        self.samples += int((ends - starts).sum())
        self.lowest = min(self.lowest, lowest)
        first = np.concatenate([[0], np.flatnonzero(starts[1:] - ends[:-1] >= gap) + 1])
        last = np.concatenate([first[1:] - 1, [starts.size - 1]])
        for start, end in zip(starts[first].tolist(), ends[last].tolist(), strict=True):
            if self.spans and start - self.spans[-1][1] < gap:
                self.spans[-1][1] = end
            elif len(self.spans) < SPANS:
                self.spans.append([start, end])
            else:
                break


class _Side:
    """One polarity of one channel.

    The extreme is not known before the end. Levels are numbered in steps, `top` is the highest so
    far, and runs are counted at each of the `LEVEL_STEPS` thresholds that may turn out to be the
    lowest step of the plateau. When the top rises the counts move down with it. So the lowest count
    is at any time what it would be had the extreme been known from the start.
    """

    def __init__(self) -> None:
        self.top = int(QUIETEST / STEP)
        self.runs = [_Runs() for _ in range(LEVEL_STEPS)]  # from the lowest threshold to the top

    @property
    def threshold(self) -> float:
        """Samples below this are of no interest."""
        return (self.top - LEVEL_STEPS + 1) * STEP

    def update(self, samples: Floats, position: int, longest: int, gap: int) -> None:
        """Count the runs in `samples` `[n]`, which begin at `position` in the piece.

        Runs that begin within the first samples or within `longest` and some of the end are left
        out; the caller shows them again, with more around them.
        """
        rise = math.floor(float(samples.max()) / STEP) - self.top
        if rise > 0:
            self.top += rise
            self.runs = self.runs[rise:]
            self.runs += [_Runs() for _ in range(LEVEL_STEPS - len(self.runs))]
        for step, runs in enumerate(self.runs):
            starts, ends, led = _flat_runs(samples, self.threshold + step * STEP, longest)
            runs.led += led
            if starts.size:
                inside = np.stack([starts, ends], axis=1).ravel()
                lowest = float(np.minimum.reduceat(samples, inside)[::2].min())
                runs.add(starts + position, ends + position, lowest, gap)


def _flat_runs(
    samples: Floats, threshold: float, longest: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Return where the cut-off peaks at or above `threshold` begin and end.

    Third, how many of them have a slope on both sides: the others may be steps of a pulse.
    """
    high = np.flatnonzero(samples >= threshold)
    if high.size < SHORTEST_SAMPLES:
        return high[:0], high[:0], 0
    breaks = np.flatnonzero(np.diff(high) > 1)
    starts = high[np.concatenate([[0], breaks + 1])]
    ends = high[np.concatenate([breaks, [-1]])] + 1
    length = ends - starts
    good = (length >= SHORTEST_SAMPLES) & (length <= longest)
    good &= (starts >= FLANK_SAMPLES) & (starts < samples.size - longest - FLANK_SAMPLES)
    starts, ends, length = starts[good], ends[good], length[good]
    # A parabola whose top n samples lie within h falls to at most h·((n+1)/(n−1))² below its top at
    # the next sample. What breaks off by more, with a margin for rounding, is cut, not round.
    height = LEVEL_STEPS * STEP
    round_drop = height * (((length + 1) / (length - 1)) ** 2 - 1)
    beside = np.maximum(samples[starts - 1], samples[ends])
    cut = threshold - beside > round_drop + 2 * STEP
    starts, ends = starts[cut], ends[cut]
    flank = np.arange(FLANK_SAMPLES)
    steps, slopes = [], []
    for beside in (samples[starts[:, None] - 1 - flank], samples[ends[:, None] + flank]):
        steps.append(threshold - beside[:, 0])
        slopes.append((beside[:, :-1] - beside[:, 1:]).max(axis=1, initial=0.0))
    led = np.maximum(*steps) < ALIKE * np.minimum(*steps)
    for step, slope in zip(steps, slopes, strict=True):
        led &= slope >= SLOPE_SHARE * step
    return starts, ends, int(led.sum())


class _Crests:
    """How high the crests of the wave are, and how many of them are flat, side by side."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._frame = max(1, round(CREST_SECONDS * sample_rate))
        self._reach = max(2, round(CREST_REACH_SECONDS * sample_rate))
        self._flanks = round(FLANKS_SECONDS * sample_rate)
        self._held: Wav = np.zeros((channels, self._reach), np.float32)
        shape = (channels, 2, LEVELS)  # upper and lower side
        self._top = np.zeros(channels, np.float32)
        self._all, self._flat = np.zeros(shape, int), np.zeros(shape, int)
        self._samples = np.zeros(shape, int)  # of the flat ones, above the shoulder

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`."""
        held = np.concatenate([self._held, block], axis=1)
        count = max(0, (held.shape[1] - 2 * self._reach) // self._frame)
        for channel in range(len(held) if count else 0):
            self._add(channel, held[channel], count)
        self._held = held[:, count * self._frame :].copy()

    def _add(self, channel: int, samples: Floats, count: int) -> None:
        """Count the crests of the next frames, which begin `_reach` samples from the start."""
        frames = np.abs(samples[self._reach :][: count * self._frame].reshape(count, -1))
        at = self._reach + np.arange(count) * self._frame + frames.argmax(axis=1)
        height = np.abs(samples[at])
        top = np.maximum.accumulate(np.maximum(height, self._top[channel]))
        self._top[channel] = top[-1]
        beside = np.maximum(np.abs(samples[at - 1]), np.abs(samples[at + 1]))
        at = at[(height >= beside) & (height > np.maximum(QUIETEST, CREST_RANGE * top))]
        near = self._reach // 4  # few crests are broader
        widths = _widths(samples, at, near)
        broad = np.flatnonzero((widths > near).any(axis=(0, 1)))
        widths[:, :, broad] = _widths(samples, at[broad], self._reach)
        feet, shoulders = widths
        height = np.abs(samples[at])
        foot, shoulder, flanks = feet.sum(axis=0) - 1, shoulders.sum(axis=0) - 1, feet - shoulders
        level = (-20 * np.log10(height) / LEVEL_DB).astype(int).clip(0, LEVELS - 1)
        side = (samples[at] < 0).astype(int)
        resolved = foot >= FOOT_SAMPLES
        flat = resolved & (shoulder >= FLAT * foot) & (flanks.min(axis=0) >= 1)
        flat &= flanks.sum(axis=0) >= self._flanks
        np.add.at(self._all[channel], (side[resolved], level[resolved]), 1)
        np.add.at(self._flat[channel], (side[flat], level[flat]), 1)
        np.add.at(self._samples[channel], (side[flat], level[flat]), shoulder[flat])

    def clipped_samples(self) -> int:
        """Return how many samples lie in crests that were cut off before the file was recoded."""
        sides = zip(*(x.reshape(-1, LEVELS) for x in (self._all, self._flat)), strict=True)
        samples = self._samples.reshape(-1, LEVELS)
        found = [(_clip_level(*side), own) for side, own in zip(sides, samples, strict=True)]
        return sum(int(own[at : at + ALIKE_LEVELS].sum()) for at, own in found if at is not None)


def _widths(samples: Floats, at: NDArray[np.intp], reach: int) -> NDArray[np.intp]:
    """Return how far crests stay at each of the `CREST_SHARES` and above, samples, `[2, 2, N]`.

    From the middle to the right and to the left, the middle counted in both; `reach + 1` where it
    is further than looked.
    """
    around = np.lib.stride_tricks.sliding_window_view(samples, 2 * reach + 1)
    waves = around[at - reach] * np.sign(samples[at])[:, None]
    height = np.abs(samples[at])
    widths = []
    for share in CREST_SHARES:
        low = waves < (share * height)[:, None]
        sides = (low[:, reach:], low[:, reach::-1])
        far = [np.where(side.any(axis=1), side.argmax(axis=1), reach + 1) for side in sides]
        widths.append(np.stack(far))
    return np.stack(widths)


def _clip_level(crests: NDArray[np.int_], flat: NDArray[np.int_]) -> int | None:
    """Return the class of height from which on the flat crests tell of clipping, if they do."""
    if crests.sum() < 20:
        return None
    top = int(np.argmax(np.cumsum(crests) >= max(2, crests.sum() // 300)))
    for at in range(top, min(top + BELOW_TOP_LEVELS, LEVELS - LOWER_LEVELS[1])):
        here, below = slice(at, at + ALIKE_LEVELS), slice(at + ALIKE_LEVELS, at + 2 * ALIKE_LEVELS)
        lower = slice(at + LOWER_LEVELS[0], at + LOWER_LEVELS[1])
        usual = flat[lower].sum() / max(crests[lower].sum(), 1)
        if (
            flat[here].sum() >= FEWEST_FLAT
            and crests[lower].sum() >= LOWER_SHARE * crests[here].sum()
            and flat[here].sum() > FLAT_AGAIN * usual * crests[here].sum()
            and crests[here].sum() >= PILED * crests[below].sum()
        ):
            return at
    return None


class ClippingAnalyser:
    """Counts cut-off peaks per channel and polarity, and finds the level at which they are cut."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._longest = round(LONGEST_SECONDS * sample_rate)
        self._gap = round(JOIN_SECONDS * sample_rate)
        self._samples = 0
        # What a run needs to be seen whole is held back; silence before the first sample.
        self._reach = self._longest + 2 * FLANK_SAMPLES
        self._held: Wav = np.zeros((channels, self._reach), np.float32)
        self._sides = [[_Side(), _Side()] for _ in range(channels)]
        self._crests = _Crests(sample_rate=sample_rate, channels=channels)

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if not block.size:
            return
        self._crests.update(block)
        position = self._samples - self._held.shape[1]
        samples = np.concatenate([self._held, block], axis=1)
        for channel, (positive, negative) in zip(samples, self._sides, strict=True):
            if float(channel.max()) >= positive.threshold:
                positive.update(channel, position, self._longest, self._gap)
            if -float(channel.min()) >= negative.threshold:
                negative.update(-channel, position, self._longest, self._gap)
        self._samples += block.shape[1]
        self._held = samples[:, -self._reach :].copy()

    def finish(self) -> Finding:
        """Return the finding ``"clipping"``: clipped samples per second, all channels together.

        Details: `positive_level` and `negative_level` of each channel (None where it is not
        clipped, or was recoded since), `clipped_samples`, `runs` (of them, at these levels).
        """
        samples = self._samples
        self.update(np.zeros_like(self._held))
        levels: list[list[float | None]] = [[], []]
        found: list[_Runs] = []
        for sides in self._sides:
            for polarity, side in enumerate(sides):
                runs = side.runs[0]
                if runs.count < FEWEST_RUNS or runs.led < LED_SHARE * runs.count:
                    levels[polarity].append(None)
                    continue
                levels[polarity].append(-runs.lowest if polarity else runs.lowest)
                found.append(runs)
        clipped = sum(runs.samples for runs in found) or self._crests.clipped_samples()
        per_second = clipped * self._sample_rate / max(samples, 1)
        severity: Severity = "ok"
        summary = "No peaks are cut off."
        if found:
            severity = "slight" if per_second < CLEAR_PER_SECOND else "moderate"
            severity = "severe" if per_second >= SEVERE_PER_SECOND else severity
            summary = f"Peaks are cut off flat: {per_second:.0f} clipped samples per second."
        elif clipped:
            severity = "moderate"
            summary = "Peaks were cut off flat before the file was recoded or resampled."
        return Finding(
            "clipping",
            per_second,
            "samples/s",
            severity,
            summary,
            compared_with="runs of three and more samples at the extreme of the piece",
            where=self._where(found),
            details={
                "positive_level": levels[0],
                "negative_level": levels[1],
                "clipped_samples": clipped,
                "runs": sum(runs.count for runs in found),
            },
        )

    def _where(self, found: list[_Runs]) -> tuple[tuple[float, float], ...]:
        """Return the first places, of all channels and polarities together, s."""
        joined: list[list[int]] = []
        for start, end in sorted(span for runs in found for span in runs.spans):
            if joined and start - joined[-1][1] < self._gap:
                joined[-1][1] = max(joined[-1][1], end)
            else:
                joined.append([start, end])
        rate = self._sample_rate
        return tuple((start / rate, end / rate) for start, end in joined[:SPANS])
