"""Clicks shorter than 0.3 ms: spikes laid on the sound, and samples lost, held or played twice.

Where each one falls is drawn (`draw_clicks`) apart from laying it there (`add_clicks`), so that a
finding can be held against the very places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nitido.dsp.wav import Wav

Shape = Literal["spike", "swing", "zero", "held", "twice"]

LONGEST_SECONDS: Final = 14 / 48_000
LEVEL_SECONDS: Final = 0.02  # what a click is measured against
SPREAD_DB: Final = 3.0  # the clicks of one piece differ by this, up and down
QUIETEST: Final = 1e-3  # RMS; where it is softer there is no music to click in
APART_SECONDS: Final = 0.1
GLITCH_EVERY: Final = 4  # of so many clicks one is a fault of the transmission
TRIES: Final = 200


@dataclass(frozen=True)
class Click:
    """One click.

    Attributes:
        start: its first sample.
        samples: its length.
        channels: where it sounds.
        shape: ``"spike"``, half a wave; ``"swing"``, a whole one; or a fault of the transmission:
            samples are ``"zero"``, the last one ``"held"``, those before them played ``"twice"``.
        height: of its peak, full scale 1; what a fault of the transmission has comes of the music.
    """

    start: int
    samples: int
    channels: tuple[int, ...]
    shape: Shape
    height: float


def clicks(
    wav: Wav, *, sample_rate: int, over_db: float = 15.0, per_second: float = 1.0, seed: int = 0
) -> Wav:
    """Return `wav` `[C, T]` with clicks at random places, see `draw_clicks`."""
    drawn = draw_clicks(
        wav, sample_rate=sample_rate, over_db=over_db, per_second=per_second, seed=seed
    )
    return add_clicks(wav, drawn)


def draw_clicks(
    wav: Wav, *, sample_rate: int, over_db: float, per_second: float, seed: int
) -> list[Click]:
    """Return clicks at random places of `wav` `[C, T]`, in order.

    Args:
        wav: what they will be laid on.
        sample_rate: Hz.
        over_db: peak of the spikes over the RMS of the 20 ms around, 3 dB more or less.
        per_second: how many there are, on average; fewer where the music leaves no room for such a
            peak under full scale.
        seed: the same seed gives the same clicks.
    """
    rng = np.random.default_rng(seed)
    channels, total = wav.shape
    half, apart = round(LEVEL_SECONDS / 2 * sample_rate), round(APART_SECONDS * sample_rate)
    longest = max(1, round(LONGEST_SECONDS * sample_rate))
    drawn: list[Click] = []
    wanted = max(1, round(per_second * total / sample_rate))
    for _ in range(wanted * TRIES):
        if len(drawn) == wanted or total <= 2 * apart:
            break
        start, samples = int(rng.integers(apart, total - apart)), int(rng.integers(1, longest + 1))
        own = int(rng.integers(channels))
        heard = (own,) if rng.random() < 0.5 else tuple(range(channels))
        sizes = [float(wav[c, start - half : start + half].std(dtype=np.float64)) for c in heard]
        bipolar, negative = rng.random(2) < 0.5
        height = max(sizes) * 10 ** ((over_db + rng.uniform(-SPREAD_DB, SPREAD_DB)) / 20)
        shape: Shape = "swing" if bipolar and samples > 1 else "spike"
        if len(drawn) % GLITCH_EVERY == GLITCH_EVERY - 1:
            shape = ("zero", "held", "twice")[int(rng.integers(3))]
        click = Click(start, samples, heard, shape, -height if negative else height)
        if min(sizes) < QUIETEST or any(abs(start - other.start) < apart for other in drawn):
            continue
        if np.abs(add_clicks(wav[:, : start + samples], [click])[:, start:]).max() > 1.0:
            continue  # a file does not hold it
        if shape not in ("spike", "swing") and _change(wav, click) < max(sizes):
            continue  # the music hides it
        drawn.append(click)
    return sorted(drawn, key=lambda click: click.start)


def add_clicks(wav: Wav, drawn: Sequence[Click]) -> Wav:
    """Return `wav` `[C, T]` with the clicks; all other samples are the same bits."""
    out = wav.copy()
    for click in drawn:
        inside = slice(click.start, click.start + click.samples)
        for channel in click.channels:
            out[channel, inside] = _clicked(wav[channel], click)
    return out


def _change(wav: Wav, click: Click) -> float:
    """Return by how much a click moves a sample, in the channel where that is least."""
    inside = slice(click.start, click.start + click.samples)
    return min(
        float(np.abs(_clicked(wav[channel], click) - wav[channel, inside]).max())
        for channel in click.channels
    )


def _clicked(wav: NDArray[np.float32], click: Click) -> NDArray[np.float32]:
    """Return the samples `[n]` of one channel that the click takes, as they then are."""
    start, count = click.start, click.samples
    now = wav[start : start + count]
    if click.shape == "zero":
        return np.zeros_like(now)
    if click.shape == "held":
        return np.full_like(now, wav[start - 1])
    if click.shape == "twice":
        return wav[start - count : start].copy()
    turn = np.arange(1, count + 1) / (count + 1)
    wave = np.sin(np.pi * turn * (2 if click.shape == "swing" else 1))
    return np.asarray(now + click.height * wave / np.abs(wave).max(), np.float32)
