"""Do left and right work together, band by band: wide lows, bands turned against each other.

What both channels hold, one loudspeaker plays; what they hold in opposite directions it loses. Wide
music loses some: sides that have nothing in common lose 3 dB. At fault is what music does not do by
itself: one sound that is on both sides, only turned (it could be turned back), lows that are mostly
side, and a band of which next to nothing is left. A side that is upside down as a whole is told by
``width``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.spectral import band, fft_size, sum_products, windowed_spectra
from nitido.dsp.wav import Wav

Array: TypeAlias = NDArray[np.float64]

FRAME_SECONDS = 0.085
TOGETHER = 16  # frames
BANDS_HZ = tuple(pairwise((20, 120, 500, 2000, 8000, 20_000)))
LEAST = 1e-5  # of the energy: a band 50 dB under the piece is not heard to be missing
HEARD_DB = -20.0  # a softer band is not missed
FEWEST_FRAMES = 32  # 1.4 s: in fewer any two sounds may look like one
# Set on clean/train, whole and cut to 5 to 60 s: in mono a band loses up to 8.9 dB there, lows have
# up to 6 dB more side than middle, and no hundredth of the energy is turned and coherent by 0.97.
LOST_DB = -11.0
WIDE_LOWS_DB = 8.0
LOWS_HZ = 20  # where they begin
NOTHING_DB = -60.0
SIDE_EDGE, TURN_EDGE = 1.5, 2 ** (1 / 24)  # from one level of the side, or turn, to the next
FINE_OCTAVES, FINE_BINS = 1 / 12, 3
FINE_HZ = (50.0, 16_000.0)
FINE_DB = -40.0  # a softer fine band is not looked at
COHERENT, TURNED_DEGREES = 0.98, 90.0  # at fault, …
RELATED, OFF_DEGREES = 0.5, 60.0  # … and what is turned back with it, beside it
GAP = 2  # fine bands between two such that go with them
NEARLY, LEAST_OCTAVES = 0.9, 0.5  # all in a row are this coherent, for so far
TURNED_SHARE = 0.01  # of the energy: less of it is not heard
# Wide music is less coherent, but has no such edges: what left and right have in common (−1 to 1)
# jumps by JUMP, into a stretch where it is below −OPPOSITE in four of five fine bands. Clean music
# of 8 s and more reads −0.44 at most; a chord of 3 s may read anything. A stretch that begins at
# the bottom has one edge alone, and may be lows that are wide as well: it is not judged so.
JUMP, OPPOSITE, MOSTLY = 0.7, 0.55, 0.8
STRETCH_OCTAVES, STRETCH_SECONDS = 1.0, 8.0  # at least
BESIDE = 3  # fine bands on either side of an edge, but for the one next to it outside
LEAST_HEARD = 0.5  # of the fine bands: single tones have any angle
SMOOTH = 5  # fine bands over which the angle is taken there
SEVERE_DB = -12.0
UPRIGHT_DB = -3.0  # in mono a band that loses more has more in opposite directions than in common


class PhaseAnalyser:
    """The energies of left and right and what they share, bin by bin, over the whole piece."""

    def __init__(self, *, sample_rate: int, channels: int) -> None:
        self._sample_rate = sample_rate
        self._stereo = channels == 2
        self._n_fft = fft_size(FRAME_SECONDS, sample_rate=sample_rate)
        bins = self._n_fft // 2 + 1
        self._left, self._right = np.zeros(bins), np.zeros(bins)
        self._both = np.zeros(bins, np.complex128)  # Σ L·R*
        self._rest: Wav = np.zeros((2, 0), np.float32)
        self._frames = 0

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        if not self._stereo:
            return
        self._take(np.concatenate([self._rest, block], axis=1), TOGETHER)

    def _take(self, samples: Wav, together: int) -> None:
        """Take so many frames at a time, as often as they are there: so all sums round alike."""
        n_fft, hop = self._n_fft, self._n_fft // 2
        times = max(0, samples.shape[1] // hop - 1) // together
        if times:
            cut = np.lib.stride_tricks.sliding_window_view(samples, n_fft, axis=1)[:, ::hop]
        for start in range(0, times * together, together):
            left, right = windowed_spectra(cut[:, start : start + together])
            self._left += sum_products(left, left)
            self._right += sum_products(right, right)
            self._both.real += sum_products(left, right)
            self._both.imag += sum_products(left, right * np.complex64(1j))
        self._frames += times * together
        self._rest = samples[:, times * together * hop :].copy()

    def finish(self) -> Finding:
        """Return the finding ``"phase"``: what mono leaves of the band that loses most, dB.

        Details: `bands`, see `_fold`; `side_over_middle_db` below 120 Hz; and what would mend it,
        two curves over log frequency: `turn_degrees` of the right channel at `turn_hz`, `side_db`
        of the side at `side_hz`. Outside they stay what they are at their ends.
        """
        if self._rest.shape[1]:  # the end, with silence after it
            self._take(np.pad(self._rest, ((0, 0), (0, self._n_fft))), 1)
        bands = self._fold()
        details: dict[str, Any] = {"bands": bands, "side_over_middle_db": None}
        details |= {"turn_hz": [], "turn_degrees": [], "side_hz": [], "side_db": []}
        if not bands:
            said = (
                "Silence has no phase." if self._stereo else "Only stereo is judged by its phase."
            )
            return Finding("phase", None, "dB", "ok", said, details=details)
        heard = [row for row in bands if row["level_db"] >= HEARD_DB]
        fold_db = min(row["fold_db"] for row in heard)
        turns = self._turns()
        details["turn_hz"], details["turn_degrees"] = turns
        summary = f"In mono no band loses more than {max(0.0, -fold_db):.0f} dB."
        severity: Severity = "ok"
        for row in bands:
            low, high = row["low_hz"], row["high_hz"]
            side_db = 10 * math.log10(max(10 ** (-row["fold_db"] / 10) - 1, 1e-12))
            judged = row in heard and self._frames >= FEWEST_FRAMES
            judged &= not any(low <= hz < high for hz in turns[0])
            level_db = 0.0
            if low == LOWS_HZ:
                details["side_over_middle_db"] = side_db
                if judged and side_db > WIDE_LOWS_DB:
                    level_db, severity = NOTHING_DB, "moderate"
                    summary = (
                        f"Wide lows: the side is {side_db:.0f} dB over the middle below 120 Hz."
                    )
            elif judged and row["fold_db"] <= LOST_DB:
                level_db, severity = -side_db, "moderate"
                summary = (
                    f"In mono it loses {-row['fold_db']:.0f} dB from {low:.0f} to {high:.0f} Hz."
                )
            details["side_hz"] += [low * SIDE_EDGE, high]
            details["side_db"] += [level_db, level_db]
        if not any(details["side_db"]):
            details["side_hz"] = details["side_db"] = []
        if turns[0]:
            severity, (low, *_, high) = "moderate", turns[0]
            summary = f"From {low:.0f} to {high:.0f} Hz one side works against the other."
        if severity != "ok" and fold_db <= SEVERE_DB:
            severity = "severe"
        asked = f"{-LOST_DB:.0f} dB"
        return Finding("phase", fold_db, "dB", severity, summary, asked, details=details)

    def _fold(self) -> list[dict[str, float]]:
        """Return `{"low_hz", "high_hz", "level_db", "fold_db"}` per band that holds something.

        `fold_db` is the energy of the mean of both re the mean energy of each: 0 dB for mono, −3 dB
        for sides that have nothing in common; `level_db` that of the band re all bands.
        """
        rows = []
        piece = {"n_fft": self._n_fft, "sample_rate": self._sample_rate}
        inside = [band(low, high, **piece) for low, high in BANDS_HZ]
        energies = [float((self._left + self._right)[bins].sum()) for bins in inside]
        whole = sum(energies)
        for (low, high), bins, energy in zip(BANDS_HZ, inside, energies, strict=True):
            if energy > LEAST * whole:
                shared = float(self._both.real[bins].sum())
                fold_db = 10 * math.log10(max(0.5 + shared / energy, 1e-12))
                edges = {"low_hz": float(low), "high_hz": float(high)}
                rows.append(
                    {**edges, "level_db": 10 * math.log10(energy / whole), "fold_db": fold_db}
                )
        return rows

    def _turns(self) -> tuple[list[float], list[float]]:
        """Return the curve by which the right channel is to be turned: Hz, and degrees."""
        step = self._sample_rate / self._n_fft
        edges = [round(FINE_HZ[0] / step)]
        top = min(FINE_HZ[1] / step, len(self._both) - 1)
        while (wider := max(edges[-1] + FINE_BINS, round(edges[-1] * 2**FINE_OCTAVES))) <= top:
            edges.append(wider)
        if len(edges) < 2 or self._frames < FEWEST_FRAMES:
            return [], []
        left, right, both = (
            np.add.reduceat(sums, edges)[:-1] for sums in (self._left, self._right, self._both)
        )
        energy, whole = left + right, float((self._left + self._right).sum())
        related = np.abs(both) / np.sqrt(left * right + 1e-30)
        degrees = np.degrees(np.angle(both))
        heard = energy > 10 ** (FINE_DB / 10) * whole
        at_fault = heard & (related >= COHERENT) & (np.abs(degrees) >= TURNED_DEGREES)
        nearly = heard & (related >= NEARLY) & (np.abs(degrees) >= TURNED_DEGREES)
        for run in np.split(np.arange(len(energy)), np.flatnonzero(np.diff(nearly)) + 1):
            if edges[run[-1] + 1] < 2**LEAST_OCTAVES * edges[run[0]]:
                at_fault[run] = False  # a single tone has any angle, as two microphones hear it
        common = both.real / np.sqrt(left * right + 1e-30)
        seconds = self._frames * self._n_fft / 2 / self._sample_rate
        for stretch in _stretches(common, heard, np.array(edges)):
            if seconds >= STRETCH_SECONDS and float(energy[stretch].sum()) >= TURNED_SHARE * whole:
                at_fault[stretch] = True
                near = np.pad(both[stretch], SMOOTH // 2, "edge")
                smooth = np.degrees(np.angle(np.convolve(near, np.ones(SMOOTH), "valid")))
                rough = related[stretch] < NEARLY
                degrees[stretch] = np.where(rough, smooth, degrees[stretch])
        if float(energy[at_fault].sum()) < TURNED_SHARE * whole:
            return [], []
        with_it = (related >= RELATED) & (np.abs(degrees) >= OFF_DEGREES)
        some = np.flatnonzero(with_it | at_fault)
        points: list[tuple[float, float]] = []
        for near in np.split(some, np.flatnonzero(np.diff(some) > GAP + 1) + 1):
            own = np.arange(near[0], near[-1] + 1)
            if at_fault[own].any():
                edges_hz = [edges[i] * step for i in (*own, own[-1] + 1)]
                edges_hz[0] = edges_hz[0] if own[0] else float(LOWS_HZ)  # what is below goes along
                points += _points(
                    edges_hz,
                    degrees[own],
                    sure=(related[own] >= RELATED) | at_fault[own],
                    whole=points[-1][1] if points else 0.0,
                )
        return [hz for hz, _ in points], [turn for _, turn in points]


def _stretches(common: Array, heard: NDArray[np.bool_], edges: NDArray[np.int_]) -> Iterator[slice]:
    """Yield the stretches of fine bands that are turned against those beside them.

    Args:
        common: what left and right have in common in each, −1 to 1.
        heard: which are loud enough to look at.
        edges: of the fine bands, bins; one more than there are bands.
    """
    count, reach = len(common), BESIDE + 1
    if count < 2 * reach:
        return
    means = np.convolve(common, np.full(BESIDE, 1 / BESIDE), "valid")  # of BESIDE bands from i on
    firsts = [i for i in range(reach, count - BESIDE) if means[i - reach] - means[i] >= JUMP]
    lasts = [
        i for i in range(BESIDE - 1, count - reach) if means[i + 2] - means[i - BESIDE + 1] >= JUMP
    ]
    for first in firsts:
        for last in (one for one in lasts if one > first):
            stretch = slice(first, last + 1)
            wide = edges[last + 1] >= 2**STRETCH_OCTAVES * edges[first]
            if not wide or heard[stretch].mean() < LEAST_HEARD:
                continue
            if np.quantile(common[stretch][heard[stretch]], MOSTLY) <= -OPPOSITE:
                turned = first + np.flatnonzero(common[stretch] < 0)
                yield slice(int(turned[0]), int(turned[-1]) + 1)


def _points(
    edges_hz: list[float], degrees: Array, *, sure: NDArray[np.bool_], whole: float
) -> list[tuple[float, float]]:
    """Return a curve of degrees over Hz that begins and ends with whole turns, no change.

    Args:
        edges_hz: of the fine bands of a region, one more than there are bands.
        degrees: in each band, but for whole turns.
        sure: in which bands they are known; between these they are drawn straight.
        whole: where the curve begins.
    """
    at = np.arange(len(degrees))
    turns = np.interp(at, at[sure], np.unwrap(degrees[sure], period=360))
    turns += whole - 360 * round(float(turns[0]) / 360)
    low, *_, high = edges_hz
    centres = [(one + other) / 2 for one, other in pairwise(edges_hz)]
    end = 360.0 * round(float(turns[-1]) / 360)
    hz = (low / TURN_EDGE, low, *centres, high, high * TURN_EDGE)
    values = (whole, turns[0], *turns, turns[-1], end)
    return [(float(one), float(value)) for one, value in zip(hz, values, strict=True)]


def one_name(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings in which one side that is upside down is told by ``phase`` or by ``width``.

    By ``width`` if most of the bands are; else some of them outweigh the others.
    """
    told = list(findings)
    at = {finding.kind: place for place, finding in enumerate(told)}
    phase, width = (told[at[kind]] for kind in ("phase", "width"))
    if phase.found and width.details["polarity_inverted"]:
        inverted = [row["fold_db"] < UPRIGHT_DB for row in phase.details["bands"]]
        quiet = "phase" if 2 * sum(inverted) > len(inverted) else "width"
        said = "One side is upside down, see width."
        if quiet == "width":
            said = "Stereo; where left and right work against each other, see phase."
        told[at[quiet]] = replace(told[at[quiet]], severity="ok", summary=said)
    return told
