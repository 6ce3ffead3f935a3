import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nitido_lab.training import checkpoint
from nitido_lab.training.cache import Entry
from nitido_lab.training.config import TrainConfig
from nitido_lab.training.loop import averaged, start, train

CPU = torch.device("cpu")


def beside(config: TrainConfig, place: Path) -> TrainConfig:
    """The same training in another folder."""
    return replace(config, out=str(place))


def weights(config: TrainConfig) -> dict[str, torch.Tensor]:
    """The mean weights of the last checkpoint."""
    return averaged(start(config, CPU), config, CPU).state_dict()


def test_training_brings_the_error_down(
    tiny: TrainConfig, entries: list[Entry], tmp_path: Path
) -> None:
    config = replace(beside(tiny, tmp_path), steps=60, learning_rate=3e-3)
    history = train(config, entries).history
    parts = ("level", "presence", "tonality", "hearing")
    first, last = (sum(line[part] for part in parts) for line in (history[0], history[-1]))
    assert last < 0.9 * first


def test_the_log_and_its_picture_tell_the_course(
    tiny: TrainConfig, entries: list[Entry], tmp_path: Path
) -> None:
    config = replace(beside(tiny, tmp_path), steps=12)
    train(config, entries)
    lines = (config.folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [6, 12]
    assert {"4-khz", "4-khz-rule", "coded"} <= set(json.loads(lines[0]))
    assert (config.folder / "log.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((config.folder / "config.json").read_text())["width"] == 16


def test_a_training_in_two_parts_is_the_training_in_one(
    tiny: TrainConfig, entries: list[Entry], tmp_path: Path
) -> None:
    whole, parts = beside(tiny, tmp_path / "whole"), beside(tiny, tmp_path / "parts")
    train(whole, entries)
    state = start(parts, CPU)
    # The schedule is that of the whole: only the end comes early.
    early = replace(parts, minutes=1e9)
    state.seconds = 0.0
    train_until(early, entries, steps=12)
    assert start(parts, CPU).step == 12
    train(parts, entries)
    for name, value in weights(whole).items():
        assert torch.allclose(value, weights(parts)[name], atol=1e-6), name


def train_until(config: TrainConfig, entries: list[Entry], *, steps: int) -> None:
    """Train as far as a step and stop as a kill would: between two steps."""

    class StopError(Exception):
        pass

    def watch(line: dict[str, float]) -> None:
        if line["step"] >= steps:
            raise StopError

    with pytest.raises(StopError):
        train(replace(config, minutes=0.0), entries, on_progress=watch)


PROGRAM = """
import json, sys
from pathlib import Path
from nitido_lab.training.cache import read_entry
from nitido_lab.training.config import TrainConfig
from nitido_lab.training.loop import train
config = json.loads(sys.argv[1])
for name, value in config.items():
    config[name] = tuple(value) if isinstance(value, list) else value
train(TrainConfig(**config), [read_entry(Path(folder)) for folder in sys.argv[2:]])
"""


def test_a_training_killed_in_the_middle_ends_with_the_same_figures(
    tiny: TrainConfig, entries: list[Entry], tmp_path: Path
) -> None:
    whole, killed = (
        replace(beside(tiny, tmp_path / name), steps=40, validate_every=5)
        for name in ("whole", "killed")
    )
    expected = train(whole, entries).history[-1]
    command = [sys.executable, "-c", PROGRAM, json.dumps(asdict(killed))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        [*command, *(str(entry.folder) for entry in entries)], env=environment
    )
    deadline = time.monotonic() + 90
    while not (killed.folder / checkpoint.NAME).exists() and time.monotonic() < deadline:
        assert running.poll() in (None, 0)
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    at = start(killed, CPU).step
    assert 5 <= at <= 40
    ended = train(killed, entries).history[-1]
    assert ended["step"] == expected["step"]
    for name in ("validation", "level", "4-khz", "coded"):
        if at < 40 or name != "level":
            assert ended[name] == pytest.approx(expected[name], rel=0.01, abs=0.02), name


def test_a_checkpoint_that_was_cut_off_in_writing_does_not_count(
    tiny: TrainConfig, entries: list[Entry], tmp_path: Path
) -> None:
    config = replace(beside(tiny, tmp_path), steps=6)
    train(config, entries)
    (config.folder / f".{checkpoint.NAME}.part").write_bytes(b"half of it")
    assert start(config, CPU).step == 6


def test_the_minutes_of_earlier_runs_count(
    tiny: TrainConfig, entries: list[Entry], tmp_path: Path
) -> None:
    config = replace(beside(tiny, tmp_path), steps=6)
    train(config, entries)
    used = start(config, CPU).seconds
    assert used > 0
    over = replace(config, steps=1_000, minutes=used / 120)  # used up twice over
    assert train(over, entries).step == 6


def test_batches_come_in_the_shape_the_network_takes(
    tiny: TrainConfig, entries: list[Entry], tmp_path: Path
) -> None:
    network = start(beside(tiny, tmp_path), CPU).network
    out = network(torch.zeros(2, 576, 9))
    assert out.shape == (2, 192, 9)
    assert np.isfinite(out.detach().numpy()).all()
