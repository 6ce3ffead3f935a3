"""Is the waveform clipped: peaks cut off flat at one level, at full scale or after a gain change.

A cut-off peak is a run of three or more samples that lie together at the very extreme of the piece,
with the waveform breaking off steeply on both sides, at a slope that would have carried it higher.
Single samples at full scale are not clipped, nor is the round top of a slow wave, a plateau that
something else rises above, or a wave that is made of steps, as the pulse of a games console is.
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

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if not block.size:
            return
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
        """Return the finding ``"clipping"``: clipped samples per second, all channels together."""
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
        clipped = sum(runs.samples for runs in found)
        per_second = clipped * self._sample_rate / max(samples, 1)
        severity: Severity = "ok"
        summary = "No peaks are cut off."
        if found:
            severity = "slight" if per_second < CLEAR_PER_SECOND else "moderate"
            severity = "severe" if per_second >= SEVERE_PER_SECOND else severity
            summary = f"Peaks are cut off flat: {per_second:.0f} clipped samples per second."
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
