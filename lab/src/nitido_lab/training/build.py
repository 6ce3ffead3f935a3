"""The whole way of `nitido-lab train`: cache, training, export, and what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from nitido.errors import ConfigError, WeightsError
from nitido.lock import held
from nitido.restoration.treble.levels import INPUTS
from nitido_lab.training import checkpoint
from nitido_lab.training.cache import build_cache
from nitido_lab.training.config import TrainConfig
from nitido_lab.training.export import export
from nitido_lab.training.loop import averaged, train
from nitido_lab.training.music import fetch_all
from nitido_lab.training.network import TrebleNet
from nitido_lab.training.validation import CEILINGS_HZ, CODED, validate, validation_batches
from nitido_lab.training.warm_start import keep, mean

LOCK = "lock"


@dataclass(frozen=True)
class Built:
    """What came of a training.

    Attributes:
        path: of the network.
        sha256: of that file.
        steps: done.
        seconds: spent training, without the cache.
        figures: of the validation part, see `nitido_lab.training.validation.validate`.
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
        ConfigError: no music to train on, or some of it cannot be fetched, another training is at
            work in the same folder, or the folder cannot be made.
        WeightsError: the exported network is not equal to the trained one.
    """

    def say(text: str) -> None:
        if on_line is not None:
            on_line(text)

    try:
        config.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The folder {config.folder} cannot be made: {error.strerror}; --out names another."
        ) from None
    with held(config.folder / LOCK) as ours:
        if not ours:
            raise ConfigError(
                f"Another training is at work in {config.folder}; wait for its end, or give this "
                "one a place of its own with --out."
            )
        return _build(_with_own_start(config), say)


def _build(config: TrainConfig, say: Callable[[str], None]) -> Built:
    if config.music:
        fetch_all(config.music_folder, sources=config.music, on_line=lambda s: say(f"music: {s}"))

    def cached(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            say(f"cache: {done} of {total} pieces")

    entries = build_cache(config, on_progress=cached)
    cpu = torch.device("cpu")
    probe = TrebleNet(config.width, config.blocks)
    settle_threads(lambda: probe(torch.zeros(config.batch, INPUTS, config.crop_frames)))
    networks, steps, seconds = [], 0, 0.0
    for member in members(config):
        if config.members > 1:
            say(f"{member.name}: one of {config.members} whose mean is kept")
        state = train(member, entries, on_progress=lambda line: say(in_words(line)))
        networks.append(averaged(state, member, cpu))
        steps, seconds = steps + state.step, seconds + state.seconds
    network = mean(networks)
    if config.start and config.keep:
        keep(network, Path(config.start), config.keep)
    figures = validate(network, validation_batches(entries, config), device=cpu)
    say("exported: " + _figures_in_words(figures))
    path = config.folder / f"{config.name}.onnx"
    return Built(path, export(network, path), steps, round(seconds, 1), figures)


def settle_threads(work: Callable[[], object]) -> int:
    """Let torch compute on all threads or on one, whichever is faster now; return how many.

    Threads wait for one another at every layer, and for other programs all the while: at a load of
    18 on two cores a training on one thread took 400 steps in the time of 30 on two.
    """

    def seconds(threads: int) -> float:
        torch.set_num_threads(threads)
        work()
        began = perf_counter()
        work()
        return perf_counter() - began

    threads: int = min((torch.get_num_threads(), 1), key=seconds)
    torch.set_num_threads(threads)
    return threads


def _with_own_start(config: TrainConfig) -> TrainConfig:
    """Return the configuration with a copy of its start, made when the training begins.

    What a training starts from is often the network that ships, and in the end replaced by it: run
    again, the training would mix the network with itself.
    """
    if not config.start:
        return config
    copy = config.folder / "start.onnx"
    begun = any((member.folder / checkpoint.NAME).is_file() for member in members(config))
    if not (begun and copy.is_file()):
        if not Path(config.start).is_file():
            raise WeightsError(f"There is no network {config.start} to start from; see start.")
        shutil.copyfile(config.start, copy)
    return replace(config, start=str(copy))


def members(config: TrainConfig) -> list[TrainConfig]:
    """Return the training of each member, with a seed and a folder of its own.

    Raises:
        ConfigError: members without a common start, whose mean would be nothing.
    """
    if config.members < 2:
        return [config]
    if not config.start:
        raise ConfigError(
            "The mean of networks is a network only if they start from the same one; "
            "name it in start, or set members to 1."
        )
    return [
        replace(
            config,
            name=f"{config.name}/member-{number}",
            seed=config.seed + number,
            minutes=config.minutes / config.members,
        )
        for number in range(config.members)
    ]


def in_words(line: dict[str, float]) -> str:
    """Return a line of the log for people: how unlike the music it sounds, the rule in brackets."""
    return f"step {line['step']:.0f}, {line['seconds'] / 60:.1f} min: {_figures_in_words(line)}"


def _figures_in_words(figures: dict[str, float]) -> str:
    names = [f"{hz / 1000:g}-khz" for hz in CEILINGS_HZ] + [CODED]
    parts = [
        f"{name} {figures[f'{name}-unlike']:.3f} ({figures[f'{name}-rule-unlike']:.3f})"
        for name in names
        if name in figures
    ]
    return ", ".join(parts) or "no piece is kept for validation"
