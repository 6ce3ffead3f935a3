"""The faults before and after, held against each other fairly: the same lines, at the same rate.

Each diagnosis measures its own piece up to its own top. In a result that reaches further up, the
new octave has no comb, and would make what is left of the old one look lower than it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nitido.diagnosis.comb import (
    CLEAR_DB,
    EXCESS_MIN_DB,
    LOW_HZ,
    SEVERE_DB,
    AverageLogSpectrum,
    grid,
    line_excess_db,
    local_median_db,
)
from nitido.diagnosis.finding import Finding, Severity
from nitido.report.words import compared
from nitido.wav import Wav

if TYPE_CHECKING:
    from nitido.restoration.result import Restoration

WHINE_HZ = 8000.0  # the line of MusicGen's decoder that is heard first
TOP = 0.97  # of the ceiling: its edge is no music to stand out of
CONTROLS = np.array([0.1875, 0.3125, 0.4375, 0.5625, 0.6875, 0.8125])  # between two lines


def faults(restoration: Restoration) -> list[tuple[Finding, Finding]]:
    """Return each fault of the input with the same finding in the result, the comb read anew."""
    pairs = compared(restoration.diagnosis, restoration.after)
    combs = _combs(restoration)
    return [combs if combs and old.kind == "comb" else (old, new) for old, new in pairs]


@dataclass(frozen=True)
class _Heights:
    """How high the lines of a comb stand over control lines, dB, and the one at 8 kHz."""

    comb_db: float
    whine_db: float | None


def _combs(restoration: Restoration) -> tuple[Finding, Finding] | None:
    """Return the comb of the input before and after, read up to the input's ceiling.

    None if there is no comb. Details: `whine_db`, the line at 8 kHz over its surroundings; `note`,
    what was read.
    """
    found = restoration.diagnosis["comb"]
    spacing_hz = found.details.get("spacing_hz")
    ceiling_hz = restoration.diagnosis["bandwidth"].value or np.inf
    rates = restoration.diagnosis.sample_rate, restoration.sample_rate
    top_hz = TOP * min(ceiling_hz, *(rate / 2 for rate in rates))
    if not spacing_hz or top_hz < LOW_HZ[400.0] + spacing_hz:
        return None
    note = f"every {spacing_hz:g} Hz up to {top_hz / 1000:.1f} kHz"
    read = []
    for blocks in (restoration.input_blocks(), restoration.blocks()):
        heights = _heights(blocks, restoration.sample_rate, spacing_hz, top_hz)
        if heights is None:
            return None
        value = round(max(heights.comb_db, 0.0), 2)
        details = {**found.details, "whine_db": heights.whine_db, "note": note}
        read.append(replace(found, value=value, severity=_severity(value), details=details))
    before, after = read
    return replace(before, severity=found.severity), after


def _severity(height_db: float) -> Severity:
    if height_db < EXCESS_MIN_DB:
        return "none"
    return "severe" if height_db >= SEVERE_DB else "clear" if height_db >= CLEAR_DB else "slight"


def _heights(
    blocks: Iterable[Wav], sample_rate: int, spacing_hz: float, top_hz: float
) -> _Heights | None:
    """Return the heights in a stream; None in silence."""
    average = AverageLogSpectrum(sample_rate=sample_rate)
    for block in blocks:
        average.update(block)
    spectrum_db, _ = average.finish()
    if spectrum_db is None:
        return None
    bin_hz = sample_rate / average.n_fft
    median_db = local_median_db(spectrum_db, bin_hz=bin_hz)
    hz = grid(spacing_hz, low_hz=LOW_HZ[400.0], high_hz=top_hz)
    between = (hz[:, None] + CONTROLS * spacing_hz).ravel()
    lines, controls, whine = (
        line_excess_db(spectrum_db, median_db, at, bin_hz=bin_hz)
        for at in (hz, between, np.array([WHINE_HZ]))
    )
    on_grid = top_hz > WHINE_HZ and WHINE_HZ % spacing_hz == 0
    return _Heights(float(lines.mean() - controls.mean()), float(whine[0]) if on_grid else None)
