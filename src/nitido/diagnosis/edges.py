"""How the piece begins and ends: with a click, with a cut, with silence.

Two findings, as two analysers: ``"start"`` and ``"end"``. Neither keeps more than a fifth of a
second of audio.
"""

from __future__ import annotations

import math

import numpy as np

from nitido.diagnosis.finding import Finding, Severity
from nitido.wav import Wav

EDGE_SECONDS = 0.02  # what is taken for the level at an edge: one period of 50 Hz
LAST_SECONDS = 0.005  # a fade that reaches its end only here is still a fade
BEFORE_SECONDS = (0.2, 0.05)  # before the end: what the last moment is compared with
CUT_DBFS = -40.0  # music that stops above this is heard to be cut
DECAY_DB = 18.0  # a straight fade over 25 ms falls by this into its last 5 ms; a cut does not
CLICK_DBFS = -36.0  # a first sample that jumps higher than this …
CLICK_JUMPS = 4.0  # … and so much more than the samples after it do is a click
SILENCE_DB = -60.0  # re peak
LONG_SILENCE_SECONDS = 2.0  # a gap that a listener takes for the end, or for a player that hangs
FLOOR_DBFS = -120.0


class StartAnalyser:
    """The first sample, the level of the first 20 ms, and the silence before the music."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._head: Wav = np.zeros((channels, 0), np.float32)
        self._head_samples = round(EDGE_SECONDS * sample_rate)
        self._samples = 0
        self._peak = 0.0
        # The threshold hangs on the peak, known only at the end: so note for each level, in steps
        # of 1 dB, where it was first exceeded.
        self._levels = 10 ** (np.arange(-150, 61) / 20)
        self._first: list[int] = []

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if not block.size:
            return
        if self._head.shape[1] < self._head_samples:
            part = block[:, : self._head_samples - self._head.shape[1]]
            self._head = np.concatenate([self._head, part], axis=1)
        self._peak = max(self._peak, _peak(block))
        reached = int(np.searchsorted(self._levels, self._peak))
        if reached > len(self._first):
            rising = np.maximum.accumulate(np.abs(block).max(axis=0))
            new = self._levels[len(self._first) : reached]
            first = np.searchsorted(rising, new, side="right") + self._samples
            self._first.extend(first.tolist())
        self._samples += block.shape[1]

    def finish(self) -> Finding:
        """Return the finding ``"start"``: level of the first 20 ms, dBFS; None if empty."""
        if not self._samples:
            return Finding("start", None, "dBFS", "none", "Nothing begins here.")
        level = _level_dbfs(self._head)
        silence = self._silence_seconds()
        first = float(np.abs(self._head[:, 0]).max())
        jumps = np.diff(self._head, axis=1)
        usual = math.sqrt(float(np.mean(jumps**2))) if jumps.size else 0.0
        click = first >= 10 ** (CLICK_DBFS / 20) and first > CLICK_JUMPS * usual
        severity: Severity = "slight" if click or silence > LONG_SILENCE_SECONDS else "none"
        summary = f"Begins at {level:.0f} dBFS."
        if silence > LONG_SILENCE_SECONDS:
            summary = f"Begins with {silence:.1f} s of silence."
        if click:
            summary = f"Begins with a click: the first sample jumps to {first:.2f}."
        return Finding(
            "start",
            level,
            "dBFS",
            severity,
            summary,
            compared_with=f"a first sample under {CLICK_DBFS:.0f} dBFS",
            where=((0.0, min(EDGE_SECONDS, self._samples / self._sample_rate)),) if click else (),
            details={"level_dbfs": level, "click": click, "silence_seconds": silence},
        )

    def _silence_seconds(self) -> float:
        """Return how long it stays below −60 dB re its peak, to 1 dB; the whole in silence."""
        below = np.searchsorted(self._levels, self._peak * 10 ** (SILENCE_DB / 20))
        if below >= len(self._first):
            return self._samples / self._sample_rate if not self._first else 0.0
        return self._first[int(below)] / self._sample_rate


class EndAnalyser:
    """The level of the last moment, whether it decays, and the silence after the music."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._tail: Wav = np.zeros((channels, 0), np.float32)
        self._tail_samples = round(BEFORE_SECONDS[0] * sample_rate)
        self._samples = 0
        self._peak = 0.0
        self._loud_until = 0  # position after the last sample above −60 dB re the peak so far

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if not block.size:
            return
        # A peak that rises later lies after all it could silence, so one pass is exact.
        self._peak = max(self._peak, _peak(block))
        loud = _after_last_above(block, self._peak * 10 ** (SILENCE_DB / 20))
        if loud:
            self._loud_until = self._samples + loud
        self._samples += block.shape[1]
        tail = np.concatenate([self._tail, block[:, -self._tail_samples :]], axis=1)
        self._tail = tail[:, -self._tail_samples :].copy()

    def finish(self) -> Finding:
        """Return the finding ``"end"``: level of the last 20 ms, dBFS; None if empty."""
        if not self._samples:
            return Finding("end", None, "dBFS", "none", "Nothing ends here.")
        rate = self._sample_rate
        level = _level_dbfs(self._tail[:, -round(EDGE_SECONDS * rate) :])
        last = _level_dbfs(self._tail[:, -round(LAST_SECONDS * rate) :])
        before = self._tail[:, : max(0, self._tail.shape[1] - round(BEFORE_SECONDS[1] * rate))]
        decay = _level_dbfs(before) - last if before.size else None
        silence = (self._samples - self._loud_until) / rate
        cut = decay is not None and decay < DECAY_DB and min(level, last) > CUT_DBFS
        severity: Severity = "slight" if silence > LONG_SILENCE_SECONDS else "none"
        severity = "clear" if cut else severity
        summary = f"Ends at {level:.0f} dBFS."
        if silence > LONG_SILENCE_SECONDS:
            summary = f"Ends with {silence:.1f} s of silence."
        if cut:
            summary = f"Ends in a cut: the last moment still plays at {level:.0f} dBFS."
        duration = self._samples / rate
        return Finding(
            "end",
            level,
            "dBFS",
            severity,
            summary,
            compared_with=f"{CUT_DBFS:.0f} dBFS, and the fifth of a second before",
            where=((max(0.0, duration - EDGE_SECONDS), duration),) if cut else (),
            details={
                "level_dbfs": level,
                "cut": cut,
                "silence_seconds": silence,
                "decay_db": decay,
                "below_peak_db": 20 * math.log10(self._peak) - level if self._peak > 0 else None,
            },
        )


def _peak(block: Wav) -> float:
    return max(float(block.max()), -float(block.min()))


def _level_dbfs(wav: Wav) -> float:
    """Return the RMS of the loudest channel, dBFS, at least `FLOOR_DBFS`."""
    mean_square = float(np.mean(wav.astype(np.float64) ** 2, axis=1).max())
    return max(FLOOR_DBFS, 10 * math.log10(mean_square)) if mean_square > 0 else FLOOR_DBFS


def _after_last_above(block: Wav, threshold: float) -> int:
    """Return the position after the last sample whose amplitude exceeds `threshold`; 0 if none."""
    size, length = 1024, block.shape[1]
    while True:  # nearly always found in the first, short look
        part = block[:, -size:]
        loud = np.flatnonzero((np.abs(part) > threshold).any(axis=0))
        if loud.size:
            return int(length - part.shape[1] + loud[-1] + 1)
        if size >= length:
            return 0
        size *= 16
