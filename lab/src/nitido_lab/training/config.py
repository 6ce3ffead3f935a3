"""What a training needs to know, as TOML; a configuration states only what differs."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from nitido.errors import ConfigError, MissingExtraError
from nitido.optional import available
from nitido.restoration.preset import suggest

LIBRARIES = ("torch", "onnx", "safetensors")
PACKAGES = {  # that SoundFonts come with
    "FluidR3_GM.sf2": "fluid-soundfont-gm",
    "MuseScore_General_Full.sf2": "musescore-general-soundfont-lossless",
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what comes out of a training.

    Attributes:
        name: of the network and of its folder.
        music: patterns of the sources of the lab's list of music that are learned from; what is
            not there yet is fetched first, see `nitido_lab.training.music`.
        audio: other folders of clean music; an `index.csv` in or above one tells licence and
            bandwidth.
        midi: folders of MIDI files, rendered with `soundfonts`.
        licences: beginnings of the licences that are let in; files with another one, or that the
            index does not name, are left out. Empty: whatever is there.
        validation: patterns of file names that are kept for validation, whole works, where the
            index does not say which are (its column `split`, ``train`` or ``validation``).
        soundfonts: files that MIDI is rendered with, each piece with one of them.
        midi_files: at most so many MIDI files.
        random_pieces: how many random pieces are rendered beside them.
        midi_seconds: of each rendered piece.
        clip_seconds: of each file of music, at most.
        recipes: degradations, see `nitido_lab.degradation.recipe`; each file is spoilt so many
            times.
        spoilt: how many spoilt versions of each file.
        width, blocks: size of the network.
        start: an exported network to start from; empty: start as the rule does.
        keep: share of its weights, 0 to 1, that is in what is exported.
        crop_frames: length of a training example; 94 frames are one second.
        batch: examples per step.
        steps: at most so many.
        minutes: at most so long, with what earlier runs took; 0 for no limit.
        members: so many networks are trained from `start`, each on examples of its own, one after
            the other in equal shares of `minutes`; what is exported is the mean of their weights.
        learning_rate: at its highest.
        warmup: steps to get there.
        ema: share of the running mean of the weights that is kept per step.
        validate_every: steps between two looks at the validation part; a checkpoint comes with it.
        compile: let torch compile the network.
        seed: of everything random.
        out: folder of cache, checkpoints and logs.
    """

    name: str = "bandwidth"
    music: tuple[str, ...] = ()
    audio: tuple[str, ...] = ()
    midi: tuple[str, ...] = ()
    licences: tuple[str, ...] = (
        "CC0",
        "CC-BY-2",
        "CC-BY-3",
        "CC-BY-4",
        "Public domain",
        "Apache",
        "BSD",
        "MIT",
    )
    validation: tuple[str, ...] = ()
    soundfonts: tuple[str, ...] = ("/usr/share/sounds/sf2/FluidR3_GM.sf2",)
    midi_files: int = 60
    random_pieces: int = 24
    midi_seconds: float = 45.0
    clip_seconds: float = 120.0
    recipes: tuple[dict[str, Any], ...] = ()
    spoilt: int = 3
    width: int = 128
    blocks: int = 4
    start: str = ""
    keep: float = 0.0
    crop_frames: int = 160
    batch: int = 8
    steps: int = 100_000
    minutes: float = 0.0
    members: int = 1
    learning_rate: float = 1e-3
    warmup: int = 200
    ema: float = 0.999
    validate_every: int = 500
    compile: bool = False
    seed: int = 0
    out: str = "nitido-training"

    @property
    def folder(self) -> Path:
        """Return where this training keeps its things."""
        return Path(self.out) / self.name

    @property
    def music_folder(self) -> Path:
        """Return where the music of the list is kept, that of all trainings together."""
        return Path(self.out) / "music"

    @property
    def renders(self) -> bool:
        """Return whether MIDI has to be rendered."""
        return self.random_pieces > 0 or bool(self.midi and self.midi_files)


def read_config(path: Path, **overrides: Any) -> TrainConfig:
    """Return the configuration of a TOML file; `extends` names one beside it to start from.

    Args:
        path: of the file.
        overrides: settings that count more than the file's; None leaves the file's.

    Raises:
        ConfigError: no such file, not TOML, an unknown setting or a wrong type.
    """
    content = _read(path) | {name: value for name, value in overrides.items() if value is not None}
    known = {entry.name: entry.default for entry in fields(TrainConfig)}
    for name, value in content.items():
        if name not in known:
            raise ConfigError(f"A training has no setting {name!r}{suggest(name, known)}")
        if not _fits(value, known[name]):
            raise ConfigError(
                f"The training's {name} is {value!r}; it is of the kind of {known[name]!r}."
            )
    settled: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in content.items()
    }
    return TrainConfig(**settled)


def require(config: TrainConfig) -> None:
    """Say at once what a training lacks, before anything is fetched or made.

    Raises:
        MissingExtraError: libraries, programs or SoundFonts are not installed.
    """
    libraries = [*LIBRARIES, *(["mido"] if config.renders else [])]
    lacking = [library for library in libraries if not available(library)]
    install = ["pip install -e 'lab[train]'"] if lacking else []
    programs = ["fluidsynth"] if config.renders else []
    programs += ["ffmpeg"] if "aac" in _kinds(config.recipes) else []
    absent = {program: program for program in programs if shutil.which(program) is None}
    for soundfont in map(Path, config.soundfonts if config.renders else ()):
        if soundfont.name in PACKAGES and not soundfont.is_file():
            absent[f"the SoundFont {soundfont.name}"] = PACKAGES[soundfont.name]
    install += [f"apt install {' '.join(absent.values())}"] if absent else []
    lacking += absent
    if lacking:
        listed = " and ".join([*([", ".join(lacking[:-1])] if lacking[1:] else []), lacking[-1]])
        one = len(lacking) == 1
        raise MissingExtraError(
            f"Training needs {listed}, which {'is' if one else 'are'} not installed: "
            f"{'; '.join(install)}."
        )


def _kinds(steps: Any) -> set[str]:
    """Return the kinds of all steps in recipes, also those of which one is drawn."""
    if isinstance(steps, dict):
        return _kinds(list(steps.values())) | {str(steps.get("kind", ""))}
    return set().union(*map(_kinds, steps)) if isinstance(steps, list | tuple) else set()


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, list | tuple)
    if isinstance(default, bool) or isinstance(value, bool):
        return type(value) is type(default)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; name a TOML file.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None
    base = content.pop("extends", None)
    return (_read(path.parent / base) if base else {}) | content
