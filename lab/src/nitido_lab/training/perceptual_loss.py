"""How alike two spectra sound: bands of the ear, a threshold below which nothing is, local shape.

An error of a constant few dB is hardly heard; an attack that is missing, a slope that goes the
other way, or a hiss where there was silence is. The mean error in dB does not know the difference.

Source: bands and bandwidths: Glasberg and Moore, Hearing Research 47, 1990; filters: Slaney, Apple
technical report 35, 1993; similarity: Hines et al., ViSQOLAudio, JASA 137(6), 2015.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nitido.restoration.treble.levels import BAND_HZ, BANDS, ENVELOPES, PER_ENVELOPE, Levels

EARS = 32  # bands
LOWEST_HZ, HIGHEST_HZ = 50.0, 24_000.0
EAR_Q, EAR_MIN_HZ = 9.26449, 24.7
FINER = 8  # points in each of the 256 bands: the lowest bands of the ear are narrower
# What a band of the ear does not hear, re one of the 256 bands of white noise of the piece's RMS.
# ViSQOL's threshold is -90 dBFS, here for a piece of -19 dBFS. Of five systems on 73 spoilt clips
# this ranks 96 % of the pairs that ViSQOL tells apart by more than 0.05 as ViSQOL does.
THRESHOLD_DB = -42.0
# A frame is 43 ms long, the ear's is taken as 80: five frames, every second one.
TIME_WINDOW = (0.08, 0.24, 0.36, 0.24, 0.08)
TIME_STEP = 2
NEIGHBOURS = ((0.0113, 0.0838, 0.0113), (0.0838, 0.6195, 0.0838), (0.0113, 0.0838, 0.0113))
# Both keep faint differences from counting: noise of these bands differs by some tenths of a dB.
INTENSITY_DB2, SHAPE_DB2 = 1.0, 0.3
TOUCHED = 0.1  # of a band of the ear has to be asked for


@cache
def filters() -> NDArray[np.float32]:
    """Return what each band of the ear takes of each of the 256 bands, `[32, 256]`."""
    offset = EAR_Q * EAR_MIN_HZ  # bands lie evenly on the logarithm of frequency plus this
    low, high = (float(np.log(hz + offset)) for hz in (LOWEST_HZ, HIGHEST_HZ))
    centres = np.exp(np.linspace(low, high, EARS, endpoint=False))[:, None] - offset
    width_hz = 1.019 * (centres / EAR_Q + EAR_MIN_HZ)
    hz = (np.arange(BANDS * FINER) + 0.5) * BAND_HZ / FINER
    response = (1 + ((hz - centres) / width_hz) ** 2) ** -4
    return np.asarray(response.reshape(EARS, BANDS, FINER).mean(axis=2), np.float32)


def heard_power(levels: Levels, *, below: int = BANDS) -> Levels:
    """Return the power in the bands of the ear, `[…, 32]`, of levels `[…, 256]` up to a band."""
    power = 10 ** (levels[..., :below] / 10)
    return np.asarray(power @ filters()[:, :below].T, np.float32)


def dissimilarity(level_db: Tensor, share: Tensor, below: Tensor, whole: Tensor) -> Tensor:
    """Return how unlike the music sounds where the treble was predicted: 0 alike, about 1 not.

    Args:
        level_db: predicted, `[B, 64, N]`.
        share: of each of these bands that is asked for, `[B, 64, N]`, 0 to 1.
        below: power in the bands of the ear that is there already, `[B, 32, N]`.
        whole: and that should be there, `[B, 32, N]`.
    """
    takes = torch.from_numpy(filters()).to(level_db.device)
    wide = takes.reshape(EARS, ENVELOPES, PER_ENVELOPE).sum(dim=2)
    power = share * 10 ** (level_db.clamp(max=60.0) / 10)
    estimate = below + torch.einsum("en,bnt->bet", wide, power)
    counts = _counts(share, wide)
    alike = similarity(*((_db(power) - THRESHOLD_DB).clamp_min(0) for power in (estimate, whole)))
    return 1 - (counts * alike).sum() / counts.sum().clamp_min(1.0)


def similarity(one: Tensor, other: Tensor) -> Tensor:
    """Return the local similarity of two spectra in dB, both `[B, E, N]`: 1 where they agree."""
    mean_one, mean_other = _near(one), _near(other)
    var_one = (_near(one**2) - mean_one**2).clamp_min(0)
    var_other = (_near(other**2) - mean_other**2).clamp_min(0)
    together = _near(one * other) - mean_one * mean_other
    intensity = (2 * mean_one * mean_other + INTENSITY_DB2) / (
        mean_one**2 + mean_other**2 + INTENSITY_DB2
    )
    return intensity * (together + SHAPE_DB2) / ((var_one * var_other + 1e-6).sqrt() + SHAPE_DB2)


def _db(power: Tensor) -> Tensor:
    """Return the power over the time in which the ear hears one sound, dB, every second frame."""
    window = torch.tensor(TIME_WINDOW, device=power.device).reshape(1, 1, -1)
    batch, bands, frames = power.shape
    flat = functional.pad(power.reshape(batch * bands, 1, frames), (2, 2), mode="replicate")
    smooth = functional.conv1d(flat, window, stride=TIME_STEP).reshape(batch, bands, -1)
    return 10 * (smooth + 1e-8).log10()


def _near(spec: Tensor) -> Tensor:
    """Return the weighted mean over each place and its eight neighbours, `[B, E, N]`."""
    kernel = torch.tensor(NEIGHBOURS, device=spec.device)[None, None]
    padded = functional.pad(spec[:, None], (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernel / kernel.sum())[:, 0]


def _counts(share: Tensor, wide: Tensor) -> Tensor:
    """Return which bands of the ear are asked for when, `[B, 32, N / 2]`: 1 or 0."""
    touched = torch.einsum("en,bnt->bet", wide, share) / wide.sum(dim=1)[None, :, None]
    return (touched[:, :, ::TIME_STEP] > TOUCHED).float()
