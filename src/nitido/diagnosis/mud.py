"""Mud: a hill from 200 to 500 Hz that the rest of the spectrum does not lead up to.

Cellos and guitars live there, so only dense music is judged, whose mean spectrum runs along a
straight line on either side of the hill; and not the highest but the lowest bands of the hill
count, so that no key and no favourite note is taken for it. What passes is rather surely mud;
a moderate hill is not told from how a piece was arranged.
"""

from __future__ import annotations

import numpy as np

from nitido.diagnosis.finding import Finding, Severity
from nitido.diagnosis.tone import ToneAnalyser

MUD_HZ = (190.0, 525.0)  # the third octaves of 200 to 500 Hz
BESIDE_HZ = ((60.0, 170.0), (600.0, 2_600.0))  # whose levels give the line
LOWEST_BANDS = 2
DENSE_DB = 3.5  # standard deviation around the line on either side; sparser music has more
FEWEST_FRAMES = 30  # two a second
SOFT_DB, LOUD_DB = 18.0, 8.0  # below its mean level the band is soft, and no longer soft
MUD_DB, MODERATE_DB, SEVERE_DB = 5.5, 7.0, 9.0


class MudAnalyser(ToneAnalyser):
    """The average spectrum in third octaves, held against a straight line."""

    def finish(self) -> Finding:
        """Return the finding ``"mud"``: how high the lowest of the hill lies, dB, or None."""
        details = super().finish().details
        unknown = Finding("mud", None, "dB", "ok", "Too short or too sparse to tell mud.")
        if not details or self._frames < FEWEST_FRAMES:
            return unknown
        hz = np.array(details["bands_hz"])
        per_hz_db = np.array(details["bands_db"]) - 10 * np.log10(hz)
        inside = (hz > MUD_HZ[0]) & (hz < MUD_HZ[1])
        beside = np.any([(hz > low) & (hz < high) for low, high in BESIDE_HZ], axis=0)
        octave = np.log2(hz)
        line = np.polyfit(octave[beside], per_hz_db[beside], 1)
        over = per_hz_db - np.polyval(line, octave)
        if float(over[beside].std()) > DENSE_DB:
            return unknown
        hill_db = float(np.sort(over[inside])[:LOWEST_BANDS].mean())
        severity: Severity = "ok"
        if hill_db > MUD_DB:
            severity = "slight" if hill_db < MODERATE_DB else "moderate"
            severity = "severe" if hill_db > SEVERE_DB else severity
        power = self._between(*MUD_HZ) / (self._frames * self._channels)
        level_db = 10 * float(np.log10(16 / 3 / self._n_fft**2 * power + 1e-12))
        most = float(over[inside].max())
        summary = "No mud from 200 to 500 Hz."
        if severity != "ok":
            summary = f"Muddy: 200 to 500 Hz lies {hill_db:.1f} to {most:.1f} dB above the rest."
        return Finding(
            "mud",
            round(hill_db, 2),
            "dB",
            severity,
            summary,
            compared_with=f"{MUD_DB:g} dB",
            details={
                "bands_hz": [float(one) for one in hz[inside]],
                "bands_db": [round(float(one), 2) for one in over[inside]],
                "usual_db": round(level_db - SOFT_DB, 2),
                "loud_db": round(level_db - LOUD_DB, 2),
            },
        )
