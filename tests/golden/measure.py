"""What lies in the golden files: scores of pieces that are made here, the same on every run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tests.signals import noise, pink_noise, sine

from nitido.dsp.wav import Wav

FOLDER = Path(__file__).parent
SCORES, AURALOSS = FOLDER / "scores.json", FOLDER / "auraloss.json"
SAMPLE_RATE = 48_000


def piece() -> Wav:
    """Six seconds of music, stereo, 48 kHz."""
    from nitido.demo.render import render

    return render(seconds=6.0)


def degraded(clean: Wav) -> dict[str, Wav]:
    """The same piece, spoiled in several ways."""
    from nitido.demo.comb import add_comb
    from nitido.dsp.spectral import lower_ceiling

    return {
        "noisy": clean + noise(seconds=6.0, rms=0.01, channels=2, seed=1)[:, : clean.shape[1]],
        "comb": add_comb(clean, sample_rate=SAMPLE_RATE, seed=2),
        "dull": lower_ceiling(clean, sample_rate=SAMPLE_RATE, ceiling_hz=8000.0),
        "clipped": np.clip(clean, -0.4, 0.4),
        "cut": clean[:, : round(4.1 * SAMPLE_RATE)],
    }


def scores() -> dict[str, Any]:
    """Every measure of every piece, four digits after the point."""
    from nitido.metrics import artefacts, content, delivery, features, fidelity, perceptual

    clean = piece()
    pieces = {"clean": clean, **degraded(clean)}
    found: dict[str, Any] = {}
    for name, wav in pieces.items():
        alone = {"estimate": wav, "sample_rate": SAMPLE_RATE}
        found[name] = {
            "artefacts": artefacts.evaluate(**alone),
            "delivery": delivery.evaluate(**alone),
            "features": features.evaluate(**alone),
        }
        if name in ("clean", "cut"):
            continue
        pair = {**alone, "reference": clean}
        found[name] |= {
            "content": content.evaluate(**pair),
            "fidelity": fidelity.evaluate(**pair),
        }
        if name == "noisy":  # one is enough: it takes its time
            found[name]["perceptual"] = {"visqol_mos": perceptual.visqol(**pair)}
    return json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 4))


def pairs() -> dict[str, tuple[Wav, Wav]]:
    """Estimate and reference, short, for what is compared with another library."""
    music = pink_noise(channels=2, seed=3) + sine(440.0, channels=2)
    return {
        "noise at −20 dB": (
            music + noise(rms=0.1 * float(music.std()), channels=2, seed=4),
            music,
        ),
        "half as loud": (0.5 * music, music),
        "another piece": (pink_noise(channels=2, seed=5), music),
        "near silence": (1e-6 * music, music),
    }


def auraloss_values() -> dict[str, dict[str, float]]:
    """What auraloss says of `pairs`; needs torch."""
    import auraloss
    import torch

    losses = {
        "multi_resolution_stft": auraloss.freq.MultiResolutionSTFTLoss(w_lin_mag=1.0),
        "si_sdr_db": auraloss.time.SISDRLoss(zero_mean=False),
    }
    found: dict[str, dict[str, float]] = {}
    for name, (estimate, reference) in pairs().items():
        one, other = (torch.from_numpy(wav)[None] for wav in (estimate, reference))
        # It takes SI-SDR channel by channel: give it one channel.
        flat = [wav.reshape(1, 1, -1) for wav in (one, other)]
        found[name] = {
            "multi_resolution_stft": float(losses["multi_resolution_stft"](one, other)),
            "si_sdr_db": -float(losses["si_sdr_db"](*flat)),
        }
    return found
