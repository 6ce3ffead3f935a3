"""The tone of masters: the range in which the third octaves of finished music lie."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nitido.audio import open_source
from nitido.diagnosis.bandwidth import BandwidthAnalyser
from nitido.diagnosis.tone import ToneAnalyser
from nitido.errors import ConfigError
from nitido.restoration.stages.match import BANDS_HZ, levelled

BANDS = 26  # up to 16 kHz, as far as all sample rates of masters reach
FULL_HZ = 15_000.0  # music that ends below tells nothing of the top
SHORTEST_SECONDS = 15.0
EDGES_PERCENT = (10, 90)
LEAST_WIDTH_DB = 6.0
FEWEST = 10


@dataclass(frozen=True)
class Range:
    """Of each third octave the level that one, and nine, of ten masters lie below, dB."""

    low_db: tuple[float, ...]
    high_db: tuple[float, ...]
    pieces: tuple[str, ...]

    def to_json(self) -> str:
        """Return the range as the data that the stage `match` reads."""
        content = {
            "bands_hz": [round(float(hz), 1) for hz in BANDS_HZ[:BANDS]],
            "low_db": self.low_db,
            "high_db": self.high_db,
            "pieces": self.pieces,
        }
        return json.dumps(content, indent=1) + "\n"


def measure_range(files: Iterable[Path]) -> Range:
    """Return the range of the pieces that last 15 s and more and reach up to the top.

    Raises:
        ConfigError: fewer than ten such pieces.
    """
    tones, names = [], []
    for path in files:
        tone_db = _tone_db(path)
        if tone_db is not None:
            tones.append(levelled(tone_db))
            names.append(path.name)
    if len(tones) < FEWEST:
        raise ConfigError(f"{len(tones)} full pieces are too few for a range; give {FEWEST}.")
    low, high = np.percentile(tones, EDGES_PERCENT, axis=0)
    middle, half = (low + high) / 2, np.maximum(high - low, LEAST_WIDTH_DB) / 2
    smooth = [np.convolve(np.pad(line, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
              for line in (middle - half, middle + half)]  # fmt: skip
    edges = [tuple(round(float(level), 1) for level in line) for line in smooth]
    return Range(edges[0], edges[1], tuple(names))


def _tone_db(path: Path) -> np.ndarray | None:
    source = open_source(path)
    piece = {"sample_rate": source.sample_rate, "channels": source.channels}
    analysers = ToneAnalyser(**piece), BandwidthAnalyser(**piece)
    if source.samples < SHORTEST_SECONDS * source.sample_rate:
        return None
    for block in source.blocks():
        for analyser in analysers:
            analyser.update(block)
    tone, bandwidth = (analyser.finish() for analyser in analysers)
    bands_db = tone.details.get("bands_db", ())[:BANDS]
    ends_hz = bandwidth.details.get("ceiling_hz", 0.0)
    if len(bands_db) < BANDS or bandwidth.found or ends_hz < FULL_HZ:
        return None
    return np.array(bands_db)
