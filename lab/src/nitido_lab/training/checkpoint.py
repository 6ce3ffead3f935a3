"""Checkpoints: tensors as safetensors, numbers as JSON inside them; whole on disk or not at all.

One file holds the network, its running mean, the optimiser's moments, the step, and the time used.
Batches depend on the step only, so nothing else is needed to go on as if nothing had happened.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

NAME = "checkpoint.safetensors"


@dataclass
class State:
    """Everything that a training has come to.

    Attributes:
        network: that is trained.
        mean: running mean of its weights, by name: what is exported.
        optimiser: with its moments.
        step: done so far.
        seconds: spent so far, in all runs together.
        history: what was logged, a dict per line.
    """

    network: nn.Module
    mean: dict[str, Tensor]
    optimiser: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def save(state: State, folder: Path, *, name: str = NAME) -> None:
    """Write a checkpoint; a kill at any moment leaves the old one or the new one."""
    tensors = {f"network.{key}": value for key, value in state.network.state_dict().items()}
    tensors |= {f"mean.{key}": value for key, value in state.mean.items()}
    for number, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{key}": value for key, value in moments.items()}
    numbers: dict[str, Any] = {"step": state.step, "seconds": state.seconds}
    numbers["history"] = state.history
    part = folder / f".{name}.part"
    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    save_file(contiguous, part, metadata={"nitido": json.dumps(numbers)})
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(folder / name)


def load(state: State, folder: Path, *, name: str = NAME) -> bool:
    """Fill `state` from the last checkpoint; return whether there was one."""
    path = folder / name
    if not path.is_file():
        return False
    with safe_open(path, framework="pt") as file:
        numbers = json.loads(file.metadata()["nitido"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    state.network.load_state_dict(_below("network.", tensors))
    for key, value in _below("mean.", tensors).items():
        state.mean[key].copy_(value)
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _below("optimiser.", tensors).items():
        number, _, what = key.partition(".")
        moments.setdefault(int(number), {})[what] = value
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": moments, "param_groups": groups})
    state.step, state.seconds = numbers["step"], numbers["seconds"]
    state.history = numbers["history"]
    return True


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): v for key, v in tensors.items() if key.startswith(prefix)}
