"""How good a network is on the validation part: its error above the ceiling, beside the rule's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from nitido.restoration.treble.levels import BANDS, ENVELOPES, PER_ENVELOPE, Levels
from nitido_lab.training.batches import Batch, Example, crop, stack, under
from nitido_lab.training.cache import Entry
from nitido_lab.training.config import TrainConfig
from nitido_lab.training.losses import gated_db
from nitido_lab.training.network import GATE_DB
from nitido_lab.training.perceptual_loss import dissimilarity

CEILINGS_HZ = (4_000, 8_000, 11_000, 16_000)
CROPS = 2  # of each piece
ENTRIES_MAX = 48
CROP_FRAMES = 256
NOTHING_DB = -60.0  # as which everything counts that is below the gate
CODED = "coded"


def validation_batches(entries: Sequence[Entry], config: TrainConfig) -> dict[str, Batch]:
    """Return one batch per ceiling and one of coded pieces, the same at every call."""
    kept = [entry for entry in entries if entry.split == "validation" and entry.frames > 8]
    rng = np.random.default_rng(config.seed)
    kept = [kept[int(i)] for i in rng.permutation(len(kept))[:ENTRIES_MAX]]
    clean: list[Example] = []
    coded: list[Example] = []
    for entry in kept:
        for number in range(CROPS):
            start = int(rng.integers(max(1, entry.frames - CROP_FRAMES)))
            channel = number % entry.channels
            clean.append(crop(entry, None, channel, start, frames=CROP_FRAMES))
            if entry.crossovers:
                version = number % len(entry.crossovers)
                coded.append(crop(entry, version, channel, start, frames=CROP_FRAMES))
    if not clean:
        return {}
    batches = {
        f"{hz / 1000:g}-khz": stack([under(example, hz) for example in clean]) for hz in CEILINGS_HZ
    }
    return batches | ({CODED: stack(coded)} if coded else {})


def validate(
    network: nn.Module, batches: dict[str, Batch], *, device: torch.device
) -> dict[str, float]:
    """Return how far from the music it is above the ceiling, per batch, and how far the rule is.

    `NAME` and `NAME-rule`: mean error of the level, dB; what is below the gate, in the music or in
    the prediction, counts as −60 dB, so treble that was never there and treble that is missed both
    cost. `NAME-unlike` and `NAME-rule-unlike`: how unlike it sounds, see `training.hearing`.
    """
    figures: dict[str, float] = {}
    network.eval()
    for name, batch in batches.items():
        with torch.inference_mode():
            seen = torch.from_numpy(batch.seen).to(device)
            out = torch.cat([network(part).float().cpu() for part in seen.split(16)]).numpy()
        level, presence = 20 * out[:, :ENVELOPES], out[:, ENVELOPES : 2 * ENVELOPES]
        rule = 20 * batch.seen[:, 2 * BANDS :]
        figures[name] = _error_db(np.where(presence > 0, level, NOTHING_DB), batch)
        figures[f"{name}-rule"] = _error_db(rule, batch)
        figures[f"{name}-unlike"] = _unlike(gated_db(torch.from_numpy(out)), batch)
        figures[f"{name}-rule-unlike"] = _unlike(torch.from_numpy(rule), batch)
    network.train()
    return figures


def score(figures: dict[str, float]) -> float:
    """Return one number of the figures, lower is better: the mean of how unlike it sounds."""
    own = [figures[n] for n in figures if n.endswith("-unlike") and not n.endswith("-rule-unlike")]
    return float(np.mean(own))


def _error_db(level: Levels, batch: Batch) -> float:
    def heard(levels: Levels) -> Levels:
        return np.where(levels < GATE_DB, NOTHING_DB, levels)

    masked = batch.seen[:, BANDS : 2 * BANDS].reshape(len(level), ENVELOPES, PER_ENVELOPE, -1)
    asked = masked.any(axis=2) & (batch.weight > 0)
    error = np.abs(heard(level) - heard(20 * batch.level))[asked]
    return round(float(error.mean()), 3) if error.size else 0.0


def _unlike(level_db: torch.Tensor, batch: Batch) -> float:
    known = (torch.from_numpy(array) for array in (batch.share, batch.below, batch.whole))
    return round(float(dissimilarity(level_db, *known)), 4)
