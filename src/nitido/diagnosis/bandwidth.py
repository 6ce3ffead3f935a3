"""The ceiling: up to which frequency there is sound most of the time, and whether that is a fault.

Music fades towards the top; a decoder, a low sample rate or a lossy coder cuts it off. A ceiling is
where the sound falls away from its own trend and stays away. What lies above does not move it:
the mirror that a resampler leaves, a coder's noise, clicks, a pilot tone; nor does it count how
deep the silence above is, for that is the last coder's. So it is read from how the piece is most
of the time, frame by frame, not from a sum over time.

It is a fault only where something is missing: where there is treble just below it that could go on,
and where it is low enough that giving it back was proven to gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.spectral import Frames, Spec, fft_size, median, noise_power
from nitido.dsp.wav import Wav

# Above, treble that is put back is heard less than treble that was never there: real songs through
# a neural codec, ceilings of 17.4 to 18.9 kHz, lost 0.09 of ViSQOL on average and 0.30 at worst.
FAULT_BELOW_HZ = 17_000.0
LOWEST_HZ = 2_500.0
# Everything above a ceiling lies this far below the line through the band under it, and by more
# where single voices fall fast by themselves (formants, 19 dB within 1 kHz).
FALL_DB, FALL_LOUD_DB = 12.0, 10.0
FALLS_LOW_DB = ((8_000.0, 30.0), (13_000.0, 18.0))
# Decoders trained on music fade out from 14.5 to 16 kHz. What ends higher up and softly does so by
# itself; what was cut there has next to nothing left.
SOFT_BELOW_HZ = 16_000.0
CUT_DB, CUT_HZ = 30.0, (750.0, 2_500.0)  # above it
WHOLE_FALL_DB = 22.0  # and this far below the middle of that band: voices breathe out softly
TREND_BELOW = (0.6, 0.9)  # of a place 500 Hz below: the band whose trend the ceiling leaves
TREND_GAP_HZ = 500.0
TREND_REACH_HZ = 3_000.0  # so far above a place the trend is carried on
# The band below the ceiling that tells what should be above it, relative to the ceiling.
REFERENCE_BAND = (0.78, 0.95)
# The band whose slope goes on above the ceiling, as far as a resampler's edge. Read as a line over
# the octaves, which one note moves less than a mean over a part; most of the time and where it is
# loud, and the flatter of both counts: where it is not loud, a coder empties bands.
SLOPE_BAND = (0.60, 0.93)
# Music whose treble dies away falls ever faster, and is seen to only just below the ceiling, there
# at its loudest: what a coder leaves out in the quieter moments says nothing of the music.
END_BANDS, AT_ITS_LOUDEST = ((0.70, 0.84), (0.84, 0.93)), 0.97
# Where there is less treble than this below the ceiling in the loudest tenth of the piece, none is
# missing above: the gate of the stage that gives it back is not open even then.
TREBLE_MIN_DB = -41.0
# What lies further up, of the band of a sample rate, is lost with the next resampling: the treble
# below a ceiling is read below that, so that it is the same before and after.
RESAMPLED = 0.95
# Before it ends, the sound may sink: a soft filter, or a model that never learned the last bands.
# It sinks where it falls this far below the line through the part of the band that tells the trend.
ROLLOFF_DB = 5.0
TREND_BAND = (0.65, 0.88)
# A sound that is there now and then and louder just below its end than further down, an s over dark
# music, ends with its own band: where the music would end it does not tell. Of 260 ceilings of real
# clips and of cut music none is seen only now and then.
OWN_BAND, UNDER_BAND, OWN_BAND_DB = (0.6, 0.9), (0.3, 0.6), 2.0
USUALLY, LOUDLY = 0.7, 0.9  # shares of the frames that are fainter: most of the time, and at best
APART_HZ = 2_000.0  # further apart, the two tell of different things
SOUNDING_DB = 30.0  # frames further below the piece's RMS do not tell how it sounds
# Treble is there in frames whose level from 16.5 kHz on is above this, dB re white noise of the
# piece's RMS: 3 kHz further up than a ceiling, at the usual slope, the least that counts as treble.
TOP_BAND_HZ = (16_500.0, 20_000.0)
TOP_DB = -60.0
# Of a sound that once had a low sample rate a resampler may leave a mirror, just above half of that
# rate, of what lies just below. Where so much of the power there is told by what lies below, it is
# no treble: through MP3 at 128 kbit/s still 0.14. Of 750 pieces of music none reaches 0.04 around
# 16 kHz; around 8 to 12 kHz some do, up to 0.9, which play instruments that were sampled so low.
# The three lowest rates change the ceiling of none of 750. A mirror that is hardly fainter than the
# trend is meant: the sound of old games.
LOW_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000)
MIRROR_REACH = 1.2  # of half the rate
MIRROR_SHARE, MIRROR_BELOW_DB = 0.1, 6.0

Band = tuple[float, float]  # from and to, as shares of the ceiling

_BAND_HZ = 100.0
_LINE_BANDS = 5  # over which a single line does not count
_RANGE_DB = 110.0  # below the loudest band; deeper there is nothing to tell
_LEVEL_MIN_DB, _LEVELS = -150, 170
_CLASS_DB, _CLASSES = 5.0, 18  # frames are kept apart by their level, 0 to −90 dBFS


class BandwidthAnalyser:
    """Finds the ceiling of a piece, and how much treble there is just below it."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._rate = sample_rate
        self._n_fft = fft_size(0.0853, sample_rate=sample_rate)
        self._frames = Frames(self._n_fft, self._n_fft)
        bin_hz = sample_rate / self._n_fft
        per_band = max(1, round(_BAND_HZ / bin_hz))
        self._band_starts = np.arange(0, self._n_fft // 2 + 1, per_band)
        self._band_sizes = np.diff([*self._band_starts, self._n_fft // 2 + 1])
        self._hz = (self._band_starts + (self._band_sizes - 1) / 2) * bin_hz
        self._top = (self._hz >= TOP_BAND_HZ[0]) & (self._hz < TOP_BAND_HZ[1])
        # How often each band had which level, and last the top band as a whole, by the level of the
        # frame: which frames sound is known only at the end.
        self._histogram = np.zeros((_CLASSES, len(self._hz) + 1, _LEVELS), np.int32)
        self._mirrors = [
            _Mirror(rate, sample_rate=sample_rate, n_fft=self._n_fft)
            for rate in LOW_RATES
            if rate * MIRROR_REACH < sample_rate
        ]
        self._square, self._count = 0.0, 0
        # Half of the first frame lies before the piece. A piece that sets in at once has a step
        # there, whose spectrum hides the ceiling: this frame counts only if there is no other.
        self._edge: Spec = np.zeros((channels, 0, self._n_fft // 2 + 1), np.complex64)
        self._held: Wav = np.zeros((channels, self._n_fft // 2), np.float32)
        self._first = -self._n_fft // 2

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`."""
        held = np.concatenate([self._held, block], axis=1)
        indices = self._frames.indices(self._first, held.shape[1])
        if len(indices):
            spec = self._frames.analyse(held, first=self._first)
            if indices.start == 0:
                self._edge, spec = spec[:, :1], spec[:, 1:]
            self._add(spec, max(indices.start, 1))
            following = indices.stop * self._n_fft - self._n_fft // 2
            held = held[:, following - self._first :]
            self._first = following
        self._held = held.copy()

    def _add(self, spec: Spec, first: int) -> None:
        """Take the spectra `[C, N, F]` of the frames from `first` on."""
        power = (spec.real**2 + spec.imag**2).mean(axis=0)
        mean_square = power.mean(axis=1) * (16 / 3 / self._n_fft)  # Parseval, Hann
        live = mean_square > 1e-9  # −90 dBFS
        if not live.any():
            return
        self._square += float(mean_square[live].sum())
        self._count += int(live.sum())
        density = power[live] / noise_power(self._n_fft, sample_rate=self._rate)
        bands = np.add.reduceat(density, self._band_starts, axis=1) / self._band_sizes
        top = bands[:, self._top].mean(axis=1) if self._top.any() else np.zeros(len(bands))
        bands = np.concatenate([bands, top[:, None]], axis=1)
        level = np.rint(10 * np.log10(bands + 1e-15)).astype(int) - _LEVEL_MIN_DB
        loud = (-10 * np.log10(mean_square[live]) / _CLASS_DB).astype(int).clip(0, _CLASSES - 1)
        band = np.arange(bands.shape[1])
        np.add.at(self._histogram, (loud[:, None], band, level.clip(0, _LEVELS - 1)), 1)
        mixed, frames = spec.sum(axis=0)[live], np.flatnonzero(live) + first
        of_class = (loud == np.arange(_CLASSES)[:, None]).astype(np.float32)
        for mirror in self._mirrors:
            mirror.add(mixed, frames, of_class)

    def finish(self) -> Finding:
        """Return the finding ``bandwidth``: the ceiling, Hz; where there is none, the reach.

        Details: `ceiling_hz` (the value again); `rolloff_hz` (from where on the sound sinks towards
        the ceiling; the ceiling where it does not); `wall_db` (how far all that comes next above is
        below the trend; 0 where the sample rate is the ceiling, absent where there is none);
        `rms_db` (of the piece without silence, re full scale); `treble_db` (level just below the
        ceiling in its loudest tenth, re white noise of the piece's RMS); `fall_db_per_khz` (how
        fast it falls at the ceiling, by the line through the levels below it over the octaves);
        `end_fall_db_per_khz` (from a band to the next close to the ceiling, in the loudest
        moments); `top_share` (of the time in which there is treble above 16.5 kHz, 0 to 1).
        """
        if not self._count:
            self._add(self._edge, 0)
            self._edge = self._edge[:, :0]
        if not self._count:
            return Finding("bandwidth", None, "Hz", "ok", "No sound to measure the bandwidth of.")
        rms_db = 10 * float(np.log10(self._square / self._count))
        # Whole numbers taken for float are louder than full scale.
        centre_db = -_CLASS_DB * (np.arange(_CLASSES) + 0.5)
        sounding = centre_db > min(rms_db, 0.0) - SOUNDING_DB
        mirrored = np.zeros(len(self._hz), np.bool_)
        for mirror in self._mirrors:
            if mirror.share(sounding) > MIRROR_SHARE:
                mirrored |= (self._hz >= mirror.hz) & (self._hz < MIRROR_REACH * mirror.hz)
        levels = _Levels(self._histogram[sounding].sum(axis=0), self._hz, rms_db, mirrored)
        ceiling = levels.ceiling(self._rate / 2)
        end_hz = levels.reach_hz if ceiling is None else ceiling.hz
        kept_hz = min(end_hz, RESAMPLED * self._rate / 2)
        treble_db = levels.mean_db(kept_hz, REFERENCE_BAND)
        details = {
            "ceiling_hz": round(end_hz),
            "rolloff_hz": round(levels.rolloff_hz(end_hz)),
            "rms_db": round(rms_db, 2),
            "treble_db": round(treble_db - rms_db, 1),
            "fall_db_per_khz": round(levels.fall_db_per_khz(kept_hz), 2),
            "end_fall_db_per_khz": round(levels.end_fall_db_per_khz(kept_hz), 2),
            "top_share": round(levels.top_share, 3),
        }
        if ceiling is not None:
            details["wall_db"] = round(ceiling.wall_db, 1)
        severity, summary = _verdict(ceiling, details)
        compared = f"treble as far as {FAULT_BELOW_HZ / 1000:g} kHz" if severity != "ok" else ""
        return Finding(
            "bandwidth", details["ceiling_hz"], "Hz", severity, summary, compared, (), details
        )


def ceiling_hz(finding: Finding) -> float | None:
    """Return the ceiling that a finding ``bandwidth`` tells of, fault or not; None without one."""
    return finding.value if "wall_db" in finding.details else None


class _Mirror:
    """How much of what lies just above half of a low sample rate is a mirror of what lies below.

    Sampled at a rate R a sound has X(R − f) = X*(f), and what a resampler leaves of that keeps its
    phase: the product of both, turned back by R, adds up over the frames. Nothing else does so.
    """

    def __init__(self, low_rate: int, *, sample_rate: int, n_fft: int) -> None:
        self.hz = low_rate / 2
        low_bins = low_rate * n_fft / sample_rate
        self._whole = int(low_bins)
        self._part = low_bins - self._whole  # of a bin, and of a turn per frame
        self._start, self._stop = int(low_bins / 2) + 3, int(low_bins / 2 * MIRROR_REACH)
        per_band = max(1, round(_BAND_HZ * n_fft / sample_rate))
        self._bands = np.arange(0, self._stop - self._start, per_band)
        self._product = np.zeros((_CLASSES, len(self._bands)), np.complex128)
        self._upper, self._lower = np.zeros((2, _CLASSES, len(self._bands)))

    def add(self, spec: Spec, frames: NDArray[np.int64], of_class: NDArray[np.float32]) -> None:
        """Take the spectra `[N, F]` of frames, their numbers, and which class `[K, N]` has them."""
        upper = _level(spec[:, self._start : self._stop])
        # What is mirrored lies between two bins; they differ in sign, seen from a frame's middle.
        near, far = (
            spec[:, self._whole + above - self._stop + 1 : self._whole + above - self._start + 1]
            for above in (0, 1)
        )
        lower = _level((np.float32(1 - self._part) * near - np.float32(self._part) * far)[:, ::-1])
        turned = np.exp(-2j * np.pi * (self._part * frames % 1.0)).astype(np.complex64)
        for total, of_bins in (
            (self._product, upper * lower * turned[:, None]),
            (self._upper, upper.real**2 + upper.imag**2),
            (self._lower, lower.real**2 + lower.imag**2),
        ):
            total += of_class @ np.add.reduceat(of_bins, self._bands, axis=1)

    def share(self, sounding: NDArray[np.bool_]) -> float:
        """Return the share of the power above that what lies below tells, 0 to 1."""
        product, upper, lower = (
            total[sounding].sum(axis=0) for total in (self._product, self._upper, self._lower)
        )
        return float((np.abs(product) ** 2 / (lower + 1e-9)).sum() / (upper.sum() + 1e-9))


def _level(spec: Spec) -> Spec:
    """Return the spectra of frames at one level, so that none outweighs the others."""
    power = (spec.real**2 + spec.imag**2).mean(axis=1, keepdims=True)
    return np.asarray(spec / np.sqrt(power + np.float32(1e-30)), np.complex64)


@dataclass(frozen=True)
class Ceiling:
    """Where everything above lies below the trend, and by how much; 0 at the sample rate's end."""

    hz: float
    wall_db: float

    @property
    def cut(self) -> bool:
        """Whether next to nothing is left above: no sound ends like that by itself."""
        return not self.wall_db or self.wall_db >= CUT_DB


class _Levels:
    """The levels that the bands have over time, while the piece sounds."""

    def __init__(
        self,
        counts: NDArray[np.int64],
        hz: NDArray[np.float64],
        rms_db: float,
        mirrored: NDArray[np.bool_],
    ) -> None:
        self._shares = np.cumsum(counts, axis=1) / max(int(counts[0].sum()), 1)
        self._hz = hz
        self._rms_db = rms_db
        self._mirrored = mirrored

    def at(self, share: float) -> NDArray[np.float64]:
        """Return the level of each band, dB, that is reached in all but `share` of the frames."""
        shares = self._shares[:-1]
        index = (shares < share).sum(axis=1).clip(0, _LEVELS - 1)
        high = np.take_along_axis(shares, index[:, None], axis=1)[:, 0]
        low = np.where(index > 0, np.take_along_axis(shares, index[:, None] - 1, axis=1)[:, 0], 0.0)
        part = (share - low) / np.maximum(high - low, 1e-9)
        return np.asarray(index - 0.5 + part + _LEVEL_MIN_DB, np.float64)

    @property
    def top_share(self) -> float:
        """Return in which share of the time there is treble above 16.5 kHz."""
        if self._mirrored[np.searchsorted(self._hz, TOP_BAND_HZ[0]) :].any():
            return 0.0
        below = int(np.ceil(TOP_DB + self._rms_db)) - _LEVEL_MIN_DB - 1
        return float(1.0 - self._shares[-1, np.clip(below, 0, _LEVELS - 1)])

    @property
    def reach_hz(self) -> float:
        """Return the highest frequency that is heard in half of the frames, Hz."""
        heard = np.flatnonzero(_smooth(self.at(0.5)) > TOP_DB + self._rms_db)
        return float(self._hz[heard[-1]]) if len(heard) else float(self._hz[0])

    def ceiling(self, nyquist_hz: float) -> Ceiling | None:
        """Return the ceiling that the piece has most of the time and at its loudest, if any."""
        usual, loud = (
            find_ceiling(self.at(share), self._hz, nyquist_hz, fall_db, self._mirrored)
            for share, fall_db in ((USUALLY, FALL_DB), (LOUDLY, FALL_LOUD_DB))
        )
        if loud is None or (usual is not None and abs(usual.hz - loud.hz) > APART_HZ):
            return None
        if usual is None:
            below_hz = loud.hz - TREND_GAP_HZ
            own_db, under_db = (self.mean_db(below_hz, each) for each in (OWN_BAND, UNDER_BAND))
            if own_db - under_db > OWN_BAND_DB:
                return None
        # What has treble only when it is loud fades out by itself the rest of the time; what
        # reaches further when it is loud ends there. Of two that are near, a resampler's mirror
        # or a line in the quiet moved the upper one.
        if usual is None or loud.hz >= FAULT_BELOW_HZ:
            return loud
        return min(usual, loud, key=lambda ceiling: ceiling.hz)

    def mean_db(self, ceiling_hz: float, shares: Band, loudly: float = LOUDLY) -> float:
        """Return the level of a part of the band that all but a share of the frames reach, dB."""
        low, high = (share * ceiling_hz for share in shares)
        chosen = self.at(loudly)[(self._hz >= low) & (self._hz < high)]
        if not len(chosen):
            return float(_LEVEL_MIN_DB)
        return 10 * float(np.log10(np.mean(10.0 ** (chosen / 10))))

    def fall_db_per_khz(self, ceiling_hz: float) -> float:
        """Return how fast the level falls at the ceiling, by the line through those below it."""
        low, high = (share * ceiling_hz for share in SLOPE_BAND)
        band = (self._hz >= low) & (self._hz < high)
        if band.sum() < 4:
            return 0.0
        octaves = np.log(self._hz[band])
        falls = (_slope(octaves, self.at(share)[band]) for share in (USUALLY, LOUDLY))
        return max(falls) / (ceiling_hz / 1000)

    def end_fall_db_per_khz(self, ceiling_hz: float) -> float:
        """Return how fast the level falls close to the ceiling, in the loudest moments."""
        below_db, above_db = (
            self.mean_db(ceiling_hz, shares, AT_ITS_LOUDEST) for shares in END_BANDS
        )
        apart_khz = (sum(END_BANDS[1]) - sum(END_BANDS[0])) / 2 * ceiling_hz / 1000
        return (above_db - below_db) / max(apart_khz, 1e-3)

    def rolloff_hz(self, ceiling_hz: float) -> float:
        """Return from where on the sound stays below its trend as far as the ceiling, Hz."""
        level, hz = _smooth(self.at(USUALLY)), self._hz
        low, high = (share * ceiling_hz for share in TREND_BAND)
        trend = (hz >= low) & (hz < high)
        if trend.sum() < 4:
            return ceiling_hz
        expected = _line(hz, level, trend)
        kept = (level >= expected - ROLLOFF_DB) & (hz >= high) & (hz <= ceiling_hz)
        return float(hz[kept][-1]) if kept.any() else high


def _smooth(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return levels without single lines, and none far below the loudest."""
    around = np.pad(level, _LINE_BANDS // 2, mode="edge")
    level = median(np.lib.stride_tricks.sliding_window_view(around, _LINE_BANDS))
    level = np.convolve(np.pad(level, 1, mode="edge"), np.ones(3) / 3, "valid")
    return np.asarray(np.maximum(level, level.max() - _RANGE_DB), np.float64)


def _line(
    hz: NDArray[np.float64], level: NDArray[np.float64], trend: NDArray[np.bool_] | slice
) -> NDArray[np.float64]:
    """Return the line through the levels in a band, dB at all of `hz`; it never rises."""
    slope = min(_slope(hz[trend], level[trend]), 0.0)
    return np.asarray(level[trend].mean() + slope * (hz - hz[trend].mean()), np.float64)


def _slope(at: NDArray[np.float64], level: NDArray[np.float64]) -> float:
    """Return how much the levels rise per unit of where they are, by least squares."""
    apart = at - at.mean()
    return float((apart * level).sum() / (apart**2).sum())


def find_ceiling(
    level: NDArray[np.float64],
    hz: NDArray[np.float64],
    nyquist_hz: float,
    fall_db: float,
    mirrored: NDArray[np.bool_] | bool = False,
) -> Ceiling | None:
    """Return the lowest place above which everything lies below the trend of what is under it.

    What is `mirrored` is part of the trend, but does not count above a place if it is fainter.
    """
    level = _smooth(level)
    real = np.where(mirrored, level.min(), level)
    highest = np.maximum.accumulate(real[::-1])[::-1]  # from each place on
    for place_hz in hz[hz >= LOWEST_HZ]:
        low, high = np.searchsorted(hz, np.array(TREND_BELOW) * (place_hz - TREND_GAP_HZ))
        trend, above = slice(low, high), slice(np.searchsorted(hz, place_hz), None)
        beyond = np.searchsorted(hz, min(place_hz + CUT_HZ[0], hz[-1]))
        if high - low < 6 or level[trend].mean() - highest[beyond] < WHOLE_FALL_DB:
            continue
        line = _line(hz, level, trend)  # a steep one would end below what a resampler leaves
        expected = np.maximum(line, np.interp(place_hz + TREND_REACH_HZ, hz, line))
        below = expected - np.where(level < expected - MIRROR_BELOW_DB, real, level)
        near = slice(beyond, np.searchsorted(hz, place_hz + CUT_HZ[1], side="right"))
        falls_db = max(fall_db, *(db for below_hz, db in FALLS_LOW_DB if place_hz < below_hz), 0)
        if below[above].min() >= falls_db:
            return Ceiling(float(place_hz), float(below[near].min()))
    # A sample rate is a ceiling only where music goes on above it.
    return Ceiling(nyquist_hz, 0.0) if nyquist_hz < FAULT_BELOW_HZ else None


def _verdict(ceiling: Ceiling | None, details: dict[str, float]) -> tuple[Severity, str]:
    """Return how much a ceiling matters, and what is said of it."""
    top = f"there is treble above 16.5 kHz {details['top_share']:.0%} of the time"
    khz = f"{details['ceiling_hz'] / 1000:.1f} kHz"
    if ceiling is None:
        return "ok", f"No ceiling: most of the time the sound reaches {khz}, and {top}."
    if ceiling.hz >= FAULT_BELOW_HZ or (ceiling.hz >= SOFT_BELOW_HZ and not ceiling.cut):
        return "ok", f"The sound ends around {khz}, where little is missed: {top}."
    if details["treble_db"] < TREBLE_MIN_DB:
        least = f"with hardly any treble below that ({details['treble_db']:.0f} dB)"
        return "ok", f"The sound ends at {khz}, {least}, so none is missing above.".replace(
            "(-", "(−"
        )
    severity: Severity = (
        "severe" if ceiling.hz < 10_000 else "moderate" if ceiling.hz < 16_500 else "slight"
    )
    cause = (
        f"from there on all lies {ceiling.wall_db:.0f} dB and more below its trend"
        if ceiling.wall_db
        else "the sample rate cuts the treble off"
    )
    return severity, f"Most of the time nothing sounds above {khz}: {cause}."
