"""A small random HTDemucs in the hub's layout: real in every part, a million parameters.

What it separates is nonsense, but it is nonsense that depends on the sound, and on all of it.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

from nitido_lab.benchmark import random_checkpoint
from nitido_lab.benchmark.random_checkpoint import save_weights

__all__ = ["SIGNATURE", "STEMS", "make_model", "save_model", "save_weights"]

SIGNATURE = "a1b2c3d4"
STEMS = ["drums", "bass", "other", "vocals"]
SEGMENT = Fraction(3, 2)  # s; the real one has 39/5


def make_model(seed: int = 20, **changed: Any) -> Any:
    """Return an `HTDemucs` with random weights."""
    import torch
    from demucs.htdemucs import HTDemucs

    settings = {
        "sources": STEMS,
        "channels": 12,
        "t_layers": 3,
        "t_heads": 4,
        "samplerate": 44_100,
        "segment": SEGMENT,
        **changed,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HTDemucs(**settings).eval()


def save_model(folder: Path, model: Any, *, name: str = "htdemucs", checksum: bool = False) -> Path:
    """Save a model and its bag into a folder, as the hub has them, and return the folder."""
    random_checkpoint.save_model(folder, model, name=name, signature=SIGNATURE)
    if checksum:
        path = folder / f"{SIGNATURE}.safetensors"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        path.rename(folder / f"{SIGNATURE}-{digest}.safetensors")
    return folder
