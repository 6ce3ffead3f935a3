"""How the piece begins and ends: with a click, with a cut, with silence.

Two findings, as two analysers: ``"start"`` and ``"end"``. Neither keeps more than a fifth of a
second of audio. What is loud is judged against the piece, and in spans of time and bands of Hz: so
neither a gain nor another sample rate changes the verdict.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.fourier import fast_size, irfft, rfft
from nitido.dsp.wav import Wav, energies

EDGE_SECONDS = 0.02  # what is taken for the level at an edge: one period of 50 Hz
LAST_SECONDS = 0.005  # a fade that reaches its end only here is still a fade
BEFORE_SECONDS = (0.2, 0.05)  # before the end: what the last moment is compared with
CUT_DB = -26.0  # re the piece: −40 dBFS in one that plays at −14 LUFS. Above it a cut is heard
DECAY_DB = 18.0  # a straight fade over 25 ms falls by this into its last 5 ms; a cut does not
# A decoder smears a cut over 10 ms. Before those the sound is as it was, which in a fade it is not.
SMEARED_SECONDS = (0.04, 0.015, 0.01)
# What it may change by itself from 40…15 ms before the end, and from a fifth of a second, to then.
SMEARED_DB = (3.0, 9.0)
CLICK_BAND_HZ = (3000.0, 7000.0)  # a jump sounds in all bands; most music is weaker in this one
CLICK_SECONDS = 0.0005  # and there it is over at once
CLICK_DB = -24.0  # in that band, re the piece: a jump that is softer …
CLICK_RATIO = 4.0  # … or stands out less from the RMS of what follows is covered by the music
SILENCE_DB = -60.0  # re peak
LONG_SILENCE_SECONDS = 2.0  # a gap that a listener takes for the end, or for a player that hangs
FLOOR_DBFS = -120.0


class StartAnalyser:
    """The jump into the first sample, the level of the first 20 ms, the silence before the music.

    A click is judged as it is heard: in a band, by how far the first half millisecond stands out of
    the 20 ms after it. There the jump to the first sample is a burst at any sample rate, while a
    drum or a hi-hat on the first sample goes on.
    """

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._head: Wav = np.zeros((channels, 0), np.float32)
        self._head_samples = round(EDGE_SECONDS * sample_rate)
        self._samples = 0
        self._energy = np.zeros(channels)
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
        self._energy += energies(block)
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
            return Finding("start", None, "dBFS", "ok", "Nothing begins here.")
        level = _level_dbfs(self._head)
        silence = self._silence_seconds()
        jump_db, ratio = self._jump()
        click = jump_db > CLICK_DB and ratio > CLICK_RATIO
        severity: Severity = "slight" if click or silence > LONG_SILENCE_SECONDS else "ok"
        summary = f"Begins at {level:.0f} dBFS."
        if silence > LONG_SILENCE_SECONDS:
            summary = f"Begins with {silence:.1f} s of silence."
        if click:
            height_db = 20 * math.log10(ratio)
            summary = f"Begins with a click, {height_db:.0f} dB over what follows it."
        return Finding(
            "start",
            level,
            "dBFS",
            severity,
            summary,
            compared_with=f"a click is {20 * math.log10(CLICK_RATIO):.0f} dB over what follows it",
            where=((0.0, min(EDGE_SECONDS, self._samples / self._sample_rate)),) if click else (),
            details={"level_dbfs": level, "click": click, "silence_seconds": silence},
        )

    def _jump(self) -> tuple[float, float]:
        """Return how high the jump into the piece is, dB re the piece, and re what follows it."""
        rate = self._sample_rate
        low_hz, high_hz = CLICK_BAND_HZ
        first = round(CLICK_SECONDS * rate) + 1
        piece = float(np.sqrt(self._energy.max() / self._samples))
        if self._head.shape[1] < 4 * first or low_hz >= 0.4 * rate or not piece:
            return -math.inf, 0.0
        heard = band_pass(self._head, low_hz, min(high_hz, 0.45 * rate), rate)
        jump = np.abs(heard[:, :first]).max(axis=1)
        rest = np.sqrt(np.mean(heard[:, 2 * first :] ** 2, axis=1))
        loudest = int(np.argmax(jump))
        return (
            20 * math.log10(max(jump[loudest] / piece, 1e-9)),
            float(jump[loudest] / max(rest[loudest], 1e-9)),
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
        self._energy = np.zeros(channels)
        self._peak = 0.0
        self._loud_until = 0  # position after the last sample above −60 dB re the peak so far

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if not block.size:
            return
        # A peak that rises later lies after all it could silence, so one pass is exact.
        self._peak = max(self._peak, _peak(block))
        self._energy += energies(block)
        loud = _after_last_above(block, self._peak * 10 ** (SILENCE_DB / 20))
        if loud:
            self._loud_until = self._samples + loud
        self._samples += block.shape[1]
        tail = np.concatenate([self._tail, block[:, -self._tail_samples :]], axis=1)
        self._tail = tail[:, -self._tail_samples :].copy()

    def finish(self) -> Finding:
        """Return the finding ``"end"``: level of the last 20 ms, dBFS; None if empty."""
        if not self._samples:
            return Finding("end", None, "dBFS", "ok", "Nothing ends here.")
        rate = self._sample_rate
        level = _level_dbfs(self._tail[:, -round(EDGE_SECONDS * rate) :])
        last = self._level(LAST_SECONDS, 0.0)
        before = self._tail[:, : max(0, self._tail.shape[1] - round(BEFORE_SECONDS[1] * rate))]
        decay = _level_dbfs(before) - last if before.size else None
        silence = (self._samples - self._loud_until) / rate
        mean_square = float(self._energy.max()) / self._samples
        audible = max(FLOOR_DBFS, 10 * math.log10(mean_square) + CUT_DB) if mean_square else 0.0
        cut = False
        if decay is not None:
            early, middle, late = SMEARED_SECONDS
            smeared = self._level(middle, late)
            cut = decay < DECAY_DB and min(level, last) > audible
            near, far = SMEARED_DB
            steady = smeared > max(self._level(early, middle) - near, _level_dbfs(before) - far)
            cut |= steady and smeared > audible
        severity: Severity = "slight" if silence > LONG_SILENCE_SECONDS else "ok"
        severity = "moderate" if cut else severity
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
            compared_with=f"{CUT_DB:.0f} dB under the piece, and the fifth of a second before",
            where=((max(0.0, duration - EDGE_SECONDS), duration),) if cut else (),
            details={
                "level_dbfs": level,
                "cut": cut,
                "silence_seconds": silence,
                "decay_db": decay,
                "below_peak_db": 20 * math.log10(self._peak) - level if self._peak > 0 else None,
            },
        )

    def _level(self, since: float, until: float) -> float:
        """Return the level between two moments before the end, s, in dBFS."""
        count, rate = self._tail.shape[1], self._sample_rate
        stop = count - round(until * rate)
        return _level_dbfs(self._tail[:, max(0, count - round(since * rate)) : max(stop, 1)])


def band_pass(wav: Wav, low_hz: float, high_hz: float, sample_rate: int) -> NDArray[np.float64]:
    """Return `wav` `[C, T]` through a Butterworth band-pass of the second order, causal.

    The analogue filter at the frequencies that the bilinear transform takes the bins to.
    """
    size = fast_size(2 * wav.shape[1])  # as much silence again: the filter has rung out by then
    bins, low, high = (
        np.tan(np.pi * np.asarray(hz) / sample_rate)
        for hz in (np.arange(size // 2 + 1) * sample_rate / size, low_hz, high_hz)
    )
    bins[0] = 1e-9
    prototype = 1j * (bins - low * high / bins) / (high - low)
    spec = rfft(wav.astype(np.float64), size) / (prototype**2 + math.sqrt(2) * prototype + 1)
    return irfft(spec, size)[:, : wav.shape[1]]


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
