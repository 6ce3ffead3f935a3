"""Training examples, drawn from the cache: the same seed and step give the same batch.

Half of them are clean pieces under a ceiling made by masking, half are pieces that a real coder
has spoilt. Some are tuned higher or lower, two pieces are sometimes mixed, levels and tone colour
vary a little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nitido.restoration.treble.levels import (
    BAND_HZ,
    BANDS,
    CROSSOVER,
    ENVELOPE_HZ,
    ENVELOPES,
    FLOOR_DB,
    PER_ENVELOPE,
    TOP_DB,
    Levels,
    envelopes,
    network_input,
)
from nitido_lab.training.cache import Entry
from nitido_lab.training.config import TrainConfig
from nitido_lab.training.perceptual_loss import heard_power

TOP_HZ = 22_000.0
CEILINGS_HZ = (3_600.0, 16_600.0)
MARGIN_HZ = 300.0  # below the end of a file its own coder has taken something already
CODED_SHARE = 0.5
MIX_SHARE = 0.5
TUNED_SHARE = 0.5
TUNED = 0.18  # up or down by at most so much, on a logarithmic scale: three semitones
SINK_SHARE = 0.2  # more, and the network learns to add what was never missing
RENDERED_SHARE = 0.3
# Spread of the tone colour, in dB: of the tilt over the whole band, and of waves on it.
TILT_DB, WAVE_DB = 4.0, 2.0
HOLE_DB = 8.0  # a band so far below the original was taken out by the coder
HOLE_WEIGHT = 0.5
KEPT_WEIGHT = 0.05  # bands that the coder kept: what goes in is a good answer already


@dataclass(frozen=True)
class Batch:
    """A batch as arrays, channels in the middle as networks want them.

    Attributes:
        seen: `[B, 576, N]`.
        level: `[B, 64, N]`, units of 20 dB.
        tonality: `[B, 64, N]`.
        weight: `[B, 64, N]`.
        share: `[B, 64, N]`, of each band that lies above the ceiling and is known.
        below: `[B, 32, N]`, power in the bands of the ear that is there already.
        whole: `[B, 32, N]`, and that should be there.
    """

    seen: Levels
    level: Levels
    tonality: Levels
    weight: Levels
    share: Levels
    below: Levels
    whole: Levels


@dataclass(frozen=True)
class Example:
    """One example, frames first: what is heard, what was there, and where that counts."""

    heard: Levels  # [N, 256] dB
    clean: Levels  # [N, 256] dB
    tonal: Levels  # [N, 64]
    crossover: int
    end_hz: float


class Batches:
    """Draws batches from the training part of a cache."""

    def __init__(self, entries: Sequence[Entry], config: TrainConfig) -> None:
        """Keep the entries of the training part that are long enough."""
        usable = [entry for entry in entries if entry.split == "train" and entry.frames > 8]
        self._groups = [
            group
            for rendered in (False, True)
            if (group := [entry for entry in usable if entry.rendered is rendered])
        ]
        # Long pieces come more often, but not as much more often as they are longer.
        self._shares = [
            np.sqrt([entry.frames for entry in group]) / np.sqrt([e.frames for e in group]).sum()
            for group in self._groups
        ]
        self._config = config

    def draw(self, step: int) -> Batch:
        """Return the batch of a step."""
        rng = np.random.default_rng([self._config.seed, step])
        return stack([self._example(rng) for _ in range(self._config.batch)])

    def _example(self, rng: np.random.Generator) -> Example:
        entry = self._entry(rng)
        frames = self._config.crop_frames
        coded = bool(entry.crossovers) and rng.random() < CODED_SHARE
        version = int(rng.integers(len(entry.crossovers))) if coded else None
        example = _tuned(crop(entry, version, *_place(entry, frames, rng), frames=frames), rng)
        if rng.random() < MIX_SHARE:
            example = _mixed(example, self._second(rng, coded=coded), rng)
        if not coded:
            example = _under_a_ceiling(example, rng)
        return _varied(example, rng)

    def _second(self, rng: np.random.Generator, *, coded: bool) -> Example:
        """Return an example to mix with another one, coded as that is if there is such a piece."""
        entry = self._entry(rng)
        version = int(rng.integers(len(entry.crossovers))) if coded and entry.crossovers else None
        frames = self._config.crop_frames
        return _tuned(crop(entry, version, *_place(entry, frames, rng), frames=frames), rng)

    def _entry(self, rng: np.random.Generator) -> Entry:
        which = int(rng.random() < RENDERED_SHARE) if len(self._groups) == 2 else 0
        group = self._groups[which]
        return group[int(rng.choice(len(group), p=self._shares[which]))]


def crop(entry: Entry, version: int | None, channel: int, start: int, *, frames: int) -> Example:
    """Return an example of an entry, not yet under a ceiling if `version` is None."""
    part = slice(start, start + frames)
    clean = np.asarray(entry.levels("clean")[channel, part], np.float32)
    tonal = np.asarray(entry.levels("tonal")[channel, part] / np.float32(255), np.float32)
    if version is None:
        return Example(clean, clean, tonal, BANDS, entry.end_hz)
    heard = np.asarray(entry.levels(f"spoilt-{version}")[channel, part], np.float32)
    return Example(heard, clean, tonal, entry.crossovers[version], entry.end_hz)


def under(example: Example, ceiling_hz: float) -> Example:
    """Return the example with the ceiling there: what is above the crossover is not seen."""
    crossover = int(CROSSOVER * ceiling_hz / BAND_HZ)
    return Example(example.heard, example.clean, example.tonal, crossover, example.end_hz)


def stack(examples: Sequence[Example]) -> Batch:
    """Return examples as a batch; short ones are padded with silence that does not count."""
    frames = max(len(example.clean) for example in examples)
    parts = [_arrays(example, frames) for example in examples]
    return Batch(*(np.stack(arrays) for arrays in zip(*parts, strict=True)))


def _arrays(example: Example, frames: int) -> list[Levels]:
    clean = envelopes(example.clean)
    heard = envelopes(example.heard)
    low_hz = np.arange(ENVELOPES) * ENVELOPE_HZ
    last = np.arange(1, ENVELOPES + 1) * PER_ENVELOPE
    share = np.clip((last - example.crossover) / PER_ENVELOPE, 0, 1)
    above = (share > 0).astype(np.float32)
    hole = np.clip((clean - heard) / HOLE_DB, 0, 1) ** 2
    weight = np.maximum(above, KEPT_WEIGHT + (HOLE_WEIGHT - KEPT_WEIGHT) * hole)
    known = low_hz + ENVELOPE_HZ <= min(example.end_hz - MARGIN_HZ, TOP_HZ + ENVELOPE_HZ)
    arrays = (
        network_input(example.heard, example.crossover),
        clean / 20,
        example.tonal,
        weight * known,
        np.broadcast_to(share * known, clean.shape),
        heard_power(example.heard, below=example.crossover),
        heard_power(example.clean),
    )
    short = frames - len(clean)
    padded = [np.pad(array, ((0, short), (0, 0))) for array in arrays]
    return [np.ascontiguousarray(array.T, np.float32) for array in padded]


def _place(entry: Entry, frames: int, rng: np.random.Generator) -> tuple[int, int]:
    """Return a channel and a first frame."""
    return int(rng.integers(entry.channels)), int(rng.integers(max(1, entry.frames - frames)))


def _tuned(example: Example, rng: np.random.Generator) -> Example:
    """Return the example as if it had been played faster or slower, half of the time."""
    if rng.random() >= TUNED_SHARE:
        return example
    factor = float(np.exp(rng.uniform(-TUNED, TUNED)))
    return Example(
        _moved(example.heard, factor, FLOOR_DB),
        _moved(example.clean, factor, FLOOR_DB),
        _moved(example.tonal, factor, 0.0),
        min(round(example.crossover * factor), BANDS) if example.crossover < BANDS else BANDS,
        min(factor * example.end_hz, BANDS * BAND_HZ),
    )


def _moved(bands: Levels, factor: float, empty: float) -> Levels:
    """Return `[N, K]` with every band at `factor` times its frequency, and `empty` from the top."""
    count = bands.shape[1]
    at = (np.arange(count) + 0.5) / factor - 0.5
    low = np.clip(at.astype(int), 0, count - 2)
    part = np.clip(at - low, 0, 1).astype(np.float32)
    moved = bands[:, low] * (1 - part) + bands[:, low + 1] * part
    moved[:, at > count - 1] = empty
    return np.asarray(moved, np.float32)


def _mixed(one: Example, other: Example, rng: np.random.Generator) -> Example:
    """Return the sum of two pieces, in power; the louder one of each band gives its tonality."""
    frames = min(len(one.clean), len(other.clean))
    down_db = np.float32(rng.uniform(0, 12))

    def both(first: Levels, second: Levels) -> Levels:
        power = 10 ** (first[:frames] / 10) + 10 ** ((second[:frames] - down_db) / 10)
        return np.asarray((10 * np.log10(power)).clip(FLOOR_DB, TOP_DB), np.float32)

    clean = both(one.clean, other.clean)
    share = 10 ** ((envelopes(one.clean[:frames]) - envelopes(clean)) / 10)
    tonal = share * one.tonal[:frames] + (1 - share) * other.tonal[:frames]
    return Example(
        both(one.heard, other.heard),
        clean,
        tonal.clip(0, 1).astype(np.float32),
        min(one.crossover, other.crossover),
        min(one.end_hz, other.end_hz),
    )


def _under_a_ceiling(example: Example, rng: np.random.Generator) -> Example:
    """Return the example under a random ceiling; some sink before they end."""
    ceiling_hz = float(np.exp(rng.uniform(*np.log(CEILINGS_HZ))))
    low = under(example, ceiling_hz)
    hz = (np.arange(BANDS) + 0.5) * BAND_HZ
    width_hz = rng.uniform(200, 1_500)
    deep_db = rng.uniform(0, 6) if rng.random() < SINK_SHARE else 0.0
    sink = deep_db * np.clip((hz - CROSSOVER * ceiling_hz + width_hz) / width_hz, 0, 1)
    heard = np.maximum(low.heard - sink.astype(np.float32), FLOOR_DB)
    return Example(heard, low.clean, low.tonal, low.crossover, low.end_hz)


def _varied(example: Example, rng: np.random.Generator) -> Example:
    """Return the example at another level and tone colour, and heard with small errors."""
    hz = np.arange(BANDS) / BANDS
    colour = rng.normal(0, 1.5) + rng.normal(0, TILT_DB) * (hz - 0.5)
    wave = np.cos(np.pi * hz * rng.uniform(1, 4) + rng.uniform(0, 6))
    colour = colour + rng.normal(0, WAVE_DB) * wave
    knots: NDArray[np.float64] = rng.normal(0, rng.uniform(0, 1.5), 17)
    error = np.interp(np.linspace(0, 16, BANDS), np.arange(17), knots)
    heard = example.heard + (colour + error).astype(np.float32)
    return Example(
        np.clip(heard, FLOOR_DB, TOP_DB),
        np.clip(example.clean + colour.astype(np.float32), FLOOR_DB, TOP_DB),
        example.tonal,
        example.crossover,
        example.end_hz,
    )
