"""What the network is asked for: median levels, where there is sound at all, and to sound alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nitido.restoration.treble.levels import ENVELOPES
from nitido_lab.training.network import GATE_DB
from nitido_lab.training.perceptual_loss import dissimilarity

TONALITY_WEIGHT = 0.2
PRESENCE_WEIGHT = 0.3
HEARING_WEIGHT = 2.0
GATE_DB_PER_NEPER = 20 / math.log(10)  # presence is a gain of the amplitude


@dataclass(frozen=True)
class Targets:
    """What was there, for a batch.

    Attributes:
        level: `[B, 64, N]`, units of 20 dB.
        tonality: `[B, 64, N]`, 0 to 1.
        weight: `[B, 64, N]`, 0 where nothing is known or nothing is asked.
        share, below, whole: see `nitido_lab.training.perceptual_loss.dissimilarity`.
    """

    level: Tensor
    tonality: Tensor
    weight: Tensor
    share: Tensor
    below: Tensor
    whole: Tensor


def losses(out: Tensor, targets: Targets) -> dict[str, Tensor]:
    """Return the losses of an output `[B, 192, N]`; their sum is what is trained on.

    `level`: mean absolute error where the sound is above the gate, in units of 20 dB: its best
    answer is the median, and faint sound that is missed or added counts in `presence` instead.
    `presence`: cross-entropy of there being sound above the gate. `tonality`: mean absolute error.
    `hearing`: how unlike the music it sounds, at the level with presence as its gate.
    """
    level, presence, tonality = out.float().split(ENVELOPES, dim=1)
    there = (targets.level > GATE_DB / 20).float()
    sounding = targets.weight * there
    asked = targets.weight.sum().clamp_min(1.0)
    entropy = functional.binary_cross_entropy_with_logits(presence, there, reduction="none")
    return {
        "level": (sounding * (level - targets.level).abs()).sum() / sounding.sum().clamp_min(1.0),
        "presence": PRESENCE_WEIGHT * (targets.weight * entropy).sum() / asked,
        "tonality": TONALITY_WEIGHT
        * (sounding * (torch.sigmoid(tonality) - targets.tonality).abs()).sum()
        / sounding.sum().clamp_min(1.0),
        "hearing": HEARING_WEIGHT
        * dissimilarity(gated_db(out.float()), targets.share, targets.below, targets.whole),
    }


def gated_db(out: Tensor) -> Tensor:
    """Return the level of an output `[B, 192, N]` with presence as its gate, `[B, 64, N]`, dB."""
    level, presence, _ = out.split(ENVELOPES, dim=1)
    gain_db: Tensor = GATE_DB_PER_NEPER * functional.logsigmoid(presence)
    return 20 * level + gain_db
