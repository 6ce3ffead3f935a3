"""Samples that are no numbers: NaN and Inf, as broken files and diverged models have them."""

from __future__ import annotations

from nitido.audio import SanitizedBlocks
from nitido.diagnosis.finding import Finding

MOST_SPANS = 50


def nonfinite_finding(sanitized: SanitizedBlocks | None, *, sample_rate: int) -> Finding:
    """Return the finding ``nonfinite``: how many samples were NaN or Inf and had to be filled in.

    Args:
        sanitized: the stream that filled them in, after its last block; None if there were none.
        sample_rate: Hz.
    """
    if sanitized is None or not sanitized.count:
        return Finding("nonfinite", 0.0, "samples", "ok", "Every sample is a number.")
    where = tuple(
        (round(start / sample_rate, 3), round(stop / sample_rate, 3))
        for start, stop in sanitized.spans[:MOST_SPANS]
    )
    summary = f"{sanitized.count} samples are NaN or infinite; they were filled in from both sides."
    return Finding("nonfinite", float(sanitized.count), "samples", "severe", summary, where=where)
