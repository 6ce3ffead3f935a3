"""The training loop: draw, step, mean, now and then look and save."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import torch
from torch import Tensor

from nitido_lab.training import checkpoint
from nitido_lab.training.batches import Batch, Batches
from nitido_lab.training.cache import Entry
from nitido_lab.training.checkpoint import State
from nitido_lab.training.config import TrainConfig
from nitido_lab.training.losses import Targets, losses
from nitido_lab.training.network import TrebleNet
from nitido_lab.training.picture import draw_history
from nitido_lab.training.validation import score, validate, validation_batches
from nitido_lab.training.warm_start import inherit

log = logging.getLogger(__name__)

LOG = "log.jsonl"
GRADIENT_MAX = 1.0
SAVE_SECONDS = 120.0
LAST_LEARNING_RATE = 0.02  # of the highest


def train(
    config: TrainConfig,
    entries: Sequence[Entry],
    *,
    on_progress: Callable[[dict[str, float]], None] | None = None,
) -> State:
    """Return the state at the end of the steps or of the minutes; goes on from a checkpoint.

    Args:
        config: see `TrainConfig`; `minutes` counts what earlier runs took.
        entries: of the cache.
        on_progress: called with each line of the log.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    state, batches = start(config, device), Batches(entries, config)
    kept, model = validation_batches(entries, config), state.network
    forward = torch.compile(model) if config.compile else model
    sums: dict[str, float] = {}
    count = 0
    saved_seconds = state.seconds
    while not finished(state, config):
        began = perf_counter()
        batch = batches.draw(state.step)
        torch.manual_seed(config.seed + state.step)  # of dropout: the same after a resume
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(state, config)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            out = forward(torch.from_numpy(batch.seen).to(device))
        parts = losses(out, _targets(batch, device))
        sum(parts.values(), torch.zeros((), device=device)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_MAX)
        state.optimiser.step()
        state.optimiser.zero_grad()
        state.step += 1
        _follow(state, min(config.ema, state.step / (state.step + 10)))
        sums = {name: sums.get(name, 0.0) + float(value.detach()) for name, value in parts.items()}
        count += 1
        state.seconds += perf_counter() - began
        saved_seconds = _save_sometimes(state, config, saved_seconds)
        if state.step % config.validate_every == 0 or finished(state, config):
            line = {name: round(value / count, 4) for name, value in sums.items()}
            _look(state, config, line, averaged(state, config, device), kept)
            sums, count = {}, 0
            if on_progress is not None:
                on_progress(state.history[-1])
    return state


def start(config: TrainConfig, device: torch.device) -> State:
    """Return a new state, or the one of the last checkpoint."""
    torch.manual_seed(config.seed)
    network = TrebleNet(config.width, config.blocks)
    if config.start:
        inherit(network, Path(config.start))
    network.to(device)
    mean = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=0.05)
    state = State(network, mean, optimiser)
    config.folder.mkdir(parents=True, exist_ok=True)
    if checkpoint.load(state, config.folder):
        log.info("goes on from step %d", state.step)
    return state


def finished(state: State, config: TrainConfig) -> bool:
    """Return whether the steps are done or the minutes are over."""
    over = config.minutes > 0 and state.seconds >= 60 * config.minutes
    return state.step >= config.steps or over


def learning_rate(state: State, config: TrainConfig) -> float:
    """Return the rate of this step: a short rise, then half a cosine to the end."""
    done = state.step / config.steps
    if config.minutes > 0:
        done = max(done, state.seconds / (60 * config.minutes))
    low = LAST_LEARNING_RATE
    fall = low + (1 - low) * (0.5 + 0.5 * math.cos(math.pi * min(done, 1.0)))
    return config.learning_rate * fall * min(1.0, (state.step + 1) / config.warmup)


def averaged(state: State, config: TrainConfig, device: torch.device) -> TrebleNet:
    """Return the network with the running mean of its weights."""
    network = TrebleNet(config.width, config.blocks)
    network.to(device)
    network.load_state_dict(state.mean)
    return network


def _save_sometimes(state: State, config: TrainConfig, saved_seconds: float) -> float:
    """Save every two minutes, on a slow machine more often than it looks; return when."""
    if state.seconds - saved_seconds < SAVE_SECONDS:
        return saved_seconds
    checkpoint.save(state, config.folder)
    return state.seconds


def _targets(batch: Batch, device: torch.device) -> Targets:
    arrays = (batch.level, batch.tonality, batch.weight, batch.share, batch.below, batch.whole)
    return Targets(*(torch.from_numpy(array).to(device) for array in arrays))


def _follow(state: State, keep: float) -> None:
    with torch.no_grad():
        for name, value in state.network.state_dict().items():
            mean: Tensor = state.mean[name]
            mean.lerp_(value, 1 - keep)


def _look(
    state: State,
    config: TrainConfig,
    line: dict[str, float],
    network: TrebleNet,
    kept: dict[str, Batch],
) -> None:
    """Measure on the validation part, log, draw, and save."""
    device = next(network.parameters()).device
    figures = validate(network, kept, device=device)
    head = {"step": state.step, "seconds": round(state.seconds, 1)}
    whole = {"validation": round(score(figures), 4)} if figures else {}
    state.history.append({**head, **line, **whole, **figures})
    checkpoint.save(state, config.folder)
    _write_log(state, config.folder)
    (config.folder / "config.json").write_text(json.dumps(asdict(config), indent=1) + "\n")
    draw_history(state.history, config.folder / "log.png")


def _write_log(state: State, folder: Path) -> None:
    text = "".join(json.dumps(line) + "\n" for line in state.history)
    part = folder / f".{LOG}.part"
    part.write_text(text, "utf-8")
    part.replace(folder / LOG)
