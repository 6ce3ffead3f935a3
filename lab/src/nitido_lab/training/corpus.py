"""Which music a training may use: by licence, by bandwidth, and never what is kept for judging."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from nitido.batch.names import AUDIO_SUFFIXES
from nitido.errors import ConfigError
from nitido_lab.training.config import TrainConfig
from nitido_lab.training.music import is_of

FULL_BAND_HZ = 20_000.0  # a file that ends below is no full-band target
MIDI_SUFFIXES = {".mid", ".midi"}


@dataclass(frozen=True)
class Work:
    """One piece of clean music.

    Attributes:
        name: unlike all others.
        path: of the audio file, or of the MIDI file it is rendered from.
        licence: as its index states it.
        credit: title and author.
        end_hz: where the file ends, if the index knows; above it there is no target.
        split: ``train`` or ``validation``.
    """

    name: str
    path: Path
    licence: str
    credit: str
    end_hz: float | None
    split: str

    @property
    def is_midi(self) -> bool:
        """Return whether it has to be rendered."""
        return self.path.suffix.lower() in MIDI_SUFFIXES


def works(config: TrainConfig) -> list[Work]:
    """Return the music of a configuration, sorted by name.

    Raises:
        ConfigError: a folder is not there or holds no music, or there is none at all.
    """
    fetched = (str(config.music_folder),) if config.music else ()
    places = (*fetched, *config.audio)
    found = [work for place in places for work in _music(place, AUDIO_SUFFIXES, config)]
    midi = [work for place in config.midi for work in _music(place, MIDI_SUFFIXES, config)]
    step = max(1, len(midi) / max(config.midi_files, 1))
    found += [midi[int(i * step)] for i in range(min(config.midi_files, len(midi)))]
    if not found and not config.random_pieces:
        raise ConfigError(
            "There is no music to train on; see the settings music, audio, midi and random_pieces."
        )
    return sorted(found, key=lambda work: work.name)


def _music(place: str, suffixes: set[str] | frozenset[str], config: TrainConfig) -> list[Work]:
    """Return the music in a folder: without it a training would go on from chance alone.

    Raises:
        ConfigError: the folder is not there, or holds none that may be used.
    """
    found = list(_below(place, suffixes, config))
    if not found:
        allowed = " of an allowed licence, as an index.csv states it" if config.licences else ""
        raise ConfigError(f"There is no music to train on in {place}{allowed}.")
    return found


def _below(place: str, suffixes: set[str] | frozenset[str], config: TrainConfig) -> Iterator[Work]:
    folder = Path(place)
    if not folder.is_dir():
        raise ConfigError(f"There is no folder {folder}; name one that holds music.")
    index = _index(folder)
    for parent, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = Path(parent, name)
            if path.suffix.lower() not in suffixes or name.startswith("."):
                continue
            row = index.get(path.absolute(), {})
            licence = row.get("licence", "")
            allowed = not config.licences or licence.startswith(tuple(config.licences))
            if folder == config.music_folder:  # of all trainings
                allowed = allowed and is_of(row.get("source_repository", ""), config.music)
            if allowed:
                end = float(row.get("bandwidth_max_hz") or 0) or None
                split = row.get("split") or _split_by_name(path.stem, config)
                credit = f"{row.get('title', path.stem)}, {row.get('author', 'unknown')}"
                unlike = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:6]
                yield Work(f"{path.stem}-{unlike}", path, licence, credit, end, split)


def _split_by_name(stem: str, config: TrainConfig) -> str:
    """Return what music is for whose index does not say."""
    kept = any(fnmatch(stem, pattern) for pattern in config.validation)
    return "validation" if kept else "train"


def _index(folder: Path) -> dict[Path, dict[str, str]]:
    """Return the rows of the `index.csv` in a folder or up to two above it, by file."""
    for place in (folder.absolute(), *folder.absolute().parents[:2]):
        path = place / "index.csv"
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                return {(place / row["path"]).absolute(): row for row in csv.DictReader(file)}
    return {}
