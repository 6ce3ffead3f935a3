"""Sharp s: the hiss of a voice's s in 5–9 kHz, too loud beside the music.

Brightness alone cannot tell an s from a hi-hat, so its shape has to: an s is noise, it stands out
of the piece's own trend in 5–9 kHz for 30 to 200 ms, it swells in where a struck cymbal is there at
once, it lies in that band, where a cymbal goes on above it and a snare below, and it does not keep
time, as a cymbal does that a decoder blurred. What passes is counted by its energy. A dry natural
voice puts 0.6 % of its energy (−22 dB) into its s, and a voice in a mix less: clean music reads
−30 dB and below.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappush, heappushpop

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.spectral import Frames, FrameStream, band, fft_size, median, running_max
from nitido.dsp.wav import Wav

S_HZ = (5_000.0, 9_000.0)
ABOVE_HZ, BELOW_HZ = (10_500.0, 15_000.0), (1_500.0, 4_000.0)
LOWEST_RATE_HZ = 24_000  # below, it cannot be told whether the hiss goes on above
FRAME_SECONDS = 0.0107
TREND_SECONDS = 1.5  # over which the median is the trend
OUT_DB = 8.0  # of the trend
LASTS_SECONDS = (0.03, 0.2)  # within 6 dB of its loudest
RISE_SECONDS = (0.005, 0.08)  # from 12 to 3 dB below its loudest: a cymbal has less
IN_BAND_DB = 4.0  # what it adds there over what it adds above and below, per Hz
NOISE_DB = -1.5  # least flatness of its spectrum: partials have less
FEWEST = 4
SILENCE = 1e-9  # mean square of a frame that does not sound
# Cymbals: this share of the distances, and at least so many, are so near to their median.
IN_RHYTHM, BEATS, BEAT_SECONDS = 0.5, 4, 0.03
SHARP_DB, MODERATE_DB, SEVERE_DB = -20.0, -17.0, -13.0  # energy of all s re the piece
CHUNK_SECONDS, CONTEXT_SECONDS = 4.0, 1.0  # what is looked at together, and what beside it
KEPT = 4_000  # of the loudest, in a piece of any length
SPANS = 50

Array = NDArray[np.float64]


@dataclass(frozen=True, order=True)
class _Burst:
    power: float  # in 5–9 kHz, mean square
    start: int  # frame
    end: int


class SibilanceAnalyser:
    """Looks for bursts of noise in 5–9 kHz that have the shape of an s."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        self._frames = Frames(n_fft, n_fft // 2)
        self._stream = FrameStream(self._frames, channels=channels)
        grid = {"n_fft": n_fft, "sample_rate": sample_rate}
        self._s, self._above, self._below = (band(*hz, **grid) for hz in (S_HZ, ABOVE_HZ, BELOW_HZ))
        self._chunk, self._context = (
            self._count(seconds) for seconds in (CHUNK_SECONDS, CONTEXT_SECONDS)
        )
        width = self._s.stop - self._s.start
        self._held: NDArray[np.float32] = np.zeros((0, width + 2), np.float32)
        self._position = 0  # frame that `_held` begins with
        self._energy, self._s_energy, self._bursts = 0.0, 0.0, 0
        self._sounding = 0  # frames
        self._last = 0  # frame after the last burst
        self._loudest: list[_Burst] = []

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if self._sample_rate < LOWEST_RATE_HZ:
            return
        spec = self._stream.update(block)
        power = (spec.real**2 + spec.imag**2).mean(axis=0) * (16 / 3 / self._frames.n_fft**2)
        whole = power.sum(axis=1, dtype=np.float64)
        self._energy += float(whole.sum())
        self._sounding += int((whole > SILENCE).sum())
        rows = [power[:, self._s]]
        rows += [power[:, beside].mean(axis=1)[:, None] for beside in (self._above, self._below)]
        self._held = np.concatenate([self._held, np.concatenate(rows, axis=1)])
        while len(self._held) >= self._next() + self._chunk + self._context:
            self._search(self._next() + self._chunk)

    def finish(self) -> Finding:
        """Return the finding ``"sibilance"``: energy of the s re the piece, dB; None if none."""
        if len(self._held):
            self._search(len(self._held))
        if self._sample_rate < LOWEST_RATE_HZ:
            return Finding("sibilance", None, "dB", "ok", "Too low a sample rate to tell an s.")
        bursts = sorted(self._loudest, key=lambda burst: burst.start)
        if self._bursts < FEWEST or _in_rhythm(self._seconds(one.start) for one in bursts):
            return Finding("sibilance", None, "dB", "ok", "No sharp s was found.")
        share_db = 10 * float(np.log10(self._s_energy / self._energy))
        severity: Severity = "ok"
        if share_db > SHARP_DB:
            severity = "slight" if share_db < MODERATE_DB else "moderate"
            severity = "severe" if share_db > SEVERE_DB else severity
        heard = "The s is sharp" if severity != "ok" else "The s is not too loud"
        spans = [(self._seconds(one.start), self._seconds(one.end)) for one in bursts]
        return Finding(
            "sibilance",
            round(share_db, 2),
            "dB",
            severity,
            f"{heard}: {self._bursts} times, {share_db:.0f} dB against the whole.".replace(
                " -", " −"
            ),
            compared_with=f"{SHARP_DB:.0f} dB",
            where=tuple(spans[:SPANS]) if severity != "ok" else (),
            details={
                "count": self._bursts,
                "rms_db": round(10 * float(np.log10(self._energy / max(self._sounding, 1))), 2),
                "starts_seconds": [start for start, _ in spans],
                "ends_seconds": [end for _, end in spans],
                "levels_db": [round(10 * float(np.log10(one.power)), 1) for one in bursts],
            },
        )

    def _count(self, seconds: float) -> int:
        return round(seconds * self._sample_rate / self._frames.hop_length)

    def _seconds(self, frame: int) -> float:
        return round(frame * self._frames.hop_length / self._sample_rate, 3)

    def _next(self) -> int:
        """Return where in `_held` the next chunk begins: behind its context."""
        return min(self._context, self._position)

    def _search(self, end: int) -> None:
        """Note the bursts whose loudest frame lies before `end` of what is held."""
        start = self._next()
        above, below = self._held[:, -2], self._held[:, -1]
        power = self._held[:, :-2].sum(axis=1, dtype=np.float64)
        level = 10 * np.log10(power + 1e-12)
        around, near = self._count(TREND_SECONDS) // 2, self._count(LASTS_SECONDS[1] / 4)
        highest = running_max(np.pad(level, near, mode="edge"), 2 * near + 1)
        peaks = start + np.flatnonzero((level == highest)[start:end])
        padded = np.pad(level, around, mode="edge")
        trends = median(np.lib.stride_tricks.sliding_window_view(padded, 2 * around + 1)[peaks])
        out = level[peaks] > trends + OUT_DB
        for at, trend in zip(peaks[out].tolist(), trends[out].tolist(), strict=True):
            low, high = self._core(level, at)
            again = self._position + low < self._last
            if again or not self._lasts(level, trend, at, high - low):
                continue
            inside, before = slice(low, high), slice(max(0, low - 20), max(1, low - 4))
            spectrum = self._held[inside, :-2].mean(axis=0) + 1e-15
            flat_db = 10 * float(np.log10(np.exp(np.log(spectrum).mean()) / spectrum.mean()))
            added = [
                10 * float(np.log10(max(per_hz[inside].mean() - median(per_hz[before]), 1e-15)))
                for per_hz in (power / (self._s.stop - self._s.start), above, below)
            ]
            if flat_db > NOISE_DB and added[0] > max(added[1:]) + IN_BAND_DB:
                self._note(power[inside], self._position + low)
        keep = max(0, end - self._context)
        self._held = self._held[keep:].copy()
        self._position += keep

    def _core(self, level: Array, at: int) -> tuple[int, int]:
        """Return the frames around a peak that are within 6 dB of it."""
        low, high = at, at + 1
        reach = self._count(LASTS_SECONDS[1]) + 1
        while low > max(0, at - reach) and level[low - 1] > level[at] - 6:
            low -= 1
        while high < min(len(level), at + reach) and level[high] > level[at] - 6:
            high += 1
        return low, high

    def _lasts(self, level: Array, trend: float, at: int, frames: int) -> bool:
        """Return whether a burst lasts as long as an s, and swells in as slowly."""
        near = at
        while near > 0 and level[near] > level[at] - 3:
            near -= 1
        far, least = near, max(level[at] - 12, trend + 1)
        while far > max(0, near - self._count(0.2)) and level[far] > least:
            far -= 1
        hop_seconds = self._frames.hop_length / self._sample_rate
        lasts, rises = frames * hop_seconds, (near - far) * hop_seconds
        return bool(
            LASTS_SECONDS[0] <= lasts <= LASTS_SECONDS[1]
            and RISE_SECONDS[0] < rises <= RISE_SECONDS[1]
        )

    def _note(self, power: Array, start: int) -> None:
        self._bursts += 1
        self._last = start + len(power)
        self._s_energy += float(power.sum())
        burst = _Burst(float(power.mean()), start, self._last)
        (heappush if len(self._loudest) < KEPT else heappushpop)(self._loudest, burst)


def _in_rhythm(starts_seconds: Iterable[float]) -> bool:
    apart = np.diff(np.fromiter(starts_seconds, np.float64))
    beats = int((np.abs(apart - median(apart)) < BEAT_SECONDS).sum())
    return beats >= max(BEATS, IN_RHYTHM * len(apart))
