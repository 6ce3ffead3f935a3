"""How loud the piece is, how much that varies, and how high it peaks."""

from __future__ import annotations

import math

from nitido.diagnosis.finding import Finding, Severity
from nitido.dsp.loudness import ABSOLUTE_GATE_LUFS, LoudnessMeter, TruePeakMeter
from nitido.dsp.wav import Wav, energies

# Streaming services play at about −14 LUFS: 4 dB under that is heard as quiet between other pieces,
# and 10 dB under it a player's volume control runs out.
QUIET_LUFS = -18.0
VERY_QUIET_LUFS = -24.0
# BS.1770 measures nothing below this: a piece of which no moment reaches it is silence, dither, or
# the hiss of an input with nothing on it.
SILENT_LUFS = ABSOLUTE_GATE_LUFS
OVER_DBTP = 0.0  # converters and encoders clip what goes over


class LoudnessAnalyser:
    """Loudness by BS.1770, loudness range by EBU 3342, true peak, and what follows from them."""

    def __init__(self, *, sample_rate: int, channels: int, mask: int | None = None) -> None:
        self._loudness = LoudnessMeter(sample_rate, channels, mask)
        self._peak = TruePeakMeter(sample_rate, channels)
        self._sample_rate = sample_rate
        self._seconds = 0.0
        self._count = 0
        self._energy = 0.0

    def update(self, block: Wav) -> None:
        """Take the next samples `[C, n]`, any n."""
        self._loudness.update(block)
        self._peak.update(block)
        self._count += block.size
        self._seconds += block.shape[1] / self._sample_rate
        self._energy += float(energies(block).sum())

    def finish(self) -> Finding:
        """Return the finding ``"loudness"``: integrated, LUFS; None in silence or under 0.4 s."""
        lufs = self._loudness.integrated_lufs
        true_peak = _decibels(self._peak.true_peak)
        sample_peak = _decibels(self._peak.sample_peak)
        rms = _decibels(math.sqrt(self._energy / max(self._count, 1)))
        # Shorter than 0.4 s nothing has a loudness: then the level must do.
        silent = bool(self._count) and lufs is None
        silent = silent and (self._seconds >= 0.4 or rms is None or rms < SILENT_LUFS)
        details = {
            "integrated_lufs": lufs,
            "silent": silent,
            "range_lu": self._loudness.range_lu,
            "momentary_max_lufs": self._loudness.momentary_max_lufs,
            "short_term_max_lufs": self._loudness.short_term_max_lufs,
            "true_peak_dbtp": true_peak,
            "sample_peak_dbfs": sample_peak,
            "rms_dbfs": rms,
            "crest_db": None if sample_peak is None or rms is None else sample_peak - rms,
            "plr_db": None if true_peak is None or lufs is None else true_peak - lufs,
        }
        severity: Severity = "ok"
        summary = "No loudness: shorter than 0.4 s."
        if silent:
            severity = "severe"
            summary = f"Silence: nothing in it reaches {SILENT_LUFS:.0f} LUFS."
        if lufs is not None:
            summary = f"{lufs:.1f} LUFS"
            if lufs < QUIET_LUFS:
                severity = "moderate" if lufs < VERY_QUIET_LUFS else "slight"
                summary += ", quiet" if severity == "slight" else ", very quiet"
            summary += f", peaks at {true_peak:+.1f} dBTP."
        if true_peak is not None and true_peak > OVER_DBTP:
            severity = "moderate"
            summary = summary[:-1] + ", over full scale: a player will clip them."
        return Finding(
            "loudness",
            lufs,
            "LUFS",
            severity,
            summary,
            compared_with="−14 LUFS, at which streaming services play",
            details=details,
        )


def _decibels(amplitude: float) -> float | None:
    return 20 * math.log10(amplitude) if amplitude > 0 else None
