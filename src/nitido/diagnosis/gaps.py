"""Are there dropouts: moments inside the music where the signal stands still, or did once.

A gap is a run of equal samples, zeros or a held value, with loud music right up to it on both
sides. Rests, fades and the flat parts of square waves are music, not gaps. So are gaps that keep
time: a gated synthesiser is cut as sharply as by a fault, but again and again in its rhythm. And so
are those after which a note is struck anew: a fault leaves the waves in step, a player does not.

After a resampler or a coder nothing stands still any more: ringing and noise fill the gap. It is
told by its level then, which falls and rises within some milliseconds, and by the music beside it,
which goes on afterwards as if nothing had been: as loud, with the same spectrum, while after a rest
a new note is struck. Where a coder leaves more noise in a gap than that, it is not found: Opus
mostly does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.spectral import fft_size
from nitido.dsp.wav import Wav

SHORTEST_SECONDS = 0.002  # a shorter one is a click, and flat stretches of music are shorter
LONGEST_SECONDS = 0.5  # a longer one is a rest
SIDE_SECONDS = 0.01  # how much on either side must be loud
LOUD = 0.01  # RMS, −40 dBFS
JUMP = 0.05  # least step at a broken-off edge, re the RMS beside it; a note starts softer
HELD_JUMP = 0.1  # the same after a held value, which joins the music smoothly at its start
PLATEAU = 0.99  # of the highest sample beside it: what is held there is a wave's top
CROWD_SECONDS = 0.125  # more than `CROWD` flat runs this near on either side …
CROWD = 5  # … is a waveform with flat parts, 20 Hz and up
MOVING = 0.1  # share of the samples on either side that differ from the one before; steps do not
BEAT_SECONDS = 1.0  # a rhythm has its next gap within this …
BEATS = 8  # … as far away as one of so many before, …
BEAT_TOLERANCE_SECONDS = 0.002  # … to this; packets that a network lost come at any distance
# So many of the gaps, and at least four, in rhythm or before a note struck anew, or two and all of
# them before one: then all are rests.
RESTS = 0.5
# Steady tones can be predicted across a gap, in either direction; where that works as well without
# one, but not across it, a note was struck anew. Of 185 planted dropouts 6 look so, of the rests of
# 40 to 75 ms between chords played by hand 80 % and more.
PREDICTED_HZ = 8_000.0  # about the sample rate at which it is tried
FITTED, TAPS, TOLD = 480, 64, 80  # samples: fitted to, combined, predicted
CAN_BE_TOLD, TOLD_WRONG = 0.9, 0.3  # share of the power that is explained: at least, less than
CONTEXT_SECONDS = 0.2  # before a gap and after it, for all of this
SEVERE_PER_MINUTE = 10
SPANS = 50
# A gap that was filled again, in milliseconds. Set on 6.4 hours of music by people and generators,
# in which it finds none, and on gaps of 8 to 60 ms planted in some of it: of 66 it finds 54
# resampled, 52 through MP3 128k, 49 through AAC 128k, 43 through Vorbis q5, 19 through Opus 96k.
FRAME_SECONDS = 0.001
BESIDE_FRAMES = 10  # the level on either side
EDGE_FRAMES = 3  # in which the level falls or rises
FALL_DB, NEAR_DB = 24.0, 9.0  # at least so far, from at most so far below the level beside
DEPTH_DB = 38.0  # of half of the gap below the quieter side
FILLED_FRAMES = (6, 80)  # a longer one may be a rest
LOUDER_DB, QUIETER_DB = 5.0, 10.0  # at most, the music afterwards; a note is struck louder
LASTS_FRAMES, LASTS = 40, 0.85  # most of so long, the music on either side; else it is a burst
SAME_DB = 7.0  # mean distance of the spectra on both sides, over bands
SPECTRUM_SECONDS, SPECTRUM_BANDS, SPECTRUM_RANGE_DB = 0.021, 24, 60.0


class GapsAnalyser:
    """Looks for runs of equal samples, channel by channel."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._shortest = max(2, round(SHORTEST_SECONDS * sample_rate))
        self._longest = round(LONGEST_SECONDS * sample_rate)
        self._side = round(SIDE_SECONDS * sample_rate)
        self._crowd = round(CROWD_SECONDS * sample_rate)
        self._before = round(CONTEXT_SECONDS * sample_rate)
        self._after = self._longest + self._before
        self._held: Wav = np.zeros((channels, 0), np.float32)
        self._position = 0  # of the first held sample in the piece
        self._settled = 0  # runs that begin before this position have been judged
        self._waiting: list[Wav] = []
        self._count = 0
        self._rests = self._struck = 0  # gaps that are like rests; before a note struck anew
        self._beats: deque[int] = deque(maxlen=BEATS)  # the last distances from gap to gap
        self._start = 0  # of the last gap
        self._total = 0  # samples in gaps
        self._end = 0  # of the last gap
        self._spans: list[list[int]] = []  # the first gaps

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        self._waiting.append(block.copy() if block.shape[1] < self._sample_rate else block)
        if sum(part.shape[1] for part in self._waiting) >= self._sample_rate:
            self._search(final=False)

    def finish(self) -> Finding:
        """Return the finding ``"gaps"``: how many there are."""
        self._search(final=True)
        rate = self._sample_rate
        rests = self._rests >= max(4, RESTS * self._count) or self._struck == self._count > 1
        count, total = (0, 0) if rests else (self._count, self._total)
        seconds = total / rate
        duration = (self._position + self._held.shape[1]) / rate
        severity: Severity = "ok"
        summary = "No dropouts."
        if rests:
            summary = f"No dropouts: it rests {self._count} times, as it is played."
        if count:
            many = count > 1 and count * 60 > SEVERE_PER_MINUTE * duration
            severity = "severe" if many else "moderate"
            plural = "" if count == 1 else "s"
            summary = f"{count} dropout{plural}, {1000 * seconds:.0f} ms in all."
        return Finding(
            "gaps",
            float(count),
            "gaps",
            severity,
            summary,
            where=tuple((start / rate, end / rate) for start, end in self._spans if not rests),
            details={"count": count, "seconds": seconds},
        )

    def _search(self, *, final: bool) -> None:
        self._held = np.concatenate([self._held, *self._waiting], axis=1)
        self._waiting = []
        end = self._position + self._held.shape[1]
        settled = end if final else max(self._settled, end - self._after)
        found: list[tuple[int, int, bool]] = []
        for channel in self._held:
            # A run of `shortest` samples holds two neighbours of a grid half as wide.
            grid = channel[:: max(1, self._shortest // 2)]
            if np.any(grid[1:] == grid[:-1]):
                found += self._gaps(channel, settled)
        for channel in self._held:
            filled = self._filled(channel, settled)
            found += [gap for gap in filled if not any(_overlap(gap, other) for other in found)]
        self._note(found)
        self._settled = settled
        drop = max(0, settled - self._before - self._position)
        self._held = self._held[:, drop:].copy()
        self._position += drop

    def _note(self, found: list[tuple[int, int, bool]]) -> None:
        """Add the gaps of all channels, which begin after those that were noted before."""
        for start, end, struck in sorted(found):
            if self._count and start <= self._end:
                self._total += max(0, end - self._end)
            else:
                self._rests += self._in_time(start) or struck
                self._struck += struck
                self._count += 1
                self._total += end - start
                if len(self._spans) < SPANS:
                    self._spans.append([start, end])
            self._end = max(self._end, end)
            if self._count == len(self._spans):
                self._spans[-1][1] = self._end

    def _in_time(self, start: int) -> bool:
        """Return whether a gap that begins at `start` comes when it is expected, and note it."""
        beat, self._start = start - self._start, start
        if not self._count or beat > BEAT_SECONDS * self._sample_rate:
            return False
        tolerance = BEAT_TOLERANCE_SECONDS * self._sample_rate
        expected = any(abs(beat - other) <= tolerance for other in self._beats)
        self._beats.append(beat)
        return expected

    def _gaps(self, channel: NDArray[np.float32], settled: int) -> Iterator[tuple[int, int, bool]]:
        """Yield the gaps of one channel that begin from `_settled` to `settled`.

        And whether a note is struck anew after each.
        """
        moves = np.flatnonzero(channel[1:] != channel[:-1]) + 1
        edges = np.concatenate([[0], moves, [channel.size]])
        length = np.diff(edges)
        starts = edges[:-1][length >= self._shortest]
        ends = edges[1:][length >= self._shortest]
        if self._position:  # the first run began before what is held
            starts, ends = starts[starts > 0], ends[starts > 0]
        near = np.searchsorted(starts, starts + self._crowd, side="right")
        near = near - np.searchsorted(starts, starts - self._crowd)
        good = (near <= CROWD) & (ends - starts <= self._longest)
        good &= (starts >= self._settled - self._position) & (starts < settled - self._position)
        good &= (starts >= self._side) & (ends <= channel.size - self._side)
        for start, end in zip(starts[good].tolist(), ends[good].tolist(), strict=True):
            if self._is_gap(channel, start, end):
                struck = self._struck_anew(channel, start, end)
                yield start + self._position, end + self._position, struck

    def _is_gap(self, channel: NDArray[np.float32], start: int, end: int) -> bool:
        before = _rms(channel[start - self._side : start])
        after = _rms(channel[end : end + self._side])
        if min(before, after) < LOUD:
            return False
        beside = (channel[start - self._side : start], channel[end : end + self._side])
        if any(np.mean(side[1:] != side[:-1]) < MOVING for side in beside):
            return False
        value = float(channel[start])
        jump_before = abs(float(channel[start - 1]) - value)
        jump_after = abs(float(channel[end]) - value)
        if value == 0:
            return jump_before >= JUMP * before and jump_after >= JUMP * after
        if abs(value) >= PLATEAU * max(float(np.abs(side).max()) for side in beside):
            return False  # the top of a wave that was cut off: clipping
        return jump_after >= HELD_JUMP * after

    def _filled(
        self, channel: NDArray[np.float32], settled: int
    ) -> Iterator[tuple[int, int, bool]]:
        """Yield the gaps that something filled again, like `_gaps`."""
        size = max(1, round(FRAME_SECONDS * self._sample_rate))
        skipped = -self._position % size  # frames lie on a grid of the piece
        count = (channel.size - skipped) // size
        if count <= 2 * BESIDE_FRAMES + EDGE_FRAMES:
            return
        frames = channel[skipped : skipped + count * size].reshape(count, size)
        power = np.einsum("ns,ns->n", frames, frames, dtype=np.float64) / size + 1e-14
        total = np.concatenate([[0.0], np.cumsum(power)])
        level = _db(power)
        beside = _db((total[BESIDE_FRAMES:] - total[:-BESIDE_FRAMES]) / BESIDE_FRAMES)
        before, after = np.full((2, count + 1), -np.inf)  # of the frame at which each edge begins
        before[BESIDE_FRAMES:], after[:-BESIDE_FRAMES] = beside, beside
        for start, before_db in _edges(level, before[:count]):
            first = skipped + start * size + self._position
            if not self._settled <= first < settled:
                continue
            loud = np.flatnonzero(level[start : start + FILLED_FRAMES[1] + 1] > before_db - FALL_DB)
            if not len(loud) or loud[0] < FILLED_FRAMES[0]:
                continue
            end = start + int(loud[0])
            inside_db = float(np.median(level[start:end]))
            for edge in range(end, min(end + EDGE_FRAMES + 1, count)):
                after_db = float(after[edge])
                rises = level[edge] >= after_db - NEAR_DB and level[end - 1] <= after_db - FALL_DB
                if rises and after_db >= 20 * np.log10(LOUD):
                    goes_on = -QUIETER_DB <= after_db - before_db <= LOUDER_DB
                    goes_on &= min(before_db, after_db) - inside_db >= DEPTH_DB
                    goes_on &= _lasts(level[:start][-LASTS_FRAMES:], before_db)
                    goes_on &= _lasts(level[edge:][:LASTS_FRAMES], after_db)
                    sides = (skipped + start * size, skipped + edge * size)
                    if goes_on and self._alike(channel, *sides):
                        struck = self._struck_anew(channel, *sides)
                        yield first, skipped + end * size + self._position, struck
                    break

    def _struck_anew(self, channel: NDArray[np.float32], start: int, end: int) -> bool:
        """Return whether music that can be predicted does not go on after a gap as predicted."""
        rate = self._sample_rate
        if end - start > FILLED_FRAMES[1] * FRAME_SECONDS * rate:
            return False
        apart, step = round(2 * FRAME_SECONDS * rate), max(1, int(rate / PREDICTED_HZ))
        start, end = start - apart, end + apart
        ways = (channel, start, end), (channel[::-1], channel.size - end, channel.size - start)
        told = [across for own, across in (_told(*way, step) for way in ways) if own >= CAN_BE_TOLD]
        return bool(told) and max(told) < TOLD_WRONG

    def _alike(self, channel: NDArray[np.float32], start: int, end: int) -> bool:
        """Return whether the music has the same spectrum on both sides of a gap."""
        n_fft = fft_size(SPECTRUM_SECONDS, sample_rate=self._sample_rate)
        apart = round(2 * FRAME_SECONDS * self._sample_rate)
        if start < apart + n_fft or end + apart + n_fft > channel.size:
            return False
        sides = (channel[start - apart - n_fft :][:n_fft], channel[end + apart :][:n_fft])
        power = np.abs(np.fft.rfft(np.stack(sides) * np.hanning(n_fft))) ** 2
        edges = np.unique(np.geomspace(2, 0.35 * n_fft, SPECTRUM_BANDS).round().astype(int))
        bands = _db(np.add.reduceat(power, edges, axis=1)[:, :-1] + 1e-9)
        heard = bands.max(axis=0) > bands.max() - SPECTRUM_RANGE_DB
        apart_db = (bands[1] - bands[0])[heard]
        return float(np.abs(apart_db - apart_db.mean()).mean()) <= SAME_DB


def _edges(level: NDArray[np.float64], before: NDArray[np.float64]) -> Iterator[tuple[int, float]]:
    """Yield the frames at which the level has fallen from music within some frames, and its level.

    Args:
        level: of each frame, dB.
        before: of the frames that lie before each, dB.
    """
    fallen_from = np.full(level.size, -np.inf)
    for width in range(EDGE_FRAMES + 1):
        earlier = np.concatenate([np.full(width, -np.inf), before[: level.size - width]])
        last = np.concatenate([np.full(width + 1, -np.inf), level[: level.size - width - 1]])
        falls = (earlier >= 20 * np.log10(LOUD)) & (last >= earlier - NEAR_DB)
        falls &= level <= earlier - FALL_DB
        fallen_from = np.where(falls, np.maximum(fallen_from, earlier), fallen_from)
    fell = np.concatenate([[False], level[:-1] > fallen_from[1:] - FALL_DB])
    for start in np.flatnonzero(fell & np.isfinite(fallen_from)).tolist():
        yield start, float(fallen_from[start])


def _told(channel: NDArray[np.float32], start: int, end: int, step: int) -> tuple[float, float]:
    """Return how much of its power is explained before a gap, and after it, by what was earlier.

    By the linear combination that is best before it, of samples that lie as far back as from the
    other side of the gap; means of `step` samples each. Nothing where there is too little music.
    """
    ahead = -(-(end - start) // step) + TOLD
    first = start - (FITTED + ahead + TAPS - 1) * step
    end += (start - end) % step
    if first < 0 or end + TOLD * step > channel.size:
        return 0.0, 0.0
    past, future = (
        part.reshape(-1, step).mean(axis=1, dtype=np.float64)
        for part in (channel[first:start], channel[end : end + TOLD * step])
    )
    seen = np.lib.stride_tricks.sliding_window_view(past, TAPS)
    fitted, wanted = seen[:FITTED], past[-FITTED:]
    known = fitted.T @ fitted
    known += 1e-4 * np.trace(known) / TAPS * np.eye(TAPS) + 1e-12
    taps = np.linalg.solve(known, fitted.T @ wanted)
    return _explained(wanted, fitted @ taps), _explained(future, seen[-TOLD:] @ taps)


def _explained(wanted: NDArray[np.float64], told: NDArray[np.float64]) -> float:
    return 1.0 - float(np.mean((wanted - told) ** 2) / (np.mean(wanted**2) + 1e-20))


def _lasts(level: NDArray[np.float64], beside_db: float) -> bool:
    """Return whether there is music as long as it takes, given the levels of frames, dB."""
    return bool(np.sum(level > beside_db - FALL_DB) >= LASTS * LASTS_FRAMES)


def _overlap(one: tuple[int, int, bool], other: tuple[int, int, bool]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _db(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(10 * np.log10(np.maximum(power, 1e-20)), np.float64)


def _rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(samples**2)))
