"""Shimmer: treble that flickers, because a coder or a decoder was short of bits for it.

Narrow peaks that are there for one frame of 23 ms and gone in the next are no notes: a note lasts,
or glides; a stroke is broad. Of noise 0.01 % are such peaks, of clean music up to 0.5 %; where a
coder keeps one bin and drops the next they are 1 to 3 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.fourier import fast_size
from nitido.dsp.spectral import Frames, FrameStream, band, running_max, running_mean
from nitido.dsp.wav import Wav

BAND_HZ = (5_000.0, 14_000.0)
FRAME_SECONDS = 0.0232  # n_fft 1024 at 44.1 kHz, and as long at every other rate
APART = 2  # frames that share no sound: the hop is half a frame
BESIDE_BINS = 3  # of those frames, in which a note that lasts is found again
GLIDE_BINS, GLIDE_DB = 9, 4.0  # within which one that glides is, before and after, and how loud
AROUND_BINS = 9  # which tell the level beside a peak
PEAK_DB = 8.0  # over the level beside it, and over the frames before and after
MEAN_LOG_DB = 2.5  # how far the mean of the logs of noise lies below the log of its mean
REACH_DB = 40.0  # bins further below the loudest part of the treble are where the music ends
SOUNDING_DB = 20.0  # frames further below the loudest twentieth do not tell how the treble is
TREBLE_MIN_DB = -45.0  # re all of the piece: nobody hears less flicker
SECONDS_MIN = 1.0
CLEAR_PERCENT, SEVERE_PERCENT = 0.8, 2.0

Levels = NDArray[np.float32]

_CLASS_DB, _CLASSES = 2.0, 80  # frames are kept apart by their level, 0 to −160 dB
_PARTS = 128  # of the piece, of which it is known how each flickers


class ShimmerAnalyser:
    """Counts the peaks of the treble that are there for one frame only."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        """Prepare for a piece; its channels are looked at together."""
        del channels
        n_fft = 2 * fast_size(round(FRAME_SECONDS / 2 * sample_rate))
        self._frames = Frames(n_fft, n_fft // 2)
        self._rate = sample_rate
        high_hz = min(BAND_HZ[1], 0.46 * sample_rate)
        self._band = band(BAND_HZ[0], high_hz, n_fft=n_fft, sample_rate=sample_rate)
        # Peaks and places, by the part of the piece and by the level of the frame: which frames
        # are loud is known only at the end. Parts grow with the piece, so that there are few.
        self._counts = np.zeros((_PARTS, _CLASSES, 2))
        self._frames_per_part = 16
        self._levels = np.zeros(_CLASSES, int)
        self._power, self._count = 0.0, 0
        self._stream = FrameStream(self._frames, channels=1)
        self._held = np.zeros((0, max(0, self._band.stop - self._band.start)), np.float32)
        self._index = 1  # of the first frame that is held

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if not block.shape[1] or self._band.stop - self._band.start < AROUND_BINS:
            return
        mix = block.mean(axis=0, keepdims=True) if len(block) > 1 else block
        spec = self._stream.update(mix)[0]
        power = spec.real**2 + spec.imag**2
        self._power += float(power.sum(dtype=np.float64)) / power.shape[1]
        self._count += len(power)
        self._held = np.concatenate([self._held, power[:, self._band]])
        if len(self._held) > 2 * APART:
            self._add(self._held, self._index + APART)
            self._index += len(self._held) - 2 * APART
            self._held = self._held[-2 * APART :].copy()

    def _add(self, treble: Levels, index: int) -> None:
        """Take the power of frames `[N, K]`; those at the ends are only looked at from beside."""
        inside = slice(APART, len(treble) - APART)
        level = 10 * np.log10(treble[inside].mean(axis=1) / self._frames.n_fft + 1e-16)
        log = 10 * np.log10(treble + np.float32(1e-20))
        own = log[inside]
        around = running_mean(own, AROUND_BINS, axis=1) + MEAN_LOG_DB
        before, after = _both_sides(log, BESIDE_BINS)
        peaks = own > np.maximum(np.maximum(before, after), around) + PEAK_DB
        before, after = _both_sides(log, GLIDE_BINS)
        peaks &= np.minimum(before, after) < own - GLIDE_DB
        reached = around > around.max(axis=1, keepdims=True) - REACH_DB
        classes = np.clip(-level / _CLASS_DB, 0, _CLASSES - 1).astype(int)
        self._levels += np.bincount(classes, minlength=_CLASSES)
        numbers = index + np.arange(len(classes))
        while numbers[-1] >= _PARTS * self._frames_per_part:
            self._counts = self._counts.reshape(_PARTS // 2, 2, _CLASSES, 2).sum(axis=1)
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
            self._frames_per_part *= 2
        parts = numbers // self._frames_per_part
        counted = np.stack([(peaks & reached).sum(axis=1), reached.sum(axis=1)], axis=1)
        np.add.at(self._counts, (parts, classes), counted)

    def finish(self) -> Finding:
        """Return the finding ``"shimmer"``: which share of the treble's places are such peaks, %.

        None where there is less than a second of treble. Details: `treble_db` (density of the
        treble in its loudest twentieth, re that of the whole piece), `error_percent` (standard
        error of the value: how much it differs from part to part), `seconds` (of treble that was
        looked at).
        """
        loudest = int((np.cumsum(self._levels) < self._levels.sum() / 20).sum())
        sounding = slice(loudest, loudest + round(SOUNDING_DB / _CLASS_DB) + 1)
        hop_seconds = self._frames.hop_length / self._rate
        seconds = float(self._levels[sounding].sum()) * hop_seconds
        whole = self._power / max(self._count, 1) / self._frames.n_fft
        treble_db = -_CLASS_DB * loudest - 10 * float(np.log10(whole + 1e-16))
        parts = self._counts[:, sounding].sum(axis=1)
        parts_seconds = self._frames_per_part * hop_seconds
        heard = parts[:, 1] > 0
        silent = loudest == _CLASSES - 1 or not heard.any()
        if silent or seconds < SECONDS_MIN or treble_db < TREBLE_MIN_DB:
            summary = "Too little treble to tell whether it shimmers."
            return Finding("shimmer", None, "%", "ok", summary)
        peaks, places = parts[heard].sum(axis=0)
        percent = 100 * float(peaks / places)
        apart = parts[heard, 0] - parts[heard, 1] * peaks / places
        error = 100 * float(np.sqrt((apart**2).sum()) / places)
        details = {
            "treble_db": round(treble_db, 1),
            "error_percent": round(error, 2),
            "seconds": round(seconds, 1),
        }
        severity: Severity = "ok"
        if percent - error > CLEAR_PERCENT:
            severity = "severe" if percent > SEVERE_PERCENT else "moderate"
        found = severity != "ok"
        where = _runs(100 * parts[:, 0] > CLEAR_PERCENT * parts[:, 1], parts_seconds)
        return Finding(
            "shimmer",
            round(percent, 2),
            "%",
            severity,
            f"The treble {'flickers' if found else 'does not flicker'}: {percent:.1f} % of it are "
            "peaks that come and go within a fiftieth of a second.",
            f"{CLEAR_PERCENT:g} %, which no clean music reaches" if found else "",
            where if found else (),
            details,
        )


def _both_sides(log: Levels, bins: int) -> tuple[Levels, Levels]:
    """Return the loudest of some bins in the frames before and after each, `[N − 4, K]`."""
    padded = np.pad(log, ((0, 0), (bins // 2, bins // 2)), mode="edge")
    near = running_max(padded, bins)
    return near[: -2 * APART], near[2 * APART :]


def _runs(flags: NDArray[np.bool_], seconds: float) -> tuple[tuple[float, float], ...]:
    """Return where flags follow one another, from and to, in units of `seconds`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return tuple(
        (round(float(start) * seconds, 2), round(float(end) * seconds, 2))
        for start, end in zip(edges[::2], edges[1::2], strict=True)
    )
