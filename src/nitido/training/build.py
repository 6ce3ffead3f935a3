"""The whole way of `nitido train`: cache, training, export, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from nitido.training.cache import build_cache
from nitido.training.config import TrainConfig
from nitido.training.export import export
from nitido.training.inherit import keep
from nitido.training.judge import CEILINGS_HZ, CODED
from nitido.training.loop import averaged, train


@dataclass(frozen=True)
class Built:
    """What came of a training.

    Attributes:
        path: of the network.
        sha256: of that file.
        steps: done.
        seconds: spent training, without the cache.
        figures: of the validation part, see `nitido.training.judge.validate`.
    """

    path: Path
    sha256: str
    steps: int
    seconds: float
    figures: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "path": str(self.path)}


def build(config: TrainConfig, *, on_line: Callable[[str], None] | None = None) -> Built:
    """Return the network that a configuration describes; goes on with what is there.

    Args:
        config: see `TrainConfig`.
        on_line: called with what is going on, a line each.

    Raises:
        ConfigError: no music to train on.
        WeightsError: the exported network is not equal to the trained one.
    """

    def say(text: str) -> None:
        if on_line is not None:
            on_line(text)

    def cached(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            say(f"cache: {done} of {total} pieces")

    entries = build_cache(config, on_progress=cached)
    state = train(config, entries, on_progress=lambda line: say(in_words(line)))
    network = averaged(state, config, torch.device("cpu"))
    if config.start and config.keep:
        keep(network, Path(config.start), config.keep)
    path = config.folder / f"{config.name}.onnx"
    figures = state.history[-1] if state.history else {}
    return Built(path, export(network, path), state.step, round(state.seconds, 1), figures)


def in_words(line: dict[str, float]) -> str:
    """Return a line of the log for people: how unlike the music it sounds, the rule in brackets."""
    names = [f"{hz / 1000:g}-khz" for hz in CEILINGS_HZ] + [CODED]
    parts = [
        f"{name} {line[f'{name}-unlike']:.3f} ({line[f'{name}-rule-unlike']:.3f})"
        for name in names
        if name in line
    ]
    figures = ", ".join(parts) or "no piece is kept for validation"
    return f"step {line['step']:.0f}, {line['seconds'] / 60:.1f} min: {figures}"
