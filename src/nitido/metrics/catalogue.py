"""Every measure by family and name: what it is called, its unit, and which way is better.

The names are the keys of each family's `evaluate`. `docs/metrics.md` says more of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        name: key in the result of `evaluate`.
        title: in words.
        unit: of the value; empty for a plain number.
        better: which way; empty where neither is, as for loudness.
        digits: shown after the point.
    """

    name: str
    title: str
    unit: str
    better: Better
    digits: int

    def show(self, value: float | None) -> str:
        """Return a value with its unit.

        >>> Measure("true_peak_dbtp", "true peak", "dBTP", "", 1).show(-1.04)
        '−1.0 dBTP'
        """
        if value is None:
            return "–"
        text = f"{value:.{self.digits}f}"
        text = text.lstrip("-") if float(text) == 0 else text.replace("-", "−")
        return f"{text} {self.unit}".strip()


def _family(*rows: tuple[str, str, str, Better, int]) -> tuple[Measure, ...]:
    return tuple(Measure(*row) for row in rows)


CATALOGUE = MappingProxyType(
    {
        "content": _family(
            ("protected_si_sdr_db", "60 Hz–7 kHz, SI-SDR", "dB", "higher", 1),
            ("music_taken_sone", "music taken", "sone", "lower", 2),
            ("protected_level_change_db", "60 Hz–7 kHz, most change of a band", "dB", "lower", 1),
            ("chroma_cosine", "harmony (chroma cosine)", "", "higher", 3),
            ("onset_f1", "onsets (F1)", "", "higher", 3),
            ("tempo_change_percent", "change of tempo", "%", "lower", 1),
            ("beat_f1", "beats (F1)", "", "higher", 3),
        ),
        "artefacts": _family(
            ("comb_db", "comb over control lines", "dB", "lower", 1),
            ("comb_control_db", "control lines", "dB", "", 1),
            ("comb_8000_hz_db", "lines every 8 kHz", "dB", "lower", 1),
            ("comb_2000_hz_db", "lines every 2 kHz", "dB", "lower", 1),
            ("comb_400_hz_db", "lines every 400 Hz", "dB", "lower", 1),
            ("comb_50_hz_db", "lines every 50 Hz", "dB", "lower", 1),
            ("bandwidth_hz", "bandwidth", "Hz", "higher", 0),
            ("ceiling_hz", "ceiling", "Hz", "higher", 0),
            ("holes_percent", "holes in the spectrum", "%", "lower", 2),
            ("clipped_samples_per_second", "clipped samples per second", "", "lower", 1),
            ("pre_echo_db", "sound before attacks", "dB", "lower", 1),
            ("attack_ms", "length of attacks", "ms", "lower", 1),
            ("end_level_dbfs", "level at the end", "dBFS", "lower", 1),
            ("end_cut", "ends in a cut (1) or not (0)", "", "lower", 0),
        ),
        "delivery": _family(
            ("integrated_lufs", "loudness", "LUFS", "", 1),
            ("short_term_max_lufs", "loudest 3 s", "LUFS", "", 1),
            ("momentary_max_lufs", "loudest 0.4 s", "LUFS", "", 1),
            ("range_lu", "loudness range", "LU", "", 1),
            ("true_peak_dbtp", "true peak", "dBTP", "", 1),
            ("peak_to_loudness_db", "true peak less loudness", "dB", "", 1),
            ("correlation", "left-right correlation", "", "", 2),
            ("dc_dbfs", "constant offset", "dBFS", "lower", 0),
        ),
        "features": _family(
            ("spectral_centroid", "spectral centroid", "Hz", "", 4),
            ("spectral_flatness", "spectral flatness", "", "", 4),
            ("rms_energy", "RMS energy", "", "", 4),
        ),
        "fidelity": _family(
            ("si_sdr_db", "SI-SDR", "dB", "higher", 1),
            ("sdr_db", "SDR", "dB", "higher", 1),
            ("sdr_below_250_hz_db", "SDR below 250 Hz", "dB", "higher", 1),
            ("sdr_250_to_1000_hz_db", "SDR 250 Hz–1 kHz", "dB", "higher", 1),
            ("sdr_1_to_4_khz_db", "SDR 1–4 kHz", "dB", "higher", 1),
            ("sdr_4_to_8_khz_db", "SDR 4–8 kHz", "dB", "higher", 1),
            ("sdr_8_to_16_khz_db", "SDR 8–16 kHz", "dB", "higher", 1),
            ("sdr_above_16_khz_db", "SDR above 16 kHz", "dB", "higher", 1),
            ("lsd_db", "log-spectral distance", "dB", "lower", 2),
            ("lsd_below_8_khz_db", "log-spectral distance below 8 kHz", "dB", "lower", 2),
            ("lsd_8_to_16_khz_db", "log-spectral distance 8–16 kHz", "dB", "lower", 2),
            ("lsd_above_16_khz_db", "log-spectral distance above 16 kHz", "dB", "lower", 2),
            ("multi_resolution_stft", "multi-resolution STFT distance", "", "lower", 3),
            ("mel_l1_db", "mel spectrum, mean difference", "dB", "lower", 2),
        ),
        "perceptual": _family(
            ("visqol_mos", "ViSQOL", "MOS", "higher", 2),
        ),
    }
)
