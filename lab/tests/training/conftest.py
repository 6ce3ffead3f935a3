"""A corpus of two rendered pieces and a cache of it: a training in miniature."""

from pathlib import Path

import pytest
import soundfile as sf

from nitido.demo.render import render
from nitido_lab.training.cache import Entry, build_cache
from nitido_lab.training.config import TrainConfig

pytest.importorskip("torch")
RATE = 48_000


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pieces of clean music and one whose licence is not let in."""
    folder = tmp_path_factory.mktemp("music")
    rows = ["path,licence,title,author,bandwidth_max_hz"]
    for seed, (name, licence) in enumerate(
        [("one", "CC0-1.0"), ("two", "CC-BY-4.0"), ("shared", "CC-BY-SA-4.0")]
    ):
        sf.write(folder / f"{name}.wav", render(seconds=4.0, seed=seed).T, RATE)
        rows.append(f"{name}.wav,{licence},Case {name},Someone,24000")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def tiny(music: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A configuration that trains in seconds."""
    return TrainConfig(
        name="tiny",
        audio=(str(music),),
        validation=("two",),
        random_pieces=0,
        midi_files=0,
        recipes=({"kind": "mp3", "kbps": [48, 64]},),
        spoilt=1,
        width=16,
        blocks=2,
        crop_frames=40,
        batch=4,
        steps=24,
        warmup=2,
        ema=0.9,
        validate_every=6,
        out=str(tmp_path_factory.mktemp("training")),
    )


@pytest.fixture(scope="session")
def entries(tiny: TrainConfig) -> list[Entry]:
    """The cache of `tiny`."""
    return build_cache(tiny)
