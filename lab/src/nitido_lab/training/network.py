"""The network: levels below the ceiling in, levels, presence and tonality of all bands out.

    in   [B, 576, N]  256 levels, 256 masks, 64 levels by rule (see `treble.levels`)
    out  [B, 192, N]  64 levels in units of 20 dB, 64 logits of presence, 64 logits of tonality

Residual blocks in the way of ConvNeXt along time, each frame normalised by itself, so the reach is
finite: `context_frames` on either side, and a piece in parts equals the piece whole.

Source: Liu et al., A ConvNet for the 2020s, CVPR 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nitido.restoration.treble.levels import BANDS, ENVELOPES, INPUTS

KERNEL = 5
DILATIONS = (1, 2, 4, 8, 16, 32)
DROPOUT = 0.1  # without it the validation error rises again after a few thousand steps
GATE_DB = -46.0  # what is fainter was not there: dB re white noise of the piece's RMS
GATE_SLOPE = 5.0  # logits per 20 dB that the gate starts with


class Block(nn.Module):  # type: ignore[misc]  # torch is not typed here
    """One residual block: along time, then across bands."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        pad = (KERNEL // 2) * dilation
        self.time = nn.Conv1d(width, width, KERNEL, padding=pad, dilation=dilation, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 2 * width)
        self.drop = nn.Dropout(DROPOUT)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return `[B, width, N]` as it came, and what the block adds."""
        inner = self.norm(self.time(hidden).transpose(1, 2))
        inner = self.narrow(self.drop(nn.functional.gelu(self.wide(inner))))
        return hidden + inner.transpose(1, 2)


class TrebleNet(nn.Module):  # type: ignore[misc]
    """Predicts what belongs above the ceiling; starts as the rule does."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(INPUTS, width, 1)
        dilations = [DILATIONS[number % len(DILATIONS)] for number in range(blocks)]
        self.blocks = nn.ModuleList(Block(width, dilation) for dilation in dilations)
        self.leave = nn.Conv1d(width, 3 * ENVELOPES, 1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)
        self.context_frames = sum(dilations) * (KERNEL // 2)

    def forward(self, seen: Tensor) -> Tensor:
        """Return `[B, 192, N]` for `[B, 576, N]`."""
        hidden = self.enter(seen)
        for block in self.blocks:
            hidden = block(hidden)
        change, presence, tonality = self.leave(hidden).split(ENVELOPES, dim=1)
        level = seen[:, 2 * BANDS :] + change
        presence = presence + GATE_SLOPE * (level.detach() - GATE_DB / 20)
        return torch.cat([level, presence, tonality], dim=1)
