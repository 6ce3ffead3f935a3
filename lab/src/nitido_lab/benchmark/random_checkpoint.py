"""Write a Demucs model in the hub's layout; and a stand-in of the real size, with random weights.

What the stand-in separates is nonsense. But it takes as long as the real model, and as much memory,
so that can be measured where the real weights are not.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from nitido.optional import load
from nitido.separation.demucs_model import NEED, REMEDY

STAND_IN = "htdemucs"
SIGNATURE = "standin0"
# Of htdemucs, signature 955717e8: 41,984,456 parameters.
STEMS = ("drums", "bass", "other", "vocals")
SETTINGS: dict[str, Any] = {"bottom_channels": 512, "dconv_mode": 3, "segment": Fraction(39, 5)}


def save_random_musicgen(folder: Path, **changed: Any) -> Path:
    """Write an `HTDemucs` of the official size with random weights; return the folder.

    Args:
        folder: to write `htdemucs.yaml` and its weights into; made if need be.
        changed: other settings of the network, for a smaller one.

    Raises:
        MissingExtraError: Demucs is not installed.
    """
    torch = load("torch", need=NEED, remedy=REMEDY)
    network = load("demucs.htdemucs", need=NEED, remedy=REMEDY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = network.HTDemucs(list(STEMS), **{**SETTINGS, **changed})
    return save_model(folder, model)


def save_model(
    folder: Path, model: Any, *, name: str = STAND_IN, signature: str = SIGNATURE
) -> Path:
    """Write a Demucs model and a bag of it alone in the hub's layout; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / f"{signature}.safetensors", model)
    (folder / f"{name}.yaml").write_text(f"models: ['{signature}']\n", "utf-8")
    return folder


def save_weights(path: Path, model: Any, **metadata: str) -> Path:
    """Write a Demucs model as one safetensors file; return its path.

    Args:
        path: of the file.
        model: made by a class of Demucs, which remembers its arguments.
        metadata: to be written instead of what the model says of itself.
    """
    args, kwargs = model._init_args_kwargs
    written = {
        "klass": f"{type(model).__module__}.{type(model).__name__}",
        "args": json.dumps(args),
        "kwargs": json.dumps(kwargs, default=_fraction),
        **metadata,
    }
    state = {key: tensor.contiguous().clone() for key, tensor in model.state_dict().items()}
    load("safetensors.torch", need=NEED, remedy=REMEDY).save_file(state, path, metadata=written)
    return path


def _fraction(value: Fraction) -> dict[str, Any]:
    """Return a fraction as Demucs writes it in JSON."""
    return {
        "_type": "fraction",
        "numerator": value.numerator,
        "denominator": value.denominator,
    }
